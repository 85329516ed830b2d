"""Records of the tasks' gradients: against gradients one by one, and leaving the training alone."""

import dataclasses
import itertools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax import config as configuration
from maskformer_jax.gradients import LossSums, stacked
from maskformer_jax.training import interactions, loop, state, step
from maskformer_jax.training.batches import used_parts
from maskformer_jax.training.interactions import FILE_NAME, WHOLE, Recorder, describe
from maskformer_jax.training.logging import as_line, read_lines
from maskformer_jax.types import Batch
from maskformer_jax.weighting import METHODS

STEPS = 8  # two epochs of 70 jets in batches of 20
WEIGHTS = np.array([1.0, 0.5, 2.0, 10.0, 2.0, 1.0])
PAIRS = list(itertools.combinations(range(6), 2))


@pytest.fixture(scope="module")
def measures(training):
    """What the tiny training records."""
    settings = dataclasses.replace(training.config.training, record_interactions=3)
    config = dataclasses.replace(training.config, training=settings)
    return loop.build(config, training.model, STEPS).measures


@pytest.fixture
def record(training, measures, monkeypatch):
    """Trains with records, as `training.train`, and returns them."""

    def train(run, *, every=3, **options):
        monkeypatch.setattr(training, "trainer", training.trainer._replace(measures=measures))
        training.train(run, record_interactions=every, **options)
        return lines(run)

    return train


def lines(run):
    return read_lines(run / FILE_NAME)


@pytest.fixture(scope="module")
def first_step(training):
    """Gradients of every loss in the first step, one by one, as float64 vectors by module."""
    model = training.model
    (pair,) = jax.tree.map(jnp.asarray, list(used_parts(*next(training.loader.iterator()))))

    @jax.jit
    @jax.jacrev
    def gradients(params):
        return stacked(model.terms(model.apply(params, pair[0]), *pair)).mean()

    found = jax.tree.map(lambda x: np.asarray(x, float), gradients(model.params))
    decoder = found["heads"]["hadrons"]["decoder"]
    own = {"object_class", "regression", "means"}
    modules = {name: tree for name, tree in found.items() if name != "heads"}
    modules |= {f"hadrons.{name}": tree for name, tree in decoder.items()}
    modules["hadrons.heads"] = {k: x for k, x in decoder["heads"].items() if k not in own}
    return {
        name: np.concatenate([x.reshape(6, -1) for x in jax.tree.leaves(tree)], axis=1)
        for name, tree in modules.items()
    }


def expected_of(gradients, weights):
    """The seven numbers by loops over tasks and pairs."""
    scaled = gradients * weights[:, None]
    length = np.linalg.norm

    def similarity(a, b):
        return 2 * length(a) * length(b) / (length(a) ** 2 + length(b) ** 2)

    return {
        "cosine": [
            gradients[i] @ gradients[j] / length(gradients[i]) / length(gradients[j])
            for i, j in PAIRS
        ],
        "similarity": [similarity(gradients[i], gradients[j]) for i, j in PAIRS],
        "scaled_similarity": [similarity(scaled[i], scaled[j]) for i, j in PAIRS],
        "l1": [np.abs(g).sum() for g in gradients],
        "l2": [length(g) for g in gradients],
        "scaled_l1": [np.abs(g).sum() for g in scaled],
        "scaled_l2": [length(g) for g in scaled],
    }


@pytest.fixture(scope="module")
def recorded(training, measures, tmp_path_factory):
    """A training with records of the steps 1, 3 and 6."""
    run = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "trainer", training.trainer._replace(measures=measures))
        training.train(run, record_interactions=3)
    return run


def test_records_are_the_gradients_one_by_one(recorded, first_step):
    record = lines(recorded)[0]
    assert set(record["parts"]) == {WHOLE, *first_step}
    assert list(record["weights"].values()) == WEIGHTS.tolist()
    whole = np.concatenate(list(first_step.values()), axis=1)
    for part, gradients in {WHOLE: whole, **first_step}.items():
        reached = np.abs(gradients).sum(1) > 0
        found = {name: np.array(x, float) for name, x in record["parts"][part].items()}
        both = np.array([reached[i] and reached[j] for i, j in PAIRS])
        assert np.isnan(found["cosine"][~both]).all()
        with np.errstate(invalid="ignore"):
            expected = expected_of(gradients, WEIGHTS)
        for name, values in expected.items():
            np.testing.assert_allclose(
                found[name], values, rtol=2e-3, atol=1e-5, err_msg=f"{part} {name}"
            )


