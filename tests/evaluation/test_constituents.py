from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from maskformer_jax.evaluation.constituents import (
    ConstituentsSection,
    area_error,
    areas,
    weighted,
)

CLASSES = ["primary", "fromB", "fromC"]


def test_auc_by_hand():
    prob = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.6, 0.4]], np.float32)
    # Of the four pairs of a track of class 0 and one of class 1, two are in order, one is tied.
    assert areas(prob, np.array([0, 0, 1, 1])) == pytest.approx([0.625, 0.625])


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
    np.testing.assert_array_equal(areas(prob, true), expected)


def table_of_section(setting, confusion, index, prob):
    task = next(task for task in setting.tasks if task.name == "track_origin")
    section = ConstituentsSection(setting, task)
    section.add(
        SimpleNamespace(
            labels={"origin": np.array([index])},
            predictions={"track_origin": {"log_prob": np.log(prob)}},
            counts={"track_origin": {"confusion": confusion}},
        )
    )
    (table,) = section.part().tables
    return table


def test_scores_are_those_of_scikit_learn(setting):
    generator = np.random.default_rng(1)
    true, predicted = generator.choice(8, (2, 2000))
    predicted = np.where(generator.random(2000) < 0.5, true, predicted)
    confusion = np.zeros((8, 8), int)
    np.add.at(confusion, (true, predicted), 1)
    table = table_of_section(setting, confusion, true, np.full((1, 2000, 8), 1 / 8))
    *classes, mean = table.rows
    for column, *expected in zip(
        ("precision", "recall", "f1"),
        precision_recall_fscore_support(true, predicted),
        precision_recall_fscore_support(true, predicted, average="weighted"),
        strict=False,
    ):
        own = [table.get(name, column).value for name in classes]
        np.testing.assert_allclose(own, expected[0])
        assert table.get(mean, column).value == pytest.approx(expected[1])


def test_empty_classes_weigh_nothing():
    assert weighted(np.array([0.5, np.nan, np.nan]), np.array([4, 0, 0])) == 0.5
    assert np.isnan(weighted(np.full(3, np.nan), np.zeros(3, int)))


def test_table_of_a_section(setting):
    """Three of class 0 called so, one of class 1 called class 0; the others have no entries."""
    confusion = np.zeros((8, 8), int)
    confusion[:2, 0] = 3, 1
    prob = np.full((1, 4, 8), 0.01)
    prob[0, :, 0] = 0.9, 0.8, 0.7, 0.6
    table = table_of_section(setting, confusion, [0, 0, 0, 1], prob)
    first, second, third = (table.cells[name] for name in list(table.rows)[:3])
    assert first["auc"].value == 1 and first["number"].value == 3
    assert (first["precision"].value, first["precision"].error) == (0.75, np.sqrt(0.1875 / 4))
    # What was not called so has no precision; the mean counts it as 0.
    assert "precision" not in second and list(third) == ["number"]
    assert [second[name].remark for name in ("recall", "f1")] == ["upper limit"] * 2
    assert second["recall"].value == pytest.approx(0.95)
    # 2 J/(1 + J), where 3 of the 4 that are or are called so are right.
    assert first["f1"].value == pytest.approx(6 / 7)
    assert first["f1"].error == pytest.approx(2 / 1.75**2 * np.sqrt(0.1875 / 4))
    mean = table.cells["weighted mean"]
    assert mean["precision"].error == pytest.approx(0.75 * first["precision"].error)
    assert mean["precision"].value == pytest.approx(0.75 * 0.75)
    assert (mean["recall"].value, mean["recall"].error) == (0.75, np.sqrt(0.1875 / 4))


def test_error_of_an_area_is_the_scatter_of_areas():
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [300, 900])
    areas = [roc_auc_score(labels, rng.exponential(1 + 2 * labels)) for _ in range(200)]
    assert area_error(np.mean(areas), 300, 900) == pytest.approx(np.std(areas), rel=0.15)
    assert np.isnan(area_error(0.9, 0, 10))
