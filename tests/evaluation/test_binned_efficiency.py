import types

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from maskformer_jax.evaluation.config import EvaluationConfig, FieldsConfig
from maskformer_jax.evaluation.distributions import binomial, in_bins, inverse, of_jets


def proportion_intervals(passed, total):
    """Wilson's interval by SciPy."""
    level = 2 * norm.cdf(1) - 1
    found = [
        binomtest(k, n).proportion_ci(level, "wilson") for k, n in zip(passed, total, strict=True)
    ]
    return np.transpose(found)


def test_rejections_have_intervals_or_limits():
    curve = inverse(np.arange(4), np.array([1, 0, 0, 5]), np.array([2, 0, 100, 5]))
    np.testing.assert_array_equal(curve.value, [2, np.nan, np.nan, 1])
    low, high = proportion_intervals([1, 5], [2, 5])
    np.testing.assert_allclose(curve.low[[0, 3]], 1 / high)
    np.testing.assert_allclose(curve.high[[0, 3]], 1 / low)
    # (1 - 1/r)^100 = 0.05
    assert (1 - 1 / curve.low[2]) ** 100 == pytest.approx(0.05)
    assert np.isnan([curve.low[1], curve.high[1], curve.high[2]]).all()


def test_a_profile_counts_in_bins():
    x = np.array([0.0, 0.5, 1.0, 4.0, 4.1, -0.1, np.nan, 0.5, 0.5])
    group = np.array([0, 0, 0, 0, 0, 0, 0, 1, -1])
    passed = np.array([1, 0, 1, 0, 1, 1, 1, 1, 0], bool)
    counts = in_bins([0, 1, 2, 4], x, passed, group, 2)
    np.testing.assert_array_equal(counts, [[[1, 1, 0], [1, 0, 0]], [[2, 1, 1], [1, 0, 0]]])
    first, second = (binomial([0, 1, 2, 4], *numbers) for numbers in counts.swapaxes(0, 1))
    np.testing.assert_array_equal(first.value, [0.5, 1, 0])
    intervals = proportion_intervals([1, 1, 0], [2, 1, 1])
    np.testing.assert_allclose([first.low, first.high], intervals)
    np.testing.assert_array_equal(second.value, [1, np.nan, np.nan])
    np.testing.assert_array_equal(second.low, [0.5, np.nan, np.nan])


@pytest.mark.parametrize(
    ("axis", "field", "expected"),
    [
        ("pt", "pt", [20, 30]),
        ("pt", "energy", [np.nan, np.nan]),
        ("eta", "eta", [0.5, 2]),
        ("eta", "energy", [np.nan, np.nan]),
    ],
)
def test_pt_of_jets_is_in_gev_and_eta_without_sign(axis, field, expected):
    jets = np.array([(2e4, 0.5), (3e4, -2)], [("pt", "f4"), ("eta", "f4")])
    chunk = types.SimpleNamespace(records=types.SimpleNamespace(jets=jets))
    fields = FieldsConfig(**{f"jet_{axis}": field})
    config = types.SimpleNamespace(evaluation=EvaluationConfig(fields=fields))
    np.testing.assert_array_equal(of_jets(chunk, config, axis), expected)
