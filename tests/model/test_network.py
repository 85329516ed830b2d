"""Symmetries, padding, options and gradients of the whole network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.build import build
from maskformer_jax.model.network import parameter_table
from maskformer_jax.types import Stream

OBJECTS = ("object_class", "mask_ce", "mask_dice", "regression")
LOSSES = ("jet_class", "track_origin", *OBJECTS)


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def with_tracks(batch, values, valid=None):
    """The batch with other tracks."""
    valid = batch.streams["tracks"].valid if valid is None else valid
    return batch._replace(streams={"tracks": Stream(values, valid)})


def changed(outputs, of_tracks):
    """The outputs with a function of the axis and the array for those of tracks."""
    objects = outputs["hadrons"].objects
    masks = of_tracks(2, objects.mask_logits)
    return {
        **outputs,
        "track_origin": of_tracks(1, outputs["track_origin"]),
        "hadrons": outputs["hadrons"]._replace(objects=objects._replace(mask_logits=masks)),
    }


def real_outputs(outputs, batch):
    """The outputs with the meaningless entries of padding tracks and jets set to zero."""
    valid = batch.streams["tracks"].valid
    found = changed(
        outputs, lambda at, x: jnp.where(valid[..., None] if at == 1 else valid[:, None], x, 0)
    )
    return jax.tree.map(lambda x: np.asarray(x)[np.asarray(batch.jet_valid)], found)


def close(found, expected, tolerance=1e-5):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def example(tiny, make_batch):
    """Batch, labels and outputs of the tiny network."""
    batch, labels = make_batch()
    return batch, labels, tiny.apply(tiny.params, batch)


@pytest.fixture(scope="module")
def gradients(tiny, example):
    return tiny.gradients(tiny.params, *example[:2])


def test_shapes_and_types(example):
    _, _, outputs = example
    objects = outputs["hadrons"].objects
    assert outputs["jet_class"].shape == (5, 3) and outputs["track_origin"].shape == (5, 7, 8)
    assert [x.shape for x in objects] == [(5, 3, 3), (5, 3, 7), (5, 3, 5)]
    assert outputs["hadrons"].intermediate == ()
    assert all(leaf.dtype == np.float32 for leaf in leaves(outputs))


def test_awkward_jets_are_finite(example, gradients):
    """With one track, with none, and padding: values and derivatives."""
    assert all(np.isfinite(leaf).all() for leaf in leaves(example[2]))
    assert all(np.isfinite(leaf).all() for leaf in leaves(gradients))
    assert (gradients.losses > 0).all()


def test_values_of_padding_tracks_do_not_matter(tiny, example):
    batch, _, outputs = example
    values, valid = batch.streams["tracks"]
    noise = 100 * np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
    spoilt = with_tracks(batch, jnp.where(valid[..., None], values, noise))
    found = real_outputs(tiny.apply(tiny.params, spoilt), batch)
    for a, b in zip(leaves(found), leaves(real_outputs(outputs, batch)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_padding_changes_nothing(tiny, example):
    batch, _, outputs = example
    values, valid = batch.streams["tracks"]
    values = jnp.pad(values, ((0, 0), (0, 4), (0, 0)), constant_values=3.0)
    wider = with_tracks(batch, values, jnp.pad(valid, ((0, 0), (0, 4))))
    found = tiny.apply(tiny.params, wider)
    narrow = changed(found, lambda at, x: jnp.take(x, np.arange(7), axis=at))
    close(real_outputs(narrow, batch), real_outputs(outputs, batch))


def test_order_of_tracks_permutes_masks_and_origins_alone(tiny, example):
    batch, _, outputs = example
    order = np.array([5, 2, 6, 0, 3, 1, 4])
    moved = with_tracks(batch, *(x[:, order] for x in batch.streams["tracks"]))
    expected = changed(outputs, lambda at, x: jnp.take(x, order, axis=at))
    close(real_outputs(tiny.apply(tiny.params, moved), moved), real_outputs(expected, moved))


def test_jets_do_not_see_each_other(tiny, example):
    batch, _, outputs = example
    other = with_tracks(batch, batch.streams["tracks"].values.at[0].add(1.0))
    other = other._replace(jets=batch.jets.at[0].multiply(-2.0))
    found = tiny.apply(tiny.params, other)
    for a, b in zip(leaves(found), leaves(outputs), strict=True):
        np.testing.assert_array_equal(a[1:], b[1:])
        assert (a[0] != b[0]).any()


def test_gradients_into_padding_are_exactly_zero(gradients, example):
    batch, _, _ = example
    tracks, jets = (np.asarray(gradients.batch[name]) for name in ("tracks", "jets"))
    assert not tracks[:, ~np.asarray(batch.streams["tracks"].valid)].any()
    assert not jets[:, ~np.asarray(batch.jet_valid)].any()
    assert tracks[:, 0].reshape(len(LOSSES), -1).any(-1).all()


DECODER = "heads/hadrons/decoder"
REACH = {
    "embedding": LOSSES,
    "encoder": LOSSES,
    "pooling": ("jet_class", "track_origin"),
    "heads/jet_class": ("jet_class",),
    "heads/track_origin": ("track_origin",),
    f"{DECODER}/queries": OBJECTS,
    f"{DECODER}/layers": OBJECTS,
    f"{DECODER}/heads/query_norm": OBJECTS,
    f"{DECODER}/heads/object_class": ("object_class",),
    f"{DECODER}/heads/regression": ("regression",),
}


def reached_by(task_gradients):
    """Tasks with any gradient that is not zero."""
    sums = sum(np.abs(leaf).reshape(len(LOSSES), -1).sum(-1) for leaf in leaves(task_gradients))
    return tuple(name for name, size in zip(LOSSES, sums, strict=True) if size > 0)


@pytest.mark.parametrize("part", REACH)
def test_each_loss_reaches_its_parts_and_no_others(gradients, part):
    found = gradients.params
    for name in part.split("/"):
        found = found[name]
    assert reached_by(found) == REACH[part]


def test_mask_token_serves_every_loss_of_objects(gradients):
    """Through the masked attention, and its logits."""
    heads = gradients.params["heads"]["hadrons"]["decoder"]["heads"]
    assert set(reached_by(heads["mask_token"])) >= {"mask_ce", "mask_dice"}


def test_every_parameter_is_used(gradients):
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients.params):
        assert np.asarray(leaf).any(), jax.tree_util.keystr(path)


def test_parameters_are_float32_and_follow_the_seed(tiny_with, tiny):
    again, other = (build(tiny_with(f"--training.seed={seed}")).params for seed in (1, 2))
    assert all(leaf.dtype == np.float32 for leaf in leaves(again))
    for a, b in zip(leaves(again), leaves(tiny.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(leaves(other), leaves(again), strict=True))


def test_bfloat16_is_close_to_float32(tiny_with, tiny, example):
    batch, _, outputs = example
    model = build(tiny_with("--model.compute_dtype=bfloat16"))
    assert all(leaf.dtype == np.float32 for leaf in leaves(model.params))
    found = jax.jit(model.apply)(tiny.params, batch)
    assert all(leaf.dtype == np.float32 for leaf in leaves(found))
    found, expected = (real_outputs(x, batch) for x in (found, outputs))
    # Where a query attends is a threshold: a mask logit that rounds to the other side moves more.
    for name, limit in {"jet_class": 0.03, "track_origin": 0.03, "hadrons": 0.2}.items():
        for a, b in zip(leaves(found[name]), leaves(expected[name]), strict=True):
            assert np.linalg.norm(a - b) < limit * np.linalg.norm(b)
    assert (found["jet_class"] != expected["jet_class"]).any()


def test_dropout_acts_only_with_a_key(tiny, example):
    batch, _, outputs = example
    found, again, other = (tiny.apply(tiny.params, batch, jax.random.key(s)) for s in (0, 0, 1))
    for a, b, c, d in zip(*map(leaves, (found, again, other, outputs)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any() and (a != d).any()


def test_a_part_that_is_left_out_changes_nothing_for_the_others(tiny_with, tiny, example):
    """Neither initial parameters nor dropout, which are drawn by name."""
    batch, _, _ = example
    key = jax.random.key(3)
    found = tiny.apply(tiny.params, batch, key)
    for left_out in ("jet_class", "hadrons"):
        model = build(tiny_with("--model.dropout=0.5", f"--without=[{left_out}]"))
        assert left_out not in model.params["heads"]
        heads = {k: v for k, v in tiny.params["heads"].items() if k != left_out}
        expected = {**tiny.params, "heads": heads}
        jax.tree.map(np.testing.assert_array_equal, model.params, expected)
        outputs = jax.jit(model.apply)(model.params, batch, key)
        assert set(outputs) == set(found) - {left_out}
        for name, output in outputs.items():
            close(output, found[name], 1e-6)


def test_intermediate_predictions_and_pooled_queries(tiny_with, tiny, example):
    """With more layers the prediction of a decoder of one is the first intermediate one."""
    batch, _, outputs = example
    model = build(
        tiny_with(
            *("--tasks.hadrons.decoder_layers=3", "--tasks.hadrons.auxiliary=true"),
            "--tasks.jet_class.pool_queries=hadrons",
        )
    )
    jet_class = model.params["heads"]["jet_class"]
    assert jet_class["network"]["layers"][0]["kernel"].shape == (2 * 16, 16)
    params, apply = jax.tree.map(lambda x: x, tiny.params), jax.jit(model.apply)
    decoder = params["heads"]["hadrons"]["decoder"]
    params["heads"]["jet_class"] = jet_class
    layers = model.params["heads"]["hadrons"]["decoder"]["layers"]
    decoder["layers"] |= {number: layers[number] for number in (1, 2)}
    found = apply(params, batch)
    intermediate, last = found["hadrons"].intermediate, found["hadrons"].objects
    assert len(intermediate) == 2
    close(intermediate[0], outputs["hadrons"].objects)
    close(found["track_origin"], outputs["track_origin"])
    for a, b, c in zip(*intermediate, last, strict=True):
        assert (a != b).any() and (b != c).any()
    decoder["queries"] += 1.0
    moved = apply(params, batch)
    assert (moved["jet_class"] != found["jet_class"]).any(-1).all()
    np.testing.assert_array_equal(moved["track_origin"], found["track_origin"])


def test_table_lists_every_part_and_the_total(tiny):
    lines = [line.split() for line in parameter_table(tiny.params).splitlines()]
    table = {name: int(count.replace(",", "")) for name, count in lines}
    assert table.pop("total") == sum(leaf.size for leaf in leaves(tiny.params))
    parts = {**tiny.params, **tiny.params["heads"]}
    parts.pop("heads")
    assert table == {name: sum(x.size for x in leaves(part)) for name, part in parts.items()}
    assert list(table.values()) == sorted(table.values(), reverse=True)
