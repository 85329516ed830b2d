import math

import numpy as np
import pytest

from maskformer_jax.evaluation.quantities import rejection
from maskformer_jax.evaluation.tagging_curves import discriminant, threshold, with_first

BOTTOM, CHARM, LIGHT, TAU = range(4)


def test_discriminant_of_any_classes():
    """Two backgrounds are Eq. 4.3 of the thesis; a class without a fraction does not enter."""
    prob = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.3, 0.5, 0.1]])
    for fractions in ({CHARM: 0.2, LIGHT: 0.8}, {CHARM: 0.2, LIGHT: 0.7, TAU: 0.1}, {TAU: 1.0}):
        mixture = sum(f * prob[:, column] for column, f in fractions.items())
        expected = np.log(prob[:, BOTTOM] / mixture)
        found = discriminant(np.log(prob), BOTTOM, fractions)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_discriminant_orders_jets_whose_probabilities_underflow():
    log_prob = np.array([[-200.0, 0.0, -300.0], [-250.0, 0.0, -300.0]], np.float32)
    first, second = discriminant(log_prob, BOTTOM, {CHARM: 0.1, LIGHT: 0.9})
    assert math.isfinite(second) and first > second


@pytest.mark.parametrize(
    ("fractions", "value", "expected"),
    [
        ((0.1, 0.9), 0.3, (0.3, 0.7)),
        ((0.2, 0.6, 0.2), 0.6, (0.6, 0.3, 0.1)),
        ((1.0, 0.0, 0.0), 0.5, (0.5, 0.25, 0.25)),
    ],
)
def test_the_other_fractions_fill_up_one(fractions, value, expected):
    found = with_first(dict(zip("xyz", fractions, strict=False)), value)
    assert tuple(found.values()) == pytest.approx(expected)


def test_rejection_by_hand():
    value = rejection(20, 1000)
    # r = 1000/20; r sqrt((1 - e)/(e N)) = 50 sqrt(0.98/20)
    assert value.value == pytest.approx(50)
    assert value.error == pytest.approx(50 * math.sqrt(0.98 / 20))
    assert not value.is_limit and rejection(0, 0) is None


def test_no_passing_jet_is_a_lower_limit_at_95_percent():
    value = rejection(0, 1000)
    assert value.is_limit and math.isnan(value.error)
    assert (1 - 1 / value.value) ** 1000 == pytest.approx(0.05)


@pytest.mark.parametrize("efficiency", [0.01, 0.1, 0.3, 0.7, 0.99])
def test_threshold_keeps_no_less_and_hardly_more_than_asked(efficiency):
    signal = np.random.default_rng(0).permutation(10.0 * np.arange(10))
    kept = np.mean(signal >= threshold(signal, efficiency))
    assert efficiency - 1e-9 <= kept < efficiency + 0.1


def test_tied_scores_all_pass():
    signal, light = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0])
    cut = threshold(signal, 0.5)
    assert np.mean(signal >= cut) == 0.75
    assert np.count_nonzero(light >= cut) == 1


def test_rejection_of_normal_scores_is_that_of_the_normal_distribution():
    mean = np.array([[0.0], [1.0], [2.0]])
    light, charm, bottom = mean + np.random.default_rng(0).normal(size=(3, 40_000))
    cut = threshold(bottom, 0.5)
    # Half of the b jets lie above 2; 15.87 % of the c jets and 2.275 % of the light jets do.
    for score, efficiency in ((charm, 0.158655), (light, 0.022750)):
        value = rejection(int(np.count_nonzero(score >= cut)), len(score))
        assert abs(value.value - 1 / efficiency) < 3 * value.error < 0.15 * value.value
