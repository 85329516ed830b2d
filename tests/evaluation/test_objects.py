import numpy as np
import pytest

from maskformer_jax.evaluation.objects import (
    class_accuracy,
    cut_confusion,
    mask_confusion,
    valid_rates,
)

B, C, NONE = range(3)
# true class of the slot, probabilities of b, c and none of its object
SLOTS = [
    (B, (0.7, 0.2, 0.1)),
    (B, (0.2, 0.7, 0.1)),
    (B, (0.5, 0.3, 0.2)),  # not above 1/2
    (B, (0.4, 0.4, 0.2)),  # a hadron, but of no class
    (C, (0.1, 0.6, 0.3)),
    (NONE, (0.6, 0.1, 0.3)),
    (NONE, (0.1, 0.1, 0.8)),
    (NONE, (0.3, 0.3, 0.4)),
]


@pytest.fixture
def confusion():
    true, prob = zip(*SLOTS, strict=True)
    return cut_confusion(np.reshape(true, (2, 4)), np.reshape(prob, (2, 4, 3)))


def test_confusion_at_a_probability_of_one_half(confusion):
    np.testing.assert_array_equal(confusion, [[1, 1, 2], [0, 1, 0], [1, 0, 2]])


def test_valid_rates_by_hand(confusion):
    rates = valid_rates(confusion)
    assert [(rate.passed, rate.total) for rate in rates.values()] == [
        (3, 5),
        (1, 3),
        (2, 5),
        (2, 3),
    ]
    assert rates["tpr"].error == pytest.approx(np.sqrt(0.6 * 0.4 / 5))


def test_accuracy_of_classes_by_hand(confusion):
    found = [(part.passed, part.total) for part in class_accuracy(confusion)]
    assert found == [(2, 5), (1, 4), (1, 1)]


def test_without_hadrons_their_rates_are_undefined():
    confusion = cut_confusion(np.full((1, 2), NONE), np.array([[[0.2, 0.2, 0.6], [np.nan] * 3]]))
    rates = valid_rates(confusion)
    assert np.isnan([rates["tpr"].value, rates["fnr"].value]).all() and rates["tnr"].value == 1
    assert np.isnan([part.value for part in class_accuracy(confusion)]).all()


def test_objects_are_matched_by_tracks_alone():
    """A b hadron whose tracks a c object has, one that is not found, and one without tracks."""
    masks = np.zeros((2, 2, 4), bool)
    masks[0, 0, :2] = masks[0, 1, 3] = True
    true = np.array([[B, C], [B, NONE]])
    tracks = np.array([[1, 1, 0, -1], [-1, 0, -1, -1]])
    index = np.array([[B, C], [B, NONE]])
    found = mask_confusion(true, masks, index, tracks, NONE)
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 1], [2, 0, 0]])
