"""Edges against a loop over all ordered pairs, and the first layer that is split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maskformer_jax.build import build_tasks, context_of
from maskformer_jax.model.network import Features
from maskformer_jax.tasks.edges import EdgeHead, EdgeLogits
from maskformer_jax.types import Pairs

CLASSES = ("pileup", "fake", "primary", "fromB", "fromBC", "fromC", "fromTau", "otherSecondary")
HEAVY = {3, 4, 5}
FAKE = 1


def salt(a, b):
    """Heavy-heavy and heavy-fake 2, fake-fake 0, all else 1."""
    if a == b == FAKE:
        return 0.0
    if {a, b} & HEAVY and {a, b} <= HEAVY | {FAKE}:
        return 2.0
    return 1.0


def task_of(tiny_with, *more):
    config = tiny_with(
        "--without=[jet_class, track_origin, hadrons]",
        "--tasks.vertexing={kind: edges, label: vertex}",
        *more,
    )
    (task,) = build_tasks(config)
    return task, context_of(config)


def with_pairs(batch):
    """All pairs of every jet, of which none has more than `P`, in a random order."""
    generator, valid = np.random.default_rng(0), np.asarray(batch.streams["tracks"].valid)
    first, second, real = (np.zeros((len(valid), 23), int) for _ in range(3))
    for jet, tracks in enumerate(valid):
        places = [(i, j) for i in np.flatnonzero(tracks) for j in np.flatnonzero(tracks) if i < j]
        for slot, (i, j) in zip(generator.permutation(23), places, strict=False):
            first[jet, slot], second[jet, slot], real[jet, slot] = i, j, 1
    pairs = Pairs(jnp.asarray(first), jnp.asarray(second), jnp.asarray(real, bool))
    return batch._replace(pairs={"tracks": pairs})


@pytest.fixture
def case(make_batch):
    """Batch, labels and logits by (jet, from, to)."""
    batch, labels = make_batch()
    batch, generator = with_pairs(batch), np.random.default_rng(1)
    shape = batch.streams["tracks"].valid.shape
    valid = np.asarray(batch.streams["tracks"].valid)
    vertex = np.where(valid, generator.integers(-1, 3, shape), -1)
    origin = np.where(valid, generator.choice([-1, 0, 1, 1, 2, 3, 4, 6], shape), -1)
    labels = {**labels, "vertex": jnp.asarray(vertex), "origin": jnp.asarray(origin)}
    labels["weight"] = jnp.asarray([0.5, 2.0, 1.0, 3.0, 9.0])
    logits = 2 * generator.normal(size=(*shape, shape[1]))
    return batch, labels, logits.astype(np.float32)


def edge_logits(batch, logits):
    pairs = batch.pairs["tracks"]
    rows = np.arange(len(logits))[:, None]
    forward, backward = (
        logits[rows, pairs.first, pairs.second],
        logits[rows, pairs.second, pairs.first],
    )
    # What stands at padding has no meaning.
    return EdgeLogits(*(jnp.where(pairs.valid, x, jnp.inf) for x in (forward, backward)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pair_weights", ["equal", "salt"])
def test_loss_is_that_of_a_loop_over_ordered_pairs(pair_weights, weighted, tiny_with, case):
    more = ["--data.labels.weight={of: jets, field: w}", "--tasks.vertexing.sample_weight=weight"]
    task, _ = task_of(
        tiny_with, f"--tasks.vertexing.pair_weights={pair_weights}", *(more if weighted else [])
    )
    batch, labels, logits = case
    valid, vertex, origin = (
        np.asarray(x) for x in (batch.streams["tracks"].valid, labels["vertex"], labels["origin"])
    )
    total = count = 0.0
    for jet, i, j in np.ndindex(*logits.shape):
        if i == j or not (valid[jet, i] and valid[jet, j]):
            continue
        edge = vertex[jet, i] == vertex[jet, j] >= 0
        weight = float(labels["weight"][jet]) if weighted else 1.0
        of_pair = salt(origin[jet, i], origin[jet, j]) if pair_weights == "salt" else 1.0
        x = np.float64(logits[jet, i, j])
        total += weight * of_pair * np.log1p(np.exp(-x if edge else x))
        count += weight * (edge if pair_weights == "salt" else 1.0)
    (found,) = task.terms(edge_logits(batch, logits), batch, labels)
    np.testing.assert_allclose([found.total, found.count], [total, count], rtol=2e-5)


def without_pairs(batch):
    return batch._replace(pairs=jax.tree.map(jnp.zeros_like, batch.pairs))


NOTHING = {
    "no pair": ("equal", without_pairs, lambda labels: labels),
    "no pair, Salt": ("salt", without_pairs, lambda labels: labels),
    "no edge, Salt": ("salt", lambda batch: batch, lambda labels: jnp.full_like(labels, -1)),
}


@pytest.mark.parametrize("row", NOTHING)
def test_nothing_to_divide_by_gives_zero_and_zero_gradients(row, tiny_with, case):
    pair_weights, batch_of, labels_of = NOTHING[row]
    task, context = task_of(tiny_with, f"--tasks.vertexing.pair_weights={pair_weights}")
    batch, labels, _ = case
    batch, labels = batch_of(batch), {**labels, "vertex": labels_of(labels["vertex"])}
    head, features = EdgeHead("tracks", (4,), context, nnx.Rngs(0)), features_of(batch, context)

    def loss(states):
        moved = features._replace(streams={"tracks": states})
        return task.terms(head(moved, {}, batch, None), batch, labels)[0].mean()

    value, gradient = jax.value_and_grad(loss)(features.streams["tracks"])
    assert value == 0 and not gradient.any()


def features_of(batch, context):
    generator, own = np.random.default_rng(2), batch.streams["tracks"].jets_of_rows()
    states = generator.normal(
        size=(*batch.streams["tracks"].values.shape[:2], context.widths.constituent)
    )
    pooled = generator.normal(size=(*own.shape[:2], context.widths.pooled))
    return Features(
        {"tracks": jnp.asarray(states, jnp.float32)},
        {"tracks": own},
        jnp.asarray(pooled, jnp.float32),
    )


@pytest.mark.parametrize("widths", [(6,), (6, 5)])
def test_the_split_first_layer_is_that_of_the_concatenation(widths, tiny_with, case):
    _, context = task_of(tiny_with, "--model.jet_inputs=both")
    assert context.widths.pooled != context.widths.constituent
    batch, features = case[0], features_of(case[0], context)
    head = EdgeHead("tracks", widths, context, nnx.Rngs(0))
    head.network.layers[0].bias[...] = jnp.arange(6.0)
    found, states = head(features, {}, batch, None), features.streams["tracks"]
    pairs = batch.pairs["tracks"]
    for jet, slot in np.argwhere(pairs.valid):
        i, j = pairs.first[jet, slot], pairs.second[jet, slot]
        for x, (a, b) in zip(found, ((i, j), (j, i)), strict=True):
            joined = jnp.concatenate([features.pooled[jet, 0], states[jet, a], states[jet, b]])
            np.testing.assert_allclose(x[jet, slot], head.network(joined)[0], rtol=1e-4, atol=1e-5)
        if slot > 8:
            break


def test_figures_count_unordered_pairs(tiny_with, case):
    task, _ = task_of(tiny_with)
    batch, labels, logits = case
    vertex, pairs = np.asarray(labels["vertex"]), batch.pairs["tracks"]
    found = true = both = 0
    for jet, slot in np.argwhere(pairs.valid):
        i, j = int(pairs.first[jet, slot]), int(pairs.second[jet, slot])
        is_edge = vertex[jet, i] == vertex[jet, j] >= 0
        called = logits[jet, i, j] + logits[jet, j, i] >= 0
        found, true, both = found + called, true + is_edge, both + (called and is_edge)
    figures = task.figures(jax.device_get(task.count(edge_logits(batch, logits), batch, labels)))
    assert figures == pytest.approx(
        {"efficiency/vertexing": both / true, "purity/vertexing": both / found}
    )
