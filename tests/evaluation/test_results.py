import json
import math

import numpy as np
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.discriminants import rejection_of
from maskformer_jax.evaluation.results import plain, read_results, write_results
from maskformer_jax.evaluation.section import Curve


def test_json_is_plain_and_complete(tmp_path):
    metrics = {"rejection": rejection_of(0, 1000), "confusion": np.eye(2, dtype=int)}
    curve = Curve(np.array([0.0, 1.0, 2.0]), np.array([1 / 3, np.nan]), np.array([0.1, np.inf]))
    write_results(metrics, {"part": {"curve": curve}}, tmp_path)
    metrics, curves = (
        json.loads((tmp_path / name).read_text(), parse_constant=lambda x: 1 / 0)
        for name in ("metrics.json", "curves.json")
    )
    assert metrics["rejection"]["is_lower_limit"] is True and metrics["rejection"]["error"] is None
    assert metrics["rejection"]["total"] == 1000 and metrics["confusion"] == [[1, 0], [0, 1]]
    expected = {"x": [0.0, 1.0, 2.0], "value": [0.3333333, None], "error": [0.1, None]}
    assert curves == {"part": {"curve": expected}}


def test_undefined_values_are_read_as_not_a_number(tmp_path):
    write_results({"a": {"b": [1, math.nan]}}, {}, tmp_path)
    result = read_results(tmp_path, "run")
    assert result.label == "run" and result.metrics["a"]["b"][0] == 1
    assert math.isnan(result.metrics["a"]["b"][1])


@pytest.mark.parametrize("content", ["{", "\0", ""])
def test_damaged_results_are_named(tmp_path, content):
    write_results({}, {}, tmp_path)
    (tmp_path / "curves.json").write_text(content)
    with pytest.raises(InputError, match=r"curves.json: not a file of an evaluation"):
        read_results(tmp_path, "run")


def test_missing_results_are_named(tmp_path):
    with pytest.raises(InputError, match=r"metrics.json: no such file; evaluate the run first"):
        read_results(tmp_path, "run")


def test_numpy_numbers_become_plain_ones():
    values = plain({"a": np.float64(0.5), "b": (1, 2), "c": np.int8(3)})
    assert values == {"a": 0.5, "b": (1, 2), "c": 3} and type(values["c"]) is int
