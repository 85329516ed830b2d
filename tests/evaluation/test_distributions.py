import math

import numpy as np
import pytest
from scipy import stats

from maskformer_jax.evaluation.distributions import (
    binned_spread,
    histogram,
    quantile_error,
    round_up,
    spread,
)


def test_spread_of_a_normal_distribution():
    values = np.random.default_rng(0).normal(0.3, 2.0, 100_000).astype(np.float32)
    result = spread(values)
    assert result.median == pytest.approx(0.3, abs=0.03)
    assert result.half_width_68 == pytest.approx(2.0, rel=0.02)
    assert result.mean == pytest.approx(0.3, abs=0.03)
    assert result.std == pytest.approx(2.0, rel=0.02)
    assert result.number == 100_000


def test_quantiles_are_those_of_scipy():
    values = np.random.default_rng(1).standard_cauchy(401)
    low, middle, high = stats.mstats.mquantiles(values, [0.16, 0.5, 0.84], alphap=1, betap=1)
    result = spread(values)
    assert result.median == pytest.approx(middle, rel=1e-12)
    assert result.half_width_68 == pytest.approx((high - low) / 2, rel=1e-12)


def test_mean_and_std_of_single_precision_are_summed_in_double():
    values = np.full(200_001, 1000.1, np.float32)
    values[0] += 1
    assert spread(values).mean == pytest.approx(values.astype(np.float64).mean(), rel=1e-12)
    assert spread(values).std == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


def test_tails_move_the_mean_but_not_the_median():
    values = np.concatenate([np.linspace(-1, 1, 1001), [1e6]])
    result = spread(values)
    assert abs(result.median) < 0.01 and result.half_width_68 == pytest.approx(0.68, abs=0.01)
    assert result.mean > 900


def test_one_entry_has_a_place_and_no_width():
    result = spread(np.array([3.0]))
    assert (result.median, result.mean, result.number) == (3, 3, 1)
    assert math.isnan(result.half_width_68) and math.isnan(result.std)


@pytest.mark.parametrize("values", [np.zeros(0), np.array([np.inf, -np.inf])])
def test_a_spread_that_is_not_defined_is_nan(values):
    assert math.isnan(spread(values).mean) and spread(values).number == len(values)


@pytest.mark.parametrize("level", [0.16, 0.5])
def test_quantile_error_is_that_of_the_density(level):
    """sqrt(p (1 - p)/n)/f(x_p) for many values."""
    values = stats.norm.ppf((np.arange(40_000) + 0.5) / 40_000)
    density = stats.norm.pdf(stats.norm.ppf(level))
    expected = math.sqrt(level * (1 - level) / len(values)) / density
    assert quantile_error(values, level) == pytest.approx(expected, rel=0.01)


def test_profile_has_the_spread_of_each_bin_and_errors_that_repetition_shows():
    generator = np.random.default_rng(2)
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    x = np.repeat([0.0, 1.5, 2.5, 3.0, -1.0], [400, 400, 19, 50, 50])
    repeated = np.array(
        [
            [
                (curve.value[0], curve.error[0])
                for curve in binned_spread(generator.normal(1, 2, len(x)), x, edges).values()
            ]
            for _ in range(300)
        ]
    )
    for column in range(2):
        values, errors = repeated[:, column].T
        assert errors.mean() == pytest.approx(values.std(), rel=0.15)
    values = generator.normal(1, 2, len(x))
    curves = binned_spread(values, x, edges)
    second = spread(values[400:800])
    assert curves["median"].value[1] == second.median
    assert curves["half_width_68"].value[1] == second.half_width_68
    assert all(
        math.isnan(curve.value[2]) and math.isnan(curve.error[2]) for curve in curves.values()
    )


def test_outer_bins_hold_what_is_beyond():
    curve = histogram(np.array([-5.0, 0.1, 0.2, 1.0, 7.0]), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_array_equal(curve.value, [3, 2])
    np.testing.assert_allclose(curve.error, np.sqrt([3, 2]))
    np.testing.assert_array_equal(curve.x, [0, 0.5, 1])


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.05, 0.05), (0.051, 0.1), (1.2, 2.0), (3.0, 5.0), (0.0007, 0.001)]
)
def test_round_up(value, rounded):
    assert round_up(value) == rounded
