import types

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from maskformer_jax.evaluation.binned_efficiency import BinnedEfficiency, inverse, of_jets
from maskformer_jax.evaluation.config import EvaluationConfig, FieldsConfig


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
    efficiency = BinnedEfficiency([0, 1, 2, 4], groups=2)
    x = np.array([0.0, 0.5, 1.0, 4.0, 4.1, -0.1, np.nan, 0.5, 0.5])
    group = np.array([0, 0, 0, 0, 0, 0, 0, 1, -1])
    passed = np.array([1, 0, 1, 0, 1, 1, 1, 1, 0], bool)
    for part in (slice(0, 5), slice(5, None)):
        efficiency.add(x[part], group[part], passed[part])
    np.testing.assert_array_equal(efficiency.curve(0).value, [0.5, 1, 0])
    intervals = proportion_intervals([1, 1, 0], [2, 1, 1])
    np.testing.assert_allclose([efficiency.curve(0).low, efficiency.curve(0).high], intervals)
    np.testing.assert_array_equal(efficiency.curve(1).value, [1, np.nan, np.nan])
    np.testing.assert_array_equal(efficiency.curve(1).low, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(efficiency.curve(1).x, [0, 1, 2, 4])


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
