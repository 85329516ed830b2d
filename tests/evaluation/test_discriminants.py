import math

import numpy as np
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.discriminants import (
    FlavourIndices,
    b_discriminant,
    flavour_indices,
    rejection,
    threshold,
    working_point,
)

FLAVOURS = FlavourIndices(bottom=0, charm=1, light=2)


def test_flavours_are_found_by_name_in_any_order():
    assert flavour_indices({"ujets": 0, "taujets": 15, "bjets": 5, "cjets": 4}) == (2, 3, 0)


def test_missing_flavour_is_named():
    with pytest.raises(InputError, match=r"must name bjets, cjets and ujets.*'bjets', 'light'"):
        flavour_indices({"bjets": 0, "light": 1})


def test_discriminant_is_equation_4_3():
    prob = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    expected = np.log(prob[:, 0] / (0.2 * prob[:, 1] + 0.8 * prob[:, 2]))
    np.testing.assert_allclose(b_discriminant(np.log(prob), FLAVOURS, 0.2), expected, rtol=1e-12)


@pytest.mark.parametrize(("fraction", "column"), [(0.0, 2), (1.0, 1)])
def test_discriminant_at_the_ends_is_one_ratio(fraction, column):
    log_prob = np.log([[0.7, 0.2, 0.1]])
    expected = log_prob[:, 0] - log_prob[:, column]
    np.testing.assert_allclose(b_discriminant(log_prob, FLAVOURS, fraction), expected)


def test_discriminant_orders_jets_whose_probabilities_underflow():
    log_prob = np.array([[-200.0, 0.0, -300.0], [-250.0, 0.0, -300.0]], np.float32)
    first, second = b_discriminant(log_prob, FLAVOURS, 0.1)
    assert math.isfinite(second) and first > second


def test_rejection_by_hand():
    value = rejection(np.arange(1000) < 20)
    # r = 1000/20; r sqrt((1 - e)/(e N)) = 50 sqrt(0.98/20)
    assert value.value == pytest.approx(50)
    assert value.error == pytest.approx(50 * math.sqrt(0.98 / 20))
    assert not value.is_limit


def test_no_passing_jet_is_a_lower_limit_at_95_percent():
    value = rejection(np.zeros(1000, bool))
    assert value.is_limit and math.isnan(value.error)
    assert (1 - 1 / value.value) ** 1000 == pytest.approx(0.05)


def test_no_background_has_no_rejection():
    value = rejection(np.zeros(0, bool))
    assert math.isnan(value.value) and not value.is_limit


@pytest.mark.parametrize("efficiency", [0.01, 0.1, 0.3, 0.7, 0.99])
def test_threshold_keeps_no_less_and_hardly_more_than_asked(efficiency):
    signal = np.random.default_rng(0).permutation(10.0 * np.arange(10))
    kept = np.mean(signal >= threshold(signal, efficiency))
    assert efficiency - 1e-9 <= kept < efficiency + 0.1


def test_tied_scores_all_pass():
    signal, light = np.array([1.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0])
    point = working_point(signal, {"ujets": light, "cjets": np.zeros(0)}, 0.5)
    assert point.efficiency == 0.75
    assert point.rejections["ujets"][:4] == (2.0, pytest.approx(2 * math.sqrt(0.5)), 1, 2)
    assert point.rejections["cjets"].total == 0


def test_rejection_of_normal_scores_is_that_of_the_normal_distribution():
    mean = np.array([[0.0], [1.0], [2.0]])
    light, charm, bottom = mean + np.random.default_rng(0).normal(size=(3, 40_000))
    point = working_point(bottom, {"ujets": light, "cjets": charm}, 0.5)
    # Half of the b jets lie above 2; 15.87 % of the c jets and 2.275 % of the light jets do.
    for name, efficiency in (("cjets", 0.158655), ("ujets", 0.022750)):
        value = point.rejections[name]
        assert abs(value.value - 1 / efficiency) < 3 * value.error < 0.15 * value.value
