"""Sums over batches equal one computation over the whole file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.build import build as build_model
from maskformer_jax.build import context_of
from maskformer_jax.gradients import stacked
from maskformer_jax.model.decoder import Decoded
from maskformer_jax.tasks.matching import reorder
from maskformer_jax.tasks.objects import ObjectsTask
from maskformer_jax.training.validation import build, validate
from maskformer_jax.types import ObjectLabels, Objects


def together(parts):
    """Batches one after the other, without their padding jets."""
    kept = [np.asarray(batch.jet_valid) for batch, _ in parts]

    def join(*leaves):
        return jnp.concatenate([leaf[k] for leaf, k in zip(leaves, kept, strict=True)])

    return jax.tree.map(join, *parts)


@pytest.fixture(scope="module")
def network(tiny_config):
    """A network that needs no training: predictions are slices of the inputs of a jet."""

    def apply(params, batch):
        values = batch.streams["tracks"].values
        tracks = values @ params["tracks"]
        jets = (values.sum(1) + batch.jets.sum(-1, keepdims=True)) @ params["jets"]
        objects = Objects(
            class_logits=jets[:, 3:12].reshape(-1, 3, 3),
            mask_logits=tracks[..., 8:11].swapaxes(1, 2),
            regression=jets[:, 12:27].reshape(-1, 3, 5),
        )
        return {
            "jet_class": jets[:, :3],
            "track_origin": tracks[..., :8],
            "hadrons": Decoded(objects, (), jets[:, None]),
        }

    generator = np.random.default_rng(0)
    shapes = {"tracks": (5, 11), "jets": (5, 27)}
    params = {k: jnp.asarray(generator.normal(size=s), jnp.float32) for k, s in shapes.items()}
    return build_model(tiny_config)._replace(apply=apply, params=params)


@pytest.fixture(scope="module")
def sums(network):
    return build(network)


@pytest.fixture(scope="module")
def batches(make_batch):
    """Three batches of different jets, the last with a single real one."""
    *full, (batch, labels) = [make_batch(seed) for seed in range(3)]
    first = jnp.arange(5) == 0
    tracks = batch.streams["tracks"]
    tracks = tracks._replace(valid=tracks.valid & first[:, None])
    valid, masks = labels["hadrons"]
    labels = {
        **labels,
        "flavour": jnp.where(first, labels["flavour"], -1),
        "origin": jnp.where(first[:, None], labels["origin"], -1),
        "hadron_class": jnp.where(first[:, None], labels["hadron_class"], 2),
        "hadrons": ObjectLabels(valid & first[:, None], masks & first[:, None, None]),
    }
    return [*full, (batch._replace(jet_valid=first, streams={"tracks": tracks}), labels)]


def ratio(passed):
    return passed.sum() / passed.size


def test_batches_add_up_to_the_file(tiny_config, network, sums, batches):
    found = validate(network, sums, network.params, iter(batches))
    batch, labels = together(batches)
    assert batch.jets.shape[0] == 4 + 4 + 1
    task = ObjectsTask("hadrons", tiny_config.tasks["hadrons"], context_of(tiny_config))

    @jax.jit
    def directly(params, batch, labels):
        outputs = network.apply(params, batch)
        objects = outputs["hadrons"].objects
        matched = reorder(objects, task.match(objects, batch, labels)).class_logits
        return stacked(network.terms(outputs, batch, labels)).mean(), outputs, matched

    losses, outputs, matched = directly(network.params, batch, labels)
    names = [f"val/loss/{name}" for name in network.losses]
    expected = dict(zip(names, np.asarray(losses), strict=True))
    predicted, real = np.asarray(matched).argmax(-1), np.asarray(labels["hadrons"].valid)
    jets = np.asarray(outputs["jet_class"]).argmax(-1)
    tracks = np.asarray(outputs["track_origin"]).argmax(-1)
    origin = np.asarray(labels["origin"])
    figures = {
        "val/accuracy/jet_class": ratio(jets == np.asarray(labels["flavour"])),
        "val/accuracy/track_origin": ratio((tracks == origin)[origin >= 0]),
        "val/efficiency/hadrons": ratio(predicted[real] != 2),
        "val/purity/hadrons": ratio(real[predicted != 2]),
    }
    assert found == pytest.approx(expected | figures, rel=1e-5)
    assert list(found) == [*names, *figures]
    assert all(0 < found[name] < 1 for name in figures)
    assert all(isinstance(value, float) for value in found.values())


def test_nothing_to_count_is_left_out(sums, network, batches):
    """A file without a hadron has no efficiency, and tracks without label no accuracy."""
    batch, labels = batches[0]
    nothing = {
        **labels,
        "origin": jnp.full_like(labels["origin"], -1),
        "hadron_class": jnp.full_like(labels["hadron_class"], 2),
        "hadrons": jax.tree.map(jnp.zeros_like, labels["hadrons"]),
    }
    found = validate(network, sums, network.params, [(batch, nothing)])
    counted = ("loss/jet_class", "loss/object_class", "accuracy/jet_class", "purity/hadrons")
    assert set(found) == {f"val/{name}" for name in counted}
    assert found["val/loss/jet_class"] > 0


def test_non_finite_prediction_shows_in_the_losses(sums, network, batches):
    params = network.params
    spoilt = {**params, "jets": params["jets"].at[:, 12:].set(jnp.nan)}
    found = validate(network, sums, spoilt, batches)
    assert np.isnan(found["val/loss/regression"]) and np.isfinite(found["val/loss/jet_class"])


def test_batches_are_compiled_once(network, batches):
    traces = []

    def apply(params, batch):
        traces.append(None)
        return network.apply(params, batch)

    counted = build(network._replace(apply=apply))
    validate(network, counted, network.params, batches)
    assert len(traces) == 1
