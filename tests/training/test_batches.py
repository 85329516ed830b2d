"""Parts of a batch: which rows are a sample, keys of their own, and counts of nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.gradients import LossSums, micro_batches
from maskformer_jax.training import state, step
from maskformer_jax.training.batches import parts_of, sample_of
from maskformer_jax.types import Batch, ObjectLabels, Pairs, Stream
from maskformer_jax.weighting import METHODS

PARTS, ROWS, JETS, WIDTH = 3, 6, 2, 4


@pytest.fixture
def batch():
    """Every number says where it stands; two parts are used, the second with a single jet."""
    jets = jnp.arange(PARTS * ROWS * JETS).reshape(PARTS, -1)
    rows = jnp.arange(PARTS * ROWS).reshape(PARTS, -1)
    tracks = jnp.broadcast_to(rows[..., None, None], (PARTS, ROWS, WIDTH, 1))
    masks = jnp.broadcast_to(jets[..., None, None], (PARTS, ROWS * JETS, 1, WIDTH))
    real = (jets < ROWS * JETS) | (jets == ROWS * JETS + 3)
    valid = jnp.broadcast_to(real[..., None], (PARTS, ROWS * JETS, WIDTH))
    labels = {
        "flavour": jets,
        "origin": tracks[..., 0],
        "hadrons": ObjectLabels(valid[..., :1], masks),
    }
    return Batch(jets[..., None], real, {"tracks": Stream(tracks, valid)}, {}), labels


@pytest.mark.parametrize(("fraction", "rows"), [(0.5, [0, 2, 4]), (0.1, [0]), (0.34, [0, 3])])
def test_sample_has_evenly_spaced_rows_with_their_jets(batch, fraction, rows):
    (found, labels, index), used = sample_of(*batch, fraction)
    jets = np.ravel([[JETS * row + jet for jet in range(JETS)] for row in rows])
    np.testing.assert_array_equal(found.jets[..., 0], np.asarray(batch[0].jets)[:, jets, 0])
    np.testing.assert_array_equal(labels["hadrons"].masks, batch[1]["hadrons"].masks[:, jets])
    tracks = batch[0].streams["tracks"].values
    np.testing.assert_array_equal(found.streams["tracks"].values, tracks[:, np.array(rows)])
    np.testing.assert_array_equal(labels["origin"], batch[1]["origin"][:, np.array(rows)])
    np.testing.assert_array_equal(found.jet_valid, np.asarray(batch[0].jet_valid)[:, jets])
    # The single jet of the second part may not be in it: the part counts all the same.
    assert used == 2 and index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("fraction", "spread", "rows", "used"),
    [
        (0.25, 2, [[0, 2, 4]], 1),
        (0.5, 2, [[0, 1, 2, 3, 4, 5]], 1),
        (0.75, 2, [[0, 1, 3, 4]] * 2, 2),
        (0.9, 3, [[0, 1, 2, 3, 4]] * 3, 2),
        (0.01, 3, [[0]], 1),
        (0.5, 1, [[0, 2, 4]], 1),
    ],
)
def test_sample_is_of_as_few_parts_as_hold_it(batch, fraction, spread, rows, used):
    """Two of three parts are used, whatever the loader spreads a batch over."""
    (found, labels, index), number = sample_of(*batch, fraction, spread)
    expected = np.asarray(rows) + ROWS * np.arange(len(rows))[:, None]
    np.testing.assert_array_equal(found.streams["tracks"].values[:, :, 0, 0], expected)
    np.testing.assert_array_equal(labels["origin"][:, :, 0], expected)
    np.testing.assert_array_equal(found.jets[:, ::JETS, 0], JETS * expected)
    assert number == used and index.tolist() == list(range(len(rows)))


@pytest.mark.parametrize("spread", [None, 1, PARTS])
def test_sample_of_everything_is_none(batch, spread):
    assert sample_of(*batch, 1.0, spread) is None
    assert sample_of(*batch, 0.99, spread) is None


def test_without_a_stream_a_row_is_a_jet(batch):
    jets = batch[0]._replace(streams={})
    (found, labels, _), _ = sample_of(jets, {"flavour": batch[1]["flavour"]}, 0.5)
    np.testing.assert_array_equal(found.jets, jets.jets[:, ::2])
    np.testing.assert_array_equal(labels["flavour"], jets.jets[:, ::2, 0])


@pytest.mark.parametrize("groups", [1, 3, ROWS])
def test_sample_has_the_pairs_of_its_rows(batch, groups):
    """Every row has a pair of the constituents 0 and 2, and one of 1 and 3."""
    rows = np.arange(ROWS)
    begin = WIDTH * (rows % (ROWS // groups))[:, None]
    first, second = (begin + np.array(x) for x in ([0, 1], [2, 3]))
    pairs = [
        np.broadcast_to(x.reshape(groups, -1), (PARTS, groups, 2 * ROWS // groups))
        for x in (first, second, np.ones_like(first, bool))
    ]
    with_pairs = batch[0]._replace(pairs={"tracks": Pairs(*map(jnp.asarray, pairs))})
    (found, _, _), _ = sample_of(with_pairs, batch[1], 0.5)
    first, second, valid = found.pairs["tracks"]
    assert valid.shape == (PARTS, 1, 2 * ROWS) and (valid.sum(2) == 6).all()
    expected = [(WIDTH * row + i, WIDTH * row + i + 2) for row in range(3) for i in (0, 1)]
    for part in range(PARTS):
        kept = np.asarray(valid[part, 0])
        places = zip(first[part, 0][kept].tolist(), second[part, 0][kept].tolist(), strict=True)
        assert sorted(places) == expected


def test_used_parts_of_both_halves(batch):
    found = parts_of(*jax.tree.map(lambda x: jnp.concatenate([x[:2], x[1:]]), batch), halves=2)
    np.testing.assert_array_equal(found.used, [2, 1])
    assert parts_of(*batch).used == 2


def test_a_task_without_a_term_has_no_gradient_rather_than_a_nan():
    np.testing.assert_array_equal(micro_batches.cotangents(jnp.asarray([4.0, 0.0])), [0.25, 0.0])


def test_every_part_and_every_step_has_dropout_of_its_own(batch):
    """A network whose output is its noise, a loss that is its output."""

    def apply(params, batch, key):
        del batch
        return params["x"] * jax.random.normal(key)

    def terms(outputs, batch, labels):
        del batch, labels
        return [LossSums(outputs, jnp.ones(()))]

    method, optimiser = METHODS["equal"](1), optax.sgd(0.0)
    params = {"x": jnp.ones(())}
    make = step.build(
        *(apply, terms, step.Weighting(method), optimiser, optax.constant_schedule(0.0)),
        seed=3,
        dropout=True,
    )
    current = state.create(params, method, optimiser, 1)
    for number in range(2):
        current, metrics = make(current, *batch)
        keys = [jax.random.fold_in(jax.random.key(3), number * PARTS + part) for part in range(2)]
        expected = np.mean([jax.random.normal(key) for key in keys])
        np.testing.assert_allclose(metrics.losses, [expected], rtol=1e-6)
