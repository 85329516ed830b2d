"""Sums over batches equal one computation over the whole file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.tasks import TASK_NAMES, build_losses, build_match, reorder
from maskformer_jax.training.validation import FIGURES, QUANTITIES, build, validate
from maskformer_jax.types import Objects, Outputs


def together(parts):
    """Batches one after the other, without their padding jets."""
    kept = [np.asarray(batch.jet_valid) for batch, _ in parts]

    def join(*leaves):
        return jnp.concatenate([leaf[k] for leaf, k in zip(leaves, kept, strict=True)])

    return jax.tree.map(join, *parts)


@pytest.fixture(scope="module")
def network():
    """A network that needs no training: predictions are slices of the inputs of a jet."""

    def apply(params, batch):
        tracks = batch.tracks @ params["tracks"]
        jets = (batch.tracks.sum(1) + batch.jets.sum(-1, keepdims=True)) @ params["jets"]
        return Outputs(
            jet_class_logits=jets[:, :3],
            origin_logits=tracks[..., :8],
            objects=Objects(
                class_logits=jets[:, 3:12].reshape(-1, 3, 3),
                mask_logits=tracks[..., 8:11].swapaxes(1, 2),
                regression=jets[:, 12:27].reshape(-1, 3, 5),
            ),
        )

    generator = np.random.default_rng(0)
    shapes = {"tracks": (5, 11), "jets": (5, 27)}
    params = {k: jnp.asarray(generator.normal(size=s), jnp.float32) for k, s in shapes.items()}
    return apply, params


@pytest.fixture(scope="module")
def sums(tiny_config, network):
    return build(network[0], build_losses(tiny_config), build_match(tiny_config))


@pytest.fixture(scope="module")
def batches(make_batch):
    """Three batches of different jets, the last with a single real one."""
    *full, (batch, targets) = [make_batch(seed) for seed in range(3)]
    first = jnp.arange(5) == 0
    batch = batch._replace(jet_valid=first, valid=batch.valid & first[:, None])
    targets = targets._replace(
        jet_class_index=jnp.where(first, targets.jet_class_index, -1),
        origin_index=jnp.where(first[:, None], targets.origin_index, -1),
        object_class_index=jnp.where(first[:, None], targets.object_class_index, 2),
        object_valid=targets.object_valid & first[:, None],
        masks=targets.masks & first[:, None, None],
    )
    return [*full, (batch, targets)]


def ratio(passed):
    return passed.sum() / passed.size


def test_batches_add_up_to_the_file(tiny_config, network, sums, batches):
    apply, params = network
    found = validate(sums, params, iter(batches))
    batch, targets = together(batches)
    assert batch.jets.shape[0] == 4 + 4 + 1

    @jax.jit
    def directly(params, batch, targets):
        outputs = apply(params, batch)
        query_index = build_match(tiny_config)(outputs.objects, batch, targets)
        losses = build_losses(tiny_config)(outputs, batch, targets).mean()
        return losses, outputs, reorder(outputs.objects, query_index).class_logits

    losses, outputs, matched = directly(params, batch, targets)
    expected = dict(zip(QUANTITIES, np.asarray(losses), strict=False))
    predicted, real = np.asarray(matched).argmax(-1), np.asarray(targets.object_valid)
    jets = np.asarray(outputs.jet_class_logits).argmax(-1)
    tracks = np.asarray(outputs.origin_logits).argmax(-1)
    origin = np.asarray(targets.origin_index)
    expected |= {
        "val/flavour_accuracy": ratio(jets == np.asarray(targets.jet_class_index)),
        "val/origin_accuracy": ratio((tracks == origin)[origin >= 0]),
        "val/object_efficiency": ratio(predicted[real] != 2),
        "val/object_purity": ratio(real[predicted != 2]),
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert all(0 < found[f"val/{name}"] < 1 for name in FIGURES)


def test_names_are_those_of_the_tasks_and_figures(sums, network, batches):
    found = validate(sums, network[1], batches[:1])
    assert tuple(found) == QUANTITIES
    assert QUANTITIES[:6] == tuple(f"val/loss/{name}" for name in TASK_NAMES)
    assert all(isinstance(value, float) for value in found.values())


def test_nothing_to_count_is_nan_and_a_loss_of_zero(sums, network, batches):
    """A file without a hadron has no efficiency, and tracks without label no accuracy."""
    batch, targets = batches[0]
    nothing = targets._replace(
        origin_index=jnp.full_like(targets.origin_index, -1),
        object_class_index=jnp.full_like(targets.object_class_index, 2),
        object_valid=jnp.zeros_like(targets.object_valid),
        masks=jnp.zeros_like(targets.masks),
    )
    found = validate(sums, network[1], [(batch, nothing)])
    assert np.isnan(found["val/object_efficiency"]) and np.isnan(found["val/origin_accuracy"])
    assert found["val/loss/regression"] == found["val/loss/track_origin"] == 0.0
    assert found["val/loss/jet_class"] > 0


def test_non_finite_prediction_shows_in_the_losses(sums, network, batches):
    params = network[1]
    spoilt = {**params, "jets": params["jets"].at[:, 12:].set(jnp.nan)}
    found = validate(sums, spoilt, batches)
    assert np.isnan(found["val/loss/regression"]) and np.isfinite(found["val/loss/jet_class"])


def test_batches_are_compiled_once(network, tiny_config, batches):
    traces = []

    def apply(params, batch):
        traces.append(None)
        return network[0](params, batch)

    counted = build(apply, build_losses(tiny_config), build_match(tiny_config))
    validate(counted, network[1], batches)
    assert len(traces) == 1
