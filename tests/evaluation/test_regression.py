import math

import numpy as np
import pytest

from maskformer_jax.config import TransformConfig
from maskformer_jax.evaluation.regression import definitions, residuals, spread

TRANSFORMS = {"pt": TransformConfig("log", 1000.0), "Lxy": TransformConfig("log1p", 1.0)}


def test_logarithmic_targets_have_relative_residuals():
    pt, length, angle = definitions(["pt", "Lxy", "deta"], TRANSFORMS)
    assert pt.relative and pt.minimum == 0
    assert length.relative and length.minimum == 1.0
    assert not angle.relative and angle.minimum == -math.inf


def test_residuals_by_hand():
    predicted = np.array([[[12e3, 3.0, 0.3], [9e3, 5.0, 0.0]], [[7e3, 1.0, 0.1], [1e3, 1.0, 9.0]]])
    true = np.array([[[10e3, 2.0, 0.1], [10e3, 0.5, -0.2]], [[8e3, 2.0, 0.1], [1e3, 9.0, 0.0]]])
    found = np.array([[True, True], [True, False]])
    pt, length, angle = residuals(
        predicted, true, found, definitions(["pt", "Lxy", "deta"], TRANSFORMS)
    )
    np.testing.assert_allclose(pt, [0.2, -0.1, -0.125])
    # The second hadron flew less than 1 mm.
    np.testing.assert_allclose(length, [0.5, -0.5])
    np.testing.assert_allclose(angle, [0.2, 0.2, 0.0], atol=1e-12)


def test_spread_of_a_normal_distribution():
    values = np.random.default_rng(0).normal(0.3, 2.0, 100_000).astype(np.float32)
    result = spread(values)
    assert result.median == pytest.approx(0.3, abs=0.03)
    assert result.half_width_68 == pytest.approx(2.0, rel=0.02)
    assert result.mean == pytest.approx(0.3, abs=0.03)
    assert result.std == pytest.approx(2.0, rel=0.02)
    assert result.number == 100_000


def test_tails_move_the_mean_but_not_the_median():
    values = np.concatenate([np.linspace(-1, 1, 1001), [1e6]])
    result = spread(values)
    assert abs(result.median) < 0.01 and result.half_width_68 == pytest.approx(0.68, abs=0.01)
    assert result.mean > 900


def test_spread_of_nothing_is_undefined():
    assert math.isnan(spread(np.zeros(0)).median) and spread(np.zeros(0)).number == 0
