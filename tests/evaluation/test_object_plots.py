"""Pictures of vertices, constituents and objects."""

import copy

import numpy as np
import pytest
from matplotlib.figure import Figure

from maskformer_jax.evaluation.plots import classes, panels, vertexing
from maskformer_jax.evaluation.results import Results

EDGES = [0.0, 1.0, 10.0, 100.0]
# All pass in the second bin, the last is empty.
CURVE = {"x": EDGES, "value": [0.5, 1.0, np.nan], "error": [0.1, 0.0, np.nan]}
AGAINST_PT = CURVE | {"x": [20.0, 30.0, 100.0, 500.0]}
CLASS = {
    "efficiency": {"Lxy": CURVE},
    "purity": {"Lxy": CURVE},
    "with_vertex": {"pt": AGAINST_PT},
}
KINDS = ("exclusive", "inclusive")


def totals(true):
    return {"efficiency": {"total": true}, "with_vertex": {"total": 9}}


@pytest.fixture
def results():
    """Two runs; no c jets, no curves of b jets against pT, a class without tracks."""
    areas = [{"auc": auc, "number": number} for auc, number in ((0.9, 5), (0.4, 3), (np.nan, 0))]
    origin = {
        "of": "tracks",
        "label": "origin",
        "classes": dict(zip(("primary", "fromB", "fake"), areas, strict=True)),
        "accuracy": {"total": 8},
        "confusion": [[4, 1, 0], [0, 3, 0], [0, 0, 0]],
    }
    flavour = {"bc": {}, "b": {}, "c": {}}
    hadrons = {"of": "hadrons", "flavour": flavour, "confusion": np.eye(3).tolist()}
    of_class = {"bjets": totals(9), "ujets": totals(0), "all": totals(9)}
    metrics = {
        "vertexing": {"hadrons": dict.fromkeys(KINDS, of_class)},
        "constituents": {"track_origin": origin},
        "objects": {"hadrons": hadrons},
    }
    of_class = dict.fromkeys(("bjets", "ujets"), CLASS)
    curves = {"vertexing": {"hadrons": dict.fromkeys(KINDS, of_class)}}
    return [Results(label, metrics, curves) for label in ("A", "B")]


@pytest.mark.parametrize(
    "topic, names",
    [
        (vertexing, ["vertexing_bjets_Lxy.png", "vertexing_fake_rate.png"]),
        (
            classes,
            ["track_origin_confusion.png", "track_origin_auc.png", "hadrons_confusion.png"],
        ),
    ],
)
def test_pictures_are_drawn_where_there_is_something_to_draw(topic, names, results, tmp_path):
    files = topic.draw(results, tmp_path)
    assert [file.name for file in files] == names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert topic.draw([*results, Results("C", {}, {})], tmp_path) == []


def test_ratios_are_to_the_first_run():
    upper, lower = Figure().subplots(2)
    second = copy.deepcopy(CURVE)
    second["value"][0], second["error"][0] = 0.4, 0.05
    panels.binned(upper, [("A", CURVE), ("B", second)], lower)
    _, ratios = (patch.get_data().values for patch in lower.patches if not patch.get_fill())
    np.testing.assert_allclose(ratios, [0.8, 1.0, np.nan])
    band = next(patch.get_data() for patch in lower.patches if patch.get_fill())
    np.testing.assert_allclose([band.baseline[0], band.values[0]], [0.8, 1.2])


def test_the_range_is_that_of_the_filled_bins():
    other = CURVE | {"value": [np.nan, np.nan, 0.0]}
    assert panels.filled_range([CURVE]) == (0, 10)
    assert panels.filled_range([CURVE, other]) == (0, 100)
    assert panels.filled_range([CURVE | {"value": [np.nan] * 3}]) is None


def test_confusion_is_in_percent_of_the_true_class():
    figure = panels.confusions([("A", [[3, 1], [0, 0]])], ["x", "y"], "Title", (3, 3))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["75.0", "25.0", "-", "-"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x\n4", "y\n0"]
