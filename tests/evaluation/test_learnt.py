import numpy as np
import pytest
from scipy import stats

from maskformer_jax.data.h5 import StreamRecords
from maskformer_jax.evaluation.learnt import Scaled, mask_means, naive, tables

TARGETS = ["good", "dead", "direction", "mass"]


@pytest.fixture(scope="module")
def entries():
    """A target that is predicted, one by a constant, one by less than its mask says, two values."""
    generator = np.random.default_rng(0)
    true = generator.normal(size=(2000, 4))
    called = generator.integers(0, 2, 2000)
    true[:, 3] = called + 0.01 * generator.normal(size=2000)
    true[:100, 0] = np.nan
    predicted = true + 0.3 * generator.normal(size=true.shape)
    predicted[:, 1] = 0.2
    means = np.full(true.shape, np.nan)
    means[:, 2] = 4 * true[:, 2] + 0.4 * generator.normal(size=2000) + 1
    return Scaled(true, predicted, called, means, generator.integers(0, 5, 2000))


def test_what_is_no_better_than_a_naive_prediction_is_not_learnt(entries):
    _, errors, widths = tables(entries, TARGETS, "hadrons", "Properties")
    marks = {name: errors.get(name, "network").remark for name in TARGETS}
    assert marks == {"good": "", "dead": "constant", "direction": "constant", "mass": "constant"}
    assert errors.notes[0].startswith("Not learnt: dead, direction, mass:")
    assert {name: widths.get(name, "network").remark for name in TARGETS} == marks
    assert {name for name in TARGETS if errors.get(name, "mask_mean")} == {"direction"}
    true = entries.true[:, 1]
    assert errors.get("dead", "constant").value == pytest.approx(abs(true - np.median(true)).mean())
    assert errors.get("dead", "network").value == pytest.approx(abs(true - 0.2).mean())
    # The line undoes factor and offset of the mean, and leaves its noise.
    assert widths.get("direction", "mask_mean").value == pytest.approx(0.1, rel=0.05)
    assert widths.get("mass", "class_constant").value == pytest.approx(0.01, rel=0.05)


def test_correlations_are_those_of_scipy(entries):
    learnt, *_ = tables(entries, TARGETS, "hadrons", "Properties")
    kept = np.isfinite(entries.true[:, 0])
    many = kept & (entries.constituents >= 2)
    x, y = entries.true[:, 0], entries.predicted[:, 0]
    expected = {
        "correlation": stats.pearsonr(x[kept], y[kept])[0],
        "rank_correlation": stats.spearmanr(x[kept], y[kept])[0],
        "correlation_many": stats.pearsonr(x[many], y[many])[0],
        "number": 1900,
    }
    assert {k: q.value for k, q in learnt.cells["good"].items()} == pytest.approx(expected)
    assert learnt.get("dead", "correlation").value == 0.0


def test_a_perfect_network_is_learnt_and_without_classes_and_masks_there_is_one_naive():
    true = np.random.default_rng(1).normal(size=(50, 1))
    zeros = np.zeros(50, int)
    entries = Scaled(true, true + 0.01, zeros, np.full((50, 1), np.nan), zeros)
    learnt, errors, _ = tables(entries, ["pt"], "jets", "Properties")
    assert not errors.get("pt", "network").remark and "Not learnt" not in " ".join(errors.notes)
    assert list(errors.columns) == ["network", "constant"]
    assert "correlation_many" not in learnt.columns


def test_means_over_masks_by_hand():
    """Of two jets: kept columns 2, 0 and 1; the last one of the first jet is padding."""
    table = np.array([[(1.0,), (np.nan,), (3.0,)], [(5.0,), (7.0,), (9.0,)]], [("deta", "f4")])
    stream = StreamRecords(table, np.array([[2, 0, -1], [1, 2, 0]]))
    index = np.array([[0, 0, 0], [1, -1, 1]])
    means = mask_means(stream, index, 2, ["deta", "mass"])
    np.testing.assert_array_equal(means[..., 0], [[2, 0], [0, 6]])
    assert np.isnan(means[..., 1]).all()


def test_constants_are_medians():
    found = naive(np.array([1.0, 2.0, 9.0]), np.array([3, 3, 1]), np.full(3, np.nan))
    assert {k: x.tolist() for k, x in found.items()} == {
        "constant": [2, 2, 2],
        "class_constant": [1.5, 1.5, 9],
    }
