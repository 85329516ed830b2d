import json
import math

import numpy as np

from maskformer_jax.evaluation.classification import fraction
from maskformer_jax.evaluation.discriminants import WorkingPoint, rejection
from maskformer_jax.evaluation.report import plain, table, write_json
from maskformer_jax.evaluation.vertexing import VertexMetrics


def metrics(light_passing=5, regression_number=3):
    light = rejection(np.arange(1000) < light_passing)
    point = WorkingPoint(0.7, 0.702, 1.5, light, rejection(np.arange(400) < 100))
    part = fraction(3, 4)
    empty = math.nan if regression_number == 0 else 0.25
    return {
        "jets": {
            "total": 1500,
            "unlabelled": 1,
            "classes": {"bjets": 99, "cjets": 400, "ujets": 1000},
        },
        "charm_fraction": 0.1,
        "rejection": {"MaskFormer": {"0.7": point}, "baseline": {"0.7": point}},
        "flavour": {"accuracy": part, "confusion": np.eye(3, dtype=int)},
        "track_origin": {"accuracy": part, "confusion": np.eye(8, dtype=int)},
        "vertexing": {"bjets": VertexMetrics(part, fraction(0, 0), part)},
        "objects": {
            name: part for name in ("class_accuracy", "overall_accuracy", "efficiency", "purity")
        },
        "regression": {
            "pt": {
                "relative": True,
                "median": empty,
                "half_width_68": empty,
                "mean": empty,
                "std": empty,
                "number": regression_number,
            }
        },
    }


def line(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_row_of_a_working_point():
    # 5 of 1000 pass: 200 +- 200 sqrt(0.995/5) = 89; 100 of 400: 4 +- 4 sqrt(0.75/100) = 0.35.
    text = table(metrics())
    assert " ".join(line(text, "70")) == "70 200 +- 89 * 200 +- 89 * 4.00 +- 0.35 4.00 +- 0.35"
    assert "* fewer than 10 background jets pass" in text


def test_zero_passing_jets_are_printed_as_a_limit():
    text = table(metrics(light_passing=0))
    # 1/(1 - 0.05^(1/1000)) = 334.3
    assert line(text, "70")[:3] == ["70", ">", "334"]
    assert "lower limit at 95 % confidence" in text


def test_many_passing_jets_need_no_footnote():
    text = table(metrics(light_passing=10))
    assert "fewer than" not in text and "lower limit" not in text


def test_undefined_values_are_dashes():
    text = table(metrics(regression_number=0))
    assert line(text, "(pt - true)/true")[-5:] == ["-", "-", "-", "-", "0"]
    assert line(text, "bjets")[-2:] != ["-", "-"] and " - " in text


def test_file_without_b_jets_has_no_rejections():
    values = metrics() | {"rejection": {"MaskFormer": {}, "baseline": {}}}
    assert "no b jets in this file" in table(values)


def test_table_fits_a_terminal():
    values = metrics()
    values["rejection"]["a" * 50] = values["rejection"].pop("MaskFormer")
    text = table(values)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()


def test_json_is_plain_and_complete(tmp_path):
    write_json(metrics(light_passing=0), tmp_path / "metrics.json")
    read = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=lambda x: 1 / 0)
    light = read["rejection"]["MaskFormer"]["0.7"]["light"]
    assert light["is_lower_limit"] is True and light["error"] is None and light["total"] == 1000
    assert read["flavour"]["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert read["vertexing"]["bjets"]["purity"]["value"] is None
    assert read["regression"]["pt"]["number"] == 3


def test_numpy_numbers_become_plain_ones():
    assert plain({"a": np.float64(0.5), "b": (1, 2)}) == {"a": 0.5, "b": (1, 2)}
