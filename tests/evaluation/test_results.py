import dataclasses
import json
import math
import re

import numpy as np
import pytest
from jaxtyping import Float
from made_up_results import made_up

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.quantities import against_constant, number, percent, rejection
from maskformer_jax.evaluation.result_files import made, read_results, write_results
from maskformer_jax.evaluation.results import CONSTANT, FEW, LOWER, UPPER, Quantity
from maskformer_jax.tasks.confusion import fraction


def test_a_result_is_read_as_it_was_written(tmp_path):
    result = made_up("run")
    write_results(result, tmp_path)
    found = read_results(tmp_path, "run")
    np.testing.assert_equal(as_plain(found), as_plain(result))


def as_plain(result):
    """With lists for all sequences."""
    return json.loads(json.dumps(dataclasses.asdict(result), default=lambda x: x.tolist()))


def test_what_says_nothing_is_absent(tmp_path):
    write_results(made_up(), tmp_path)
    quantities, curves = (
        json.loads((tmp_path / name).read_text(), parse_constant=lambda x: 1 / 0)
        for name in ("metrics.json", "curves.json")
    )
    (origin,) = quantities["sections"]["constituents"]["track_origin"]["tables"]
    assert origin["cells"]["Fake"] == {"number": {"value": 0}}
    assert origin["cells"]["weighted mean"]["f1"] == {"value": 0.74, "better": "high"}
    (residuals,) = curves["sections"]["regression"]["hadrons"]["curves"]
    assert residuals["points"]["low"] == [15.5, None]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("metrics.json", lambda text: "{", "not a file of an evaluation"),
        ("curves.json", lambda text: "\0", "not a file of an evaluation"),
        ("curves.json", lambda text: text.replace('"x"', '"y"'), "not a file of an evaluation"),
        ("metrics.json", lambda text: "[]", "not a file of an evaluation"),
        ("metrics.json", lambda text: text.replace(': "high"', ': "up"'), "no quantity"),
        ("metrics.json", lambda text: text.replace('"value": 5000', '"value": "x"'), "no quantity"),
        ("metrics.json", lambda text: text.replace('"title"', '"titel"'), "titel"),
        ("metrics.json", lambda text: "{}", "its format is 1, not 4; evaluate the run again"),
        ("curves.json", lambda text: '{"format": 9}', "its format is 9, not 4"),
        ("metrics.json", None, "no such file; evaluate the run first"),
    ],
)
def test_damaged_files_and_other_versions_are_one_line(name, change, message, tmp_path):
    write_results(made_up(), tmp_path)
    path = tmp_path / name
    # A file without its checksum is read as one of an older version.
    text = re.sub(r'"checksum": ?\d+,', "", path.read_text())
    path.write_text(change(text)) if change else path.unlink()
    with pytest.raises(InputError, match=message) as caught:
        read_results(tmp_path, "run")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["metrics.json", "curves.json"])
def test_another_digit_is_noticed(name, tmp_path):
    write_results(made_up(), tmp_path)
    path = tmp_path / name
    path.write_text(path.read_text().replace("5000", "6000").replace("10000", "20000"))
    with pytest.raises(InputError, match="its checksum differs from the one that was saved"):
        read_results(tmp_path, "run")


def test_quantities_from_counts_by_hand():
    assert percent(fraction(1, 4)) == Quantity(25.0, 100 * math.sqrt(0.1875 / 4), "%", "high")
    assert percent(fraction(0, 0)) is rejection(0, 0) is number(math.nan) is None
    # (1 - e)^100 = 0.05, and (1 - 1/r)^1000 = 0.05.
    none, few, many = (rejection(n, 1000) for n in (0, 5, 10))
    limit = percent(fraction(0, 100), "low")
    assert (limit.value, limit.remark) == (pytest.approx(100 * (1 - 0.05**0.01)), UPPER)
    every = percent(fraction(100, 100))
    assert (every.value, every.remark) == (pytest.approx(100 * 0.05**0.01), LOWER)
    assert (none.value, none.remark) == (pytest.approx(1 / (1 - 0.05**0.001)), LOWER)
    assert (few.value, few.remark, many.remark) == (200, FEW, "")


@pytest.mark.parametrize(
    ("better", "value", "remark"),
    [("high", 1.3, ""), ("high", 1.1, CONSTANT), ("low", 0.7, ""), ("low", 1.5, CONSTANT)],
)
def test_what_is_no_better_than_a_constant_is_marked(better, value, remark):
    found = Quantity(value, 0.1, better=better)
    assert against_constant(found, 1.0) == Quantity(value, 0.1, better=better, remark=remark)
    limit = Quantity(0.5, better=better, remark=UPPER)
    assert against_constant(limit, 1.0) is limit and against_constant(None, 1.0) is None


def test_a_list_that_is_empty_is_an_array_of_its_own_shape():
    assert made(Float[np.ndarray, "T 2"], []).shape == (0, 2)
    assert made(Float[np.ndarray, " T"], []).shape == (0,)