def test_modules_add_up_to_the_whole(recorded):
    for record in lines(recorded):
        parts = {
            k: {n: np.array(x, float) for n, x in v.items()} for k, v in record["parts"].items()
        }
        whole = parts.pop(WHOLE)
        for name, power in (("l1", 1), ("l2", 2), ("scaled_l1", 1), ("scaled_l2", 2)):
            total = sum(part[name] ** power for part in parts.values())
            np.testing.assert_allclose(total, whole[name] ** power, rtol=1e-4)


def test_recording_leaves_the_training_as_it_was(training, recorded, tmp_path):
    training.train(tmp_path)
    assert [line["step"] for line in lines(recorded)] == [1, 3, 6]
    assert not (tmp_path / FILE_NAME).exists()
    assert training.log(recorded) == training.log(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, training.final(recorded), training.final(tmp_path))


def test_losses_and_weights_are_those_of_the_log(training, recorded):
    log = {line["step"]: line for line in training.log(recorded) if "loss/total" in line}
    for record in lines(recorded):
        of_log = {name: log[record["step"]][f"loss/{name}"] for name in training.model.losses}
        assert record["losses"] == pytest.approx(of_log, rel=1e-4)


def test_records_go_on_where_a_stopped_run_does(training, record, recorded, tmp_path):
    def stop(step, batch):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    before = record(tmp_path, tamper=stop)
    assert [line["step"] for line in before] == [1, 3]
    # As if it had been killed in a later step, while writing.
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(as_line({**before[1], "step": 6}) + '{"step": 7, "los')
    assert record(tmp_path, resume=True) == lines(recorded)


def test_a_step_that_is_not_finite_is_not_recorded(record, tmp_path):
    def poison(step, batch):
        return batch._replace(jets=batch.jets * np.nan) if step == 3 else batch

    with pytest.raises(FloatingPointError, match="step 3"):
        record(tmp_path, tamper=poison)
    assert [line["step"] for line in lines(tmp_path)] == [1]


def test_unused_parts_of_a_first_half_come_last():
    used, numbers = jnp.array([True, False, True, True]), jnp.arange(4)
    batch = Batch(numbers[:, None], used[:, None], {}, {})
    parts = interactions._used_first(batch, {"flavour": numbers[:, None]})
    assert parts.used == 3
    assert parts.tree[2].tolist() == [0, 2, 3, 1]
    assert parts.tree[0].jets.ravel().tolist() == [0, 2, 3, 1]


def test_description_by_hand():
    """Gradients (3, 4), (4, -3), (-3, -4), (0, 0), (6, 8) and (1, 0)."""
    gradients = np.array([[3, 4], [4, -3], [-3, -4], [0, 0], [6, 8], [1, 0]], float)
    weights = np.array([1.0, 2.0, 1.0, 1.0, 0.0, 5.0])
    found = describe(gradients @ gradients.T, np.abs(gradients).sum(1), weights)
    pair = {name: PAIRS.index(name) for name in PAIRS}
    cosine, similarity = found["cosine"], found["similarity"]
    assert cosine[[pair[0, 1], pair[0, 2], pair[0, 4], pair[0, 5]]].tolist() == [0, -1, 1, 0.6]
    assert np.isnan(cosine[pair[0, 3]])
    assert similarity[[pair[0, 1], pair[0, 4], pair[0, 3]]].tolist() == [1.0, 0.8, 0.0]
    assert found["scaled_similarity"][[pair[0, 1], pair[0, 5]]].tolist() == [0.8, 1.0]
    assert np.isnan(found["scaled_similarity"][pair[3, 4]])
    assert found["l1"].tolist() == [7, 7, 7, 0, 14, 1] and found["l2"][4] == 10
    assert found["scaled_l1"].tolist() == [7, 14, 7, 0, 0, 5]
    assert found["scaled_l2"].tolist() == [5, 10, 5, 0, 0, 5]


