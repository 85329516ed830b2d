import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from maskformer_jax.evaluation.constituents import (
    ClassScores,
    class_averages,
    class_metrics,
)

CLASSES = ["primary", "fromB", "fromC"]


def softmax(logits):
    prob = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (prob / prob.sum(axis=1, keepdims=True)).astype(np.float32)


def scores(prob, true_index):
    """Added in two parts of different size."""
    result = ClassScores(prob.shape[1])
    for part in (slice(0, 10), slice(10, None)):
        result.add(prob[part], true_index[part])
    return result


# Log-odds of size 0.05 to 100: near a constant, and beyond what float32 tells from 0 and 1.
@pytest.mark.parametrize("scale", [0.05, 1.0, 8.0, 100.0])
def test_auc_is_that_of_scikit_learn(scale):
    generator = np.random.default_rng(3)
    true = generator.choice(3, 20_000, p=[0.9, 0.09, 0.01])
    prob = softmax(scale * (generator.normal(size=(len(true), 3)) + 1.5 * np.eye(3)[true]))
    expected = [roc_auc_score(true == index, prob[:, index]) for index in range(3)]
    np.testing.assert_allclose(scores(prob, true).auc(), expected, atol=1e-4, rtol=0)


def test_auc_by_hand():
    prob = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.6, 0.4]], np.float32)
    # Of the four pairs of a track of class 0 and one of class 1, two are in order, one is tied.
    assert scores(prob, np.array([0, 0, 1, 1])).auc() == pytest.approx([0.625, 0.625])


@pytest.mark.parametrize(
    "true, prob, expected",
    {
        "no tracks": (np.zeros(0, int), np.zeros((0, 2)), [np.nan] * 2),
        "one class": (np.zeros(3, int), np.full((3, 2), 0.5), [np.nan] * 2),
        "not a number": (np.array([0, 1]), np.array([[0.9, np.nan], [0.1, 0.9]]), [1, np.nan]),
        "certain": (np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]), [1, 1]),
    }.values(),
)
def test_auc_without_an_answer_is_undefined(true, prob, expected):
    np.testing.assert_array_equal(scores(prob, true).auc(), expected)


def test_scores_are_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    true, predicted = generator.choice(3, (2, 500), p=[0.7, 0.2, 0.1])
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (true, predicted), 1)
    auc = np.array([0.9, 0.8, 0.7])
    found = class_metrics(confusion, auc, CLASSES)
    expected = np.array(precision_recall_fscore_support(true, predicted))
    np.testing.assert_allclose([row[1:] for row in found.values()], expected.T)
    assert [row.auc for row in found.values()] == auc.tolist()
    averages = class_averages(confusion, auc)
    expected = precision_recall_fscore_support(true, predicted, average="weighted")[:3]
    np.testing.assert_allclose(averages[1:], expected)
    assert averages.auc == pytest.approx(np.average(auc, weights=np.bincount(true)))


def test_empty_classes_are_undefined_and_weigh_nothing():
    # 4 primary tracks, one of which is called fromB; nothing is or is called fromC.
    confusion = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    found = class_metrics(confusion, np.array([0.5, np.nan, np.nan]), CLASSES)
    assert found["primary"][1:] == (1.0, 0.75, pytest.approx(6 / 7), 4)
    assert found["fromB"].precision == 0 and np.isnan(found["fromB"].recall)
    assert np.isnan(found["fromC"][:4]).all() and found["fromC"].number == 0
    averages = class_averages(confusion, np.array([0.5, np.nan, np.nan]))
    assert averages == (0.5, 1.0, 0.75, pytest.approx(6 / 7))


def test_a_class_that_no_track_is_called_has_no_precision_in_the_mean():
    averages = class_averages(np.array([[3, 0], [1, 0]]), np.array([0.5, 0.5]))
    assert averages.precision == pytest.approx(0.75 * 0.75)


def test_without_tracks_everything_is_undefined():
    nothing, undefined = np.zeros((3, 3), int), np.full(3, np.nan)
    assert np.isnan(class_averages(nothing, undefined)).all()
    for row in class_metrics(nothing, undefined, CLASSES).values():
        assert np.isnan(row[:4]).all() and row.number == 0
