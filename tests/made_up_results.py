"""Results of evaluations that never happened, in the form of metrics.json and curves.json."""

import math

import numpy as np

from maskformer_jax.evaluation.results import Results

WORKING_POINTS = ("0.6", "0.7", "0.77", "0.85")
SCORES = {"precision": 0.8, "recall": 0.7, "f1": 0.74}
SIZES = {"ujets": 10_000, "cjets": 2_000, "bjets": 5_000}


def fraction(value, total=10_000):
    error = math.sqrt(value * (1 - value) / total) if total else math.nan
    return {"value": value, "error": error, "passed": round(value * total), "total": total}


def rejection(value, total):
    passed = round(total / value)
    return {
        "value": value,
        "error": value * math.sqrt((1 - 1 / value) / passed) if passed else math.nan,
        "passed": passed,
        "total": total,
        "is_lower_limit": passed == 0,
    }


def made_up(label="model", light=100.0, auc=0.95, tpr=0.7, width=0.4, vertex=0.5):
    """Results with a light rejection of `light` at 60 % b efficiency, and so on."""
    valid = {"tpr": tpr, "fpr": 0.1, "fnr": 1 - tpr, "tnr": 0.9}
    metrics = {
        "jets": sum(SIZES.values()),
        "tagging": {
            "jet_class": {
                "label": "flavour",
                "jets": {"unlabelled": 0, "classes": SIZES},
                "accuracy": fraction(0.7),
                "discriminants": {
                    "b": tagging("bjets", "cjets", light, WORKING_POINTS, 0.1),
                    "c": tagging("cjets", "bjets", light / 4, ("0.2", "0.5"), 0.2),
                },
            }
        },
        "vertexing": {"hadrons": {kind: vertices(vertex) for kind in ("exclusive", "inclusive")}},
        "constituents": {
            "track_origin": {
                "of": "tracks",
                "label": "origin",
                "accuracy": fraction(0.8),
                "classes": {
                    name: {**SCORES, "auc": auc, "number": number}
                    for name, number in {"Pileup": 20_000, "FromB": 9_000, "FromC": 5_000}.items()
                },
                "weighted": {**SCORES, "auc": auc},
            }
        },
        "objects": {
            "hadrons": {
                "of": "hadrons",
                "valid": {key: fraction(value) for key, value in valid.items()},
                "flavour": {name: fraction(tpr) for name in ("bc", "b", "c")},
            }
        },
        "regression": {
            "hadrons": {
                "entries": "hadrons",
                "against": "true hadron",
                "found": 900,
                "of": 1_000,
                "residuals": {
                    name: residual(name, width)
                    for name in ("pt", "Lxy", "mass", "deta", "Lxy_short", "deta_absolute")
                },
            }
        },
    }
    return Results(label, metrics, curves(light))


def tagging(signal, other, light, points, mix):
    def point(position, key):
        names = ("ujets", other)
        values = {name: light / (1 + position) / (1 + i) for i, name in enumerate(names)}
        rejections = {name: rejection(value, SIZES[name]) for name, value in values.items()}
        target = float(key)
        return {"target": target, "efficiency": target, "cut": 1.0, "rejections": rejections}

    taggers = {
        name: {key: point(i, key) for i, key in enumerate(points)}
        for name in ("MaskFormer", "baseline")
    }
    return {"signal": signal, "fractions": {other: mix, "ujets": 1 - mix}, "points": taggers}


def vertices(value):
    return {
        jets: {
            "efficiency": fraction(value, 0 if jets == "ujets" else 10_000),
            "purity": fraction(value),
            "with_vertex": fraction(v),
        }
        for jets, v in {"bjets": 0.7, "cjets": 0.4, "ujets": 0.2, "all": 0.4}.items()
    }


def residual(name, width):
    short = name.endswith("_short")
    return {
        "formula": f"{name}: true - predicted, true <= 1 mm"
        if short
        else f"{name}: true - predicted",
        "unit": "mm" if short else "",
        "mean": -0.1,
        "std": 3 * width,
        "median": 0.01,
        "half_width_68": width,
        "number": 900,
    }


def curves(light):
    x = np.linspace(0.49, 1.0, 5)
    roc = {"x": x.tolist(), "value": (1 + light * (1 - x)).tolist(), "error": [1.0] * 5}
    return {"tagging": {"jet_class": {"roc": {"b": {"MaskFormer": {"ujets": roc, "cjets": roc}}}}}}