def test_nothing_is_measured_unless_asked_for(training):
    assert training.trainer.measures is None


def toy_apply(params, batch, key=None):
    """Two hidden numbers per jet, and a head for each task on them."""
    noise = 1.0 if key is None else jax.random.normal(key)
    return jnp.tanh(batch.jets @ params["trunk"]) @ params["heads"] * noise


def toy_terms(outputs, batch, labels):
    """The squares of the six outputs, over real jets."""
    del labels
    valid = batch.jet_valid.astype(jnp.float32)
    totals = (valid[:, None] * (outputs - 1.0) ** 2).sum(0)
    return [LossSums(total, valid.sum()) for total in totals]


@pytest.fixture(scope="module")
def toy(training):
    """A training that compiles in no time: `toy(points) -> (state, step, measures, batch)`."""
    generator = np.random.default_rng(0)
    jets = jnp.asarray(generator.normal(size=(2, 4, 2)), jnp.float32)
    valid = jnp.array([[True] * 4, [True, False, True, False]])
    shapes = {"trunk": (2, 2), "heads": (2, 6)}
    params = {k: jnp.asarray(generator.normal(size=s), jnp.float32) for k, s in shapes.items()}
    model = training.model._replace(
        apply=toy_apply,
        params=params,
        terms=toy_terms,
        schema=training.model.schema._replace(streams={}, objects={}, labels={}),
    )
    method, optimiser = METHODS["static"](6, weights=WEIGHTS.tolist()), optax.sgd(0.01)

    def make(points):
        options = ["--model.dropout=0.5", "--training.record_interactions=2"]
        more = [] if points is None else [f"--training.record_curvature={points}"]
        config = configuration.load([*options, *more])
        settings = {"seed": config.training.seed, "dropout": True}
        schedule = optax.constant_schedule(0.01)
        return (
            state.create(jax.tree.map(jnp.copy, params), method, optimiser, 6),
            step.build(
                toy_apply, toy_terms, step.Weighting(method), optimiser, schedule, **settings
            ),
            interactions.build(config, model),
            (Batch(jets, valid, {}, {}), {}),
        )

    return make


def test_gradients_and_curvature_are_those_of_the_step_with_its_dropout(training, toy, tmp_path):
    current, make, measures, pair = toy(3)
    recorder, points = Recorder(make, measures, training.model.losses, tmp_path, 0, 2), []
    for number in (1, 2):
        points.append(jax.tree.map(np.array, current.params))
        current, _ = recorder.step(number, current, *pair)
    record = lines(tmp_path)[1]

    before, unravel = jax.flatten_util.ravel_pytree(points[1])
    after, _ = jax.flatten_util.ravel_pytree(current.params)

    def losses(flat):
        keys = [jax.random.fold_in(jax.random.key(0), 1 * 2 + part) for part in range(2)]
        parts = zip(used_parts(*pair), keys, strict=True)
        sums = [toy_terms(toy_apply(unravel(flat), p[0], key), *p) for p, key in parts]
        return jnp.stack([sum(x.total for x in k) / 6 for k in zip(*sums, strict=True)])

    gradients = jax.jacrev(losses)(before)
    # The heads of the tasks are one matrix, which all of them reach.
    assert record["parts"][WHOLE]["l2"] == pytest.approx(np.linalg.norm(gradients, axis=1), 1e-4)
    gradient = WEIGHTS @ gradients
    hessian = jax.hessian(lambda flat: WEIGHTS @ losses(flat))
    along = [gradient @ hessian(before + f * (after - before)) @ gradient for f in (0, 0.5, 1)]
    expected = {"along": along, "mean": (along[0] + 2 * along[1] + along[2]) / 4}
    expected["in_direction"] = expected["mean"] / (gradient @ gradient)
    for name, value in expected.items():
        assert record["curvature"][name] == pytest.approx(np.array(value), rel=1e-3)


def test_two_devices_record_what_one_does(toy):
    current, _, measures, pair = toy(None)
    everywhere, _, parts = loop._placement(2)
    known = current.params, current.params, jnp.asarray(WEIGHTS), current.step
    one = measures(*known, *pair)
    two = measures(*jax.device_put(known, everywhere), *jax.device_put(pair, parts))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4), two, one)
