"""Results of evaluations that never happened."""

import numpy as np

from maskformer_jax.evaluation.quantities import count, number, percent, rejection
from maskformer_jax.evaluation.results import Confusion, Curve, Part, Points, Result, table_of
from maskformer_jax.tasks.confusion import fraction

WORKING_POINTS = ("0.6", "0.7", "0.77", "0.85")
SIZES = {"bjets": 5_000, "cjets": 2_000, "ujets": 10_000}
EDGES = np.array([10.0, 20.0, 40.0])


def share(value, better="high", total=10_000):
    return percent(fraction(round(value * total), total), better)


def made_up(label="model", light=100.0, auc=0.95, tpr=0.7, width=0.4, vertex=0.5, tasks=()):
    """Results with a light rejection of `light` at 60 % b efficiency, and so on.

    Further `tasks` have the same results as the first of each section.
    """
    jets = {name: {"jets": count(size), "accuracy": share(0.7)} for name, size in SIZES.items()}
    jets["unlabelled"] = {"jets": count(1)}
    rows = {name: f"{name[0]} jets" for name in jets}
    columns = {"jets": "number", "accuracy": "accuracy"}
    numbers = table_of("flavour", "Jets by flavour", rows, columns, jets)
    confusion = Confusion("jet_class_confusion", "Flavour", ["b", "c"], [[3, 1], [0, 0]])
    b_tagging = tagging("b", "c", light, WORKING_POINTS)
    c_tagging = tagging("c", "b", light / 4, ("0.2", "0.5"))
    sections = {
        "tagging": Part([numbers, b_tagging, c_tagging], [confusion], roc(light), roc(light / 2)),
        "vertexing": Part([vertices(kind, vertex) for kind in ("exclusive", "inclusive")]),
        "constituents": Part([origin(auc)]),
        "objects": Part([valid(tpr), object_classes(tpr)]),
        "regression": Part([widths(width)], curves=histograms(width)),
    }
    names = {"tagging": "jet_class", "constituents": "track_origin"}
    parts = {
        section: dict.fromkeys((names.get(section, "hadrons"), *tasks), part)
        for section, part in sections.items()
    }
    return Result(label, sum(SIZES.values()), parts, "/data/test.h5")


def tagging(signal, other, light, points):
    """Rejections; of other jets half those of light ones, and the baseline has a tenth."""
    columns = {"ujets": "light rejection", f"{other}jets": f"{other} rejection"}
    cells = {}
    for position, row in enumerate(points):
        cells[row] = {}
        for i, name in enumerate(columns):
            value, total = light / (1 + position) / (1 + i), SIZES[name]
            cells[row][name] = rejection(round(total / value), total)
        cells[row]["baseline"] = number(light / 10)
    rows = {point: f"{100 * float(point):g} %" for point in points}
    title = f"{signal}-tagging, D_{signal} with f_{other} = 0.1"
    columns["baseline"] = "light rejection (baseline)"
    options = {"corner": f"{signal} efficiency", "is_ratio": True}
    return table_of(f"{signal}_tagging", title, rows, columns, cells, **options)


def vertices(kind, value):
    columns = {"efficiency": "efficiency", "with_vertex": "vertex rate"}
    cells = {
        "bjets": {"efficiency": share(value), "with_vertex": share(0.7, "")},
        "ujets": {"with_vertex": share(0.2, "low")},
    }
    rows = {"bjets": "b jets", "ujets": "light jets"}
    return table_of(f"vertices_{kind}", f"Vertices, {kind}", rows, columns, cells)


def origin(auc):
    """Areas, and scores of the mean that have no error."""
    names = ("Pileup", "FromB", "Fake")
    cells = {name: {"auc": number(auc, 0.001, better="high")} for name in names[:2]}
    cells["Fake"] = {"number": count(0)}
    cells["weighted mean"] = {
        "auc": number(auc, 0.0007, better="high"),
        "f1": number(0.74, better="high"),
    }
    columns = {"auc": "AUC", "f1": "F1", "number": "tracks"}
    return table_of("origin", "Track origin", {name: name for name in cells}, columns, cells)


def valid(tpr):
    cells = {"tpr": {"share": share(tpr)}, "fpr": {"share": share(0.0, "low")}}
    rows = {name: name.upper() for name in cells}
    return table_of("valid_hadrons", "Hadron or none", rows, {"share": "share"}, cells)


def object_classes(value):
    rows = {"bc": "all hadrons", "b": "b hadrons", "c": "c hadrons"}
    cells = {name: {"share": share(value)} for name in rows}
    return table_of("hadron_classes", "Hadron class", rows, {"share": "share"}, cells)


def widths(width):
    rows = {
        "pt": "pt: (true - predicted)/true",
        "Lxy_below_scale": "Lxy: true - predicted, true <= 1 mm [mm]",
        "deta": "deta: (true - predicted)/true",
        "deta_absolute": "deta: true - predicted",
    }
    cells = {
        name: {
            "median": number(-0.01, 0.02, better="zero"),
            "half_width_68": number(
                width, 0.01 * width, "mm" if name == "Lxy_below_scale" else "", better="low"
            ),
        }
        for name in rows
    }
    columns = {"median": "median", "half_width_68": "half 68 % width"}
    title = "Hadron properties: median and width"
    return table_of("residual_widths", title, rows, columns, cells, is_ratio=True)


def roc(light):
    x = np.linspace(0.5, 1.0, 5)
    points = Points.with_error(x, 1 + light * (1 - x), np.ones(5))
    labels = {"x_label": "$b$-jet efficiency", "entries": 10_000, "title": "$f_{c}$ = 0.1"}
    return [Curve("roc_b", name, "roc", points, **labels) for name in ("ujets", "cjets")]


def histograms(width):
    points = Points.with_error(EDGES, np.array([20.0, 80.0]), np.array([4.5, np.nan]))
    return [Curve("residuals", "pt", "counts", points, "Residuals", mark=0.0, note=f"0 ± {width}")]
