"""Trainings with methods that keep keys, learnt weights, or need more than one pass or batch."""

import itertools
import os
import signal

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from tampered_training import SAMPLE, Training

from maskformer_jax import config as configuration
from maskformer_jax import tasks
from maskformer_jax.build import build, build_tasks
from maskformer_jax.errors import InputError
from maskformer_jax.gradients import stacked
from maskformer_jax.training import loop, method

OVERLAYS = SAMPLE.parents[1] / "configs" / "weighting"
METHODS = {
    "gradvac": ["--training.micro_batches=2"],  # keys, targets of cosines
    "famo": [],  # learnt weights, a second forward pass
    # Two batches; keys of the dropout; one loss after the other.
    "modo": ["--model.dropout=0.1", "--training.backward=map"],
    # Weights that are renewed in every second step, from half the rows, at the representation.
    "cagrad": [
        "--weighting.every=2",
        "--weighting.gramian_fraction=0.5",
        "--weighting.at=representation",
    ],
}


def options(name):
    """Without the objects, whose decoder takes most of the time to trace."""
    overlay = ["--config", str(OVERLAYS / f"{name}.yaml"), "--without=[hadrons]"]
    return [*overlay, *METHODS.get(name, [])]


LONG = {"gradvac"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(x, marks=[pytest.mark.campaign] * (x in LONG)) for x in METHODS],
)
def other(request, argv, tmp_path_factory):
    """A training with the method, and its run without interruption."""
    run = tmp_path_factory.mktemp(request.param)
    training = Training(configuration.load(argv(run, *options(request.param))))
    assert training.train(run).finished
    return training, run


def test_a_stopped_and_resumed_run_ends_bit_for_bit_the_same(other, tmp_path):
    training, uninterrupted = other

    def send_signal(step, batch):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    assert not training.train(tmp_path, tamper=send_signal).finished
    assert training.train(tmp_path, resume=True).finished
    found, expected = training.final(tmp_path), training.final(uninterrupted)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert training.log(tmp_path) == training.log(uninterrupted)


def test_no_array_is_in_the_state_twice(other):
    """The step donates its state, which is refused for an array that comes twice."""
    leaves = jax.tree.leaves(other[0].trainer.state)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def test_weights_move_and_the_log_shows_what_there_is_to_see(other):
    training, run = other
    log, names = [x for x in training.log(run) if "gradient_norm" in x], training.model.losses
    weights = np.array([[line[f"weight/{task}"] for task in names] for line in log])
    assert np.isfinite(weights).all() and (weights[1:] != weights[:-1]).any()
    pairs = [f"cosine/{a}/{b}" for a, b in itertools.combinations(names, 2)]
    seen = [f"gradient_norm/{task}" for task in names] + pairs
    on_gradients = training.config.weighting.name != "famo"
    assert all((name in line) == on_gradients for line in log for name in seen)
    assert all(-1.001 <= line[pair] <= 1.001 for line in log for pair in pairs if on_gradients)


@pytest.mark.parametrize("other", ["gradvac"], indirect=True)
def test_norms_and_angles_are_those_of_the_gradients_over_shared_parameters(other):
    """Computed one task after the other; what at least two of them reach is shared."""
    training, run = other
    model = training.model
    parts = next(training.loader.iterator())
    batch = jax.tree.map(lambda x: jnp.asarray(x.reshape(-1, *x.shape[2:])), parts)

    def losses(params):
        return stacked(model.terms(model.apply(params, batch[0]), *batch)).mean()

    rows = jax.jit(jax.jacrev(losses))(model.params)
    leaves = [np.asarray(leaf).reshape(len(model.losses), -1) for leaf in jax.tree.leaves(rows)]
    shared = [leaf for leaf in leaves if leaf.any(axis=1).sum() > 1]
    assert 0 < len(shared) < len(leaves)
    matrix = np.concatenate(shared, axis=1)
    first, norms = training.log(run)[0], np.linalg.norm(matrix, axis=1)
    for task, norm in zip(model.losses, norms, strict=True):
        assert first[f"gradient_norm/{task}"] == pytest.approx(norm, rel=1e-3)
    for (i, a), (j, b) in itertools.combinations(enumerate(model.losses), 2):
        cosine = matrix[i] @ matrix[j] / norms[i] / norms[j]
        assert first[f"cosine/{a}/{b}"] == pytest.approx(cosine, abs=1e-3)


