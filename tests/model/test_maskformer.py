"""Symmetries, padding, options and gradients of the whole network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.model import maskformer
from maskformer_jax.tasks import TASK_NAMES


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def real_outputs(outputs, batch):
    """The outputs with the meaningless entries of padding tracks and jets set to zero."""
    track = np.asarray(batch.valid)
    outputs = outputs._replace(
        origin_logits=np.where(track[..., None], outputs.origin_logits, 0),
        objects=outputs.objects._replace(
            mask_logits=np.where(track[:, None], outputs.objects.mask_logits, 0)
        ),
    )
    return jax.tree.map(lambda x: np.asarray(x)[np.asarray(batch.jet_valid)], outputs)


def close(found, expected, tolerance=1e-5):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def example(tiny, make_batch):
    """Batch, targets and outputs of the tiny network."""
    batch, targets = make_batch()
    return batch, targets, tiny.apply(tiny.params, batch)


@pytest.fixture(scope="module")
def gradients(tiny, example):
    return tiny.gradients(tiny.params, *example[:2])


def test_shapes_and_types(tiny_config, example):
    data, (batch, _, outputs) = tiny_config.data, example
    jets, tracks = batch.valid.shape
    queries, kinds = data.hadrons.cap, len(data.hadrons.classes) + 1
    assert outputs.jet_class_logits.shape == (jets, 3)
    assert outputs.origin_logits.shape == (jets, tracks, 8)
    assert outputs.objects.class_logits.shape == (jets, queries, kinds)
    assert outputs.objects.mask_logits.shape == (jets, queries, tracks)
    assert outputs.objects.regression.shape == (jets, queries, 5)
    assert outputs.intermediate == ()
    assert all(leaf.dtype == np.float32 for leaf in leaves(outputs))


def test_awkward_jets_are_finite(example, gradients):
    """With one track, with none, and padding: values and derivatives."""
    assert all(np.isfinite(leaf).all() for leaf in leaves(example[2]))
    assert all(np.isfinite(leaf).all() for leaf in leaves(gradients))
    assert (gradients.losses > 0).all()


def test_values_of_padding_tracks_do_not_matter(tiny, example):
    batch, _, outputs = example
    noise = np.random.default_rng(1).normal(size=batch.tracks.shape) * 100
    spoilt = batch._replace(
        tracks=jnp.where(batch.valid[..., None], batch.tracks, noise.astype(np.float32))
    )
    found = real_outputs(tiny.apply(tiny.params, spoilt), batch)
    for a, b in zip(leaves(found), leaves(real_outputs(outputs, batch)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_padding_changes_nothing(tiny, example):
    batch, _, outputs = example
    wider = batch._replace(
        tracks=jnp.pad(batch.tracks, ((0, 0), (0, 4), (0, 0)), constant_values=3.0),
        valid=jnp.pad(batch.valid, ((0, 0), (0, 4))),
    )
    found = tiny.apply(tiny.params, wider)
    narrow = found._replace(
        origin_logits=found.origin_logits[:, :-4],
        objects=found.objects._replace(mask_logits=found.objects.mask_logits[..., :-4]),
    )
    close(real_outputs(narrow, batch), real_outputs(outputs, batch))


def test_order_of_tracks_permutes_masks_and_origins_alone(tiny, example):
    batch, _, outputs = example
    order = np.array([5, 2, 6, 0, 3, 1, 4])
    moved = batch._replace(tracks=batch.tracks[:, order], valid=batch.valid[:, order])
    found = tiny.apply(tiny.params, moved)
    expected = outputs._replace(
        origin_logits=outputs.origin_logits[:, order],
        objects=outputs.objects._replace(mask_logits=outputs.objects.mask_logits[..., order]),
    )
    close(real_outputs(found, moved), real_outputs(expected, moved))


def test_jets_do_not_see_each_other(tiny, example):
    batch, _, outputs = example
    other = batch._replace(jets=batch.jets.at[0].multiply(-2.0), tracks=batch.tracks.at[0].add(1.0))
    found = tiny.apply(tiny.params, other)
    for a, b in zip(leaves(found), leaves(outputs), strict=True):
        np.testing.assert_array_equal(a[1:], b[1:])
        assert (a[0] != b[0]).any()


def test_gradients_into_padding_are_exactly_zero(gradients, example):
    batch, _, _ = example
    tracks, jets = np.asarray(gradients.tracks), np.asarray(gradients.jets)
    assert not tracks[:, ~np.asarray(batch.valid)].any()
    assert not jets[:, ~np.asarray(batch.jet_valid)].any()
    full = tracks[:, 0]
    assert full.reshape(len(TASK_NAMES), -1).any(-1).all()


REACH = {
    "embedding": TASK_NAMES,
    "encoder": TASK_NAMES,
    "encoder_norm": TASK_NAMES,
    "pooling": ("jet_class", "track_origin"),
    "jet_class": ("jet_class",),
    "track_origin": ("track_origin",),
    "queries": TASK_NAMES[2:],
    "decoder": TASK_NAMES[2:],
    "objects": TASK_NAMES[2:],
}
HEADS = {
    "object_class": ("object_class",),
    "mask_token": TASK_NAMES[2:],
    "regression": ("regression",),
}


def reached_by(task_gradients):
    """Tasks with any gradient that is not zero."""
    sums = sum(np.abs(leaf).reshape(len(TASK_NAMES), -1).sum(-1) for leaf in leaves(task_gradients))
    return tuple(name for name, size in zip(TASK_NAMES, sums, strict=True) if size > 0)


def test_each_task_reaches_its_parts_and_no_others(gradients):
    """The mask head serves every object task, through the masked attention and its logits."""
    assert {name: reached_by(part) for name, part in gradients.params.items()} == REACH
    for name in ("object_class", "regression"):
        assert reached_by(gradients.params["objects"][name]) == HEADS[name]
    assert set(reached_by(gradients.params["objects"]["mask_token"])) >= {"mask_ce", "mask_dice"}


def test_every_parameter_is_used(gradients):
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients.params):
        assert np.asarray(leaf).any(), jax.tree_util.keystr(path)


def test_parameters_are_float32_and_follow_the_seed(tiny_config, tiny):
    again = maskformer.build(tiny_config, seed=1)[1]
    other = maskformer.build(tiny_config, seed=2)[1]
    assert all(leaf.dtype == np.float32 for leaf in leaves(again))
    for a, b in zip(leaves(again), leaves(tiny.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(leaves(other), leaves(again), strict=True))


def test_bfloat16_is_close_to_float32(tiny_config, with_options, tiny, example):
    batch, _, outputs = example
    config = with_options(tiny_config, model={"compute_dtype": "bfloat16"})
    apply, params = maskformer.build(config, seed=1)
    assert all(leaf.dtype == np.float32 for leaf in leaves(params))
    found = jax.jit(apply)(tiny.params, batch)
    assert all(leaf.dtype == np.float32 for leaf in leaves(found))
    close(real_outputs(found, batch), real_outputs(outputs, batch), 0.1)
    assert (found.jet_class_logits != outputs.jet_class_logits).any()


def test_dropout_acts_only_with_a_key(tiny, example):
    batch, _, outputs = example
    found, again, other = (tiny.apply(tiny.params, batch, jax.random.key(s)) for s in (0, 0, 1))
    for a, b, c, d in zip(*map(leaves, (found, again, other, outputs)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any() and (a != d).any()


def test_intermediate_predictions_and_pooled_queries(tiny_config, with_options, tiny, example):
    """A third layer makes the prediction of a decoder of two the last intermediate one."""
    batch, _, outputs = example
    config = with_options(
        tiny_config,
        model={"pool_queries": True, "decoder_layers": 3},
        loss={"auxiliary": True},
    )
    apply, params = maskformer.build(config, seed=1)
    assert set(params) == {*tiny.params, "query_pooling"}
    assert params["jet_class"]["layers"][0]["kernel"].shape == (2 * 16, 16)
    params = {
        **tiny.params,
        **{name: params[name] for name in ("jet_class", "query_pooling")},
        "decoder": {**tiny.params["decoder"], 2: params["decoder"][2]},
    }
    apply = jax.jit(apply)
    found = apply(params, batch)
    assert len(found.intermediate) == 2
    close(found.intermediate[1], outputs.objects)
    close(found.origin_logits, outputs.origin_logits)
    for a, b, c in zip(*found.intermediate, found.objects, strict=True):
        assert (a != b).any() and (b != c).any()
    moved = apply({**params, "queries": params["queries"] + 1.0}, batch)
    assert (moved.jet_class_logits != found.jet_class_logits).any(-1).all()
    np.testing.assert_array_equal(moved.origin_logits, found.origin_logits)


def test_table_lists_every_part_and_the_total(tiny):
    counts = maskformer.count_parameters(tiny.params)
    assert sum(counts.values()) == sum(leaf.size for leaf in leaves(tiny.params))
    lines = [line.split() for line in maskformer.parameter_table(tiny.params).splitlines()]
    table = {name: int(count.replace(",", "")) for name, count in lines}
    assert table.pop("total") == sum(counts.values())
    assert table == counts and list(table.values()) == sorted(counts.values(), reverse=True)
