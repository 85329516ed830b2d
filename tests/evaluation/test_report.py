import json
import math

import numpy as np
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.classification import fraction
from maskformer_jax.evaluation.discriminants import WorkingPoint, rejection
from maskformer_jax.evaluation.report import table
from maskformer_jax.evaluation.results import plain, read_results, write_results
from maskformer_jax.evaluation.vertexing import VertexMetrics


def metrics(light_passing=5, regression_number=3):
    """Content of metrics.json, before it is written."""
    light = rejection(np.arange(1000) < light_passing)
    charm = rejection(np.arange(400) < 100)
    point = WorkingPoint(0.7, 0.702, 1.5, {"ujets": light, "cjets": charm})
    part = fraction(3, 4)
    empty = math.nan if regression_number == 0 else 0.25
    spread = dict.fromkeys(("median", "half_width_68", "mean", "std"), empty)
    return {
        "jets": {
            "total": 1500,
            "unlabelled": 1,
            "classes": {"bjets": 99, "cjets": 400, "ujets": 1000},
        },
        "tagging": {
            "accuracy": part,
            "confusion": np.eye(3, dtype=int),
            "b": {
                "fraction": 0.1,
                "points": {"MaskFormer": {"0.7": point}, "baseline": {"0.7": point}},
            },
        },
        "vertexing": {"exclusive": {"bjets": VertexMetrics(part, fraction(0, 0), part)}},
        "track_origin": {"accuracy": part, "confusion": np.eye(8, dtype=int)},
        "hadrons": {
            name: part for name in ("class_accuracy", "overall_accuracy", "efficiency", "purity")
        },
        "regression": {
            "found": 3,
            "of": 4,
            "residuals": {
                "pt": {
                    "formula": "pt: true - predicted",
                    "unit": "MeV",
                    **spread,
                    "number": regression_number,
                }
            },
        },
    }


def read(tmp_path, values):
    """The metrics as the report gets them."""
    write_results(values, {}, tmp_path)
    return read_results(tmp_path, "run").metrics


def line(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_row_of_a_working_point(tmp_path):
    # 5 of 1000 pass: 200 +- 200 sqrt(0.995/5) = 89; 100 of 400: 4 +- 4 sqrt(0.75/100) = 0.35.
    text = table(read(tmp_path, metrics()))
    assert " ".join(line(text, "70")) == "70 200 +- 89 * 200 +- 89 * 4.00 +- 0.35 4.00 +- 0.35"
    assert "* fewer than 10 background jets pass" in text


def test_zero_passing_jets_are_printed_as_a_limit(tmp_path):
    text = table(read(tmp_path, metrics(light_passing=0)))
    # 1/(1 - 0.05^(1/1000)) = 334.3
    assert line(text, "70")[:3] == ["70", ">", "334"]
    assert "lower limit at 95 % confidence" in text


def test_many_passing_jets_need_no_footnote(tmp_path):
    text = table(read(tmp_path, metrics(light_passing=10)))
    assert "fewer than" not in text and "lower limit" not in text


def test_undefined_values_are_dashes(tmp_path):
    text = table(read(tmp_path, metrics(regression_number=0)))
    assert line(text, "pt: true")[-5:] == ["-", "-", "-", "-", "0"]
    assert line(text, "bjets")[-2:] != ["-", "-"] and " - " in text


def test_file_without_b_jets_has_no_rejections(tmp_path):
    values = metrics()
    values["tagging"]["b"]["points"] = {"MaskFormer": {}, "baseline": {}}
    assert "no b jets in this file" in table(read(tmp_path, values))


def test_table_fits_a_terminal(tmp_path):
    values = metrics()
    points = values["tagging"]["b"]["points"]
    points["a" * 50] = points.pop("MaskFormer")
    text = table(read(tmp_path, values))
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()


def test_json_is_plain_and_complete(tmp_path):
    write_results(metrics(light_passing=0), {"a": np.array([1.0, np.nan])}, tmp_path)
    names = ("metrics.json", "curves.json")
    metrics_read, curves_read = (
        json.loads((tmp_path / name).read_text(), parse_constant=lambda x: 1 / 0) for name in names
    )
    light = metrics_read["tagging"]["b"]["points"]["MaskFormer"]["0.7"]["rejections"]["ujets"]
    assert light["is_lower_limit"] is True and light["error"] is None and light["total"] == 1000
    assert metrics_read["tagging"]["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert metrics_read["vertexing"]["exclusive"]["bjets"]["purity"]["value"] is None
    assert curves_read == {"a": [1.0, None]}


def test_undefined_values_are_read_as_not_a_number(tmp_path):
    first, second = read(tmp_path, {"a": {"b": [1, math.nan]}})["a"]["b"]
    assert first == 1 and math.isnan(second)


@pytest.mark.parametrize("content", ["{", "\xff", ""])
def test_damaged_results_are_named(tmp_path, content):
    write_results({}, {}, tmp_path)
    (tmp_path / "curves.json").write_text(content)
    with pytest.raises(InputError, match=r"curves.json: not a file of an evaluation"):
        read_results(tmp_path, "run")


def test_missing_results_are_named(tmp_path):
    with pytest.raises(InputError, match=r"metrics.json: no such file; evaluate the run first"):
        read_results(tmp_path, "run")


def test_numpy_numbers_become_plain_ones():
    assert plain({"a": np.float64(0.5), "b": (1, 2)}) == {"a": 0.5, "b": (1, 2)}