@pytest.mark.parametrize("other", ["cagrad"], indirect=True)
def test_weights_stay_between_renewals(other):
    training, run = other
    log = [line for line in training.log(run) if "gradient_norm" in line]
    weights = np.array([[line[f"weight/{task}"] for task in training.model.losses] for line in log])
    changed = (weights[1:] != weights[:-1]).any(1)
    np.testing.assert_array_equal(changed, np.arange(len(changed)) % 2 == 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("equal", None), ("uw", None), ("dwa", None), ("gls", 1), ("famo", 1), ("modo", None)],
)
def test_batches_are_spread_unless_the_weights_have_to_wait_for_the_losses(argv, name, expected):
    overlay = options(name)[:2]
    config = configuration.load(argv("unused", *overlay))
    assert method.micro_batches(config) == expected
    fixed = configuration.load(argv("unused", *overlay, "--training.micro_batches=4"))
    assert method.micro_batches(fixed) == 4


@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 1), (0.5, None)])
def test_parts_would_wait_for_the_gramian_at_the_representation(argv, fraction, expected):
    more = ["--weighting.at=representation", f"--weighting.gramian_fraction={fraction}"]
    config = configuration.load(argv("unused", *options("pcgrad")[:2], *more))
    assert method.micro_batches(config) == expected


# A weighting by names of losses, `without`, and what it comes to or the words of the error.
STATIC = (
    "--weighting={name: static, options: {weights: {jet_class: 1, track_origin: 2, mask_ce: 3}}}"
)
LEFT = "[object_class, mask_dice, regression]"
NAMED = [
    (STATIC, LEFT, [1.0, 2.0, 3.0]),
    (STATIC, "[hadrons]", [1.0, 2.0]),
    (STATIC, "[object_class, mask_dice, regression, track_origin]", [1.0, 3.0]),
    (
        STATIC,
        "[mask_dice, regression]",
        r"of static: `weights` must have .* none for \['object_class'\]",
    ),
    (STATIC.replace("mask_ce", "maskce"), LEFT, r"names 'maskce', .* did you mean 'mask_ce'\?"),
]


@pytest.mark.parametrize(("weighting", "without", "expected"), NAMED)
def test_weights_are_given_by_the_names_of_the_losses(argv, weighting, without, expected):
    config = configuration.load(
        argv("unused", "--weighting.name=equal", weighting, f"--without={without}")
    )
    gone = tasks.left_out(config.tasks, config.without)
    losses = [loss for task in build_tasks(config) for loss in task.losses]
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            method.make(config.weighting, losses, gone)
    else:
        state = method.make(config.weighting, losses, gone).init({"a": jnp.zeros(2)})
        np.testing.assert_array_equal(state.weights, expected)


WRONG = [
    (["--weighting.name=graddrop", "--weighting.every=2"], r"`weighting.every`.*graddrop"),
    (
        [
            "--weighting.name=cagrad",
            "--weighting.at=representation",
            "--weighting.options.granularity=layer",
        ],
        r"`weighting.at` need a method on the Gramian with one set of weights.*cagrad",
    ),
    (["--weighting.name=cagrad", "--weighting.options.c=-1"], r"of cagrad: `c` must"),
    (
        ["--weighting.name=static", "--weighting.options.weights={jet_clas: 1.0}"],
        r"of static: `weights` names 'jet_clas'.*did you mean 'jet_class'\?",
    ),
    (
        ["--weighting={name: krum, options: {n_byzantine: 1}}", "--without=[hadrons]"],
        r"of krum: `num_tasks` must be at least 3; got 2",
    ),
    (
        [
            *("--weighting.name=trimmed_mean", "--weighting.options.trim=1"),
            "--without=[hadrons]",
        ],
        r"of trimmed_mean: `trim` must",
    ),
    (
        ["--weighting.name=modo", "--training.batch_size=25"],
        r"`training.batch_size` must be a multiple of 2, since modo needs .*got 25",
    ),
]


@pytest.mark.parametrize(("more", "message"), WRONG, ids=lambda x: str(x))
def test_wrong_weightings_are_refused_before_compiling(argv, tmp_path, more, message, monkeypatch):
    # Users have no checker of types that would refuse some of them earlier.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    config = configuration.load(argv(tmp_path / "run", "--weighting.name=equal", *more))
    with pytest.raises(InputError, match=message):
        loop.build(config, build(config), 8)
