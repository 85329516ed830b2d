"""The programs in the documentation run, and their training works."""

import re
from pathlib import Path

import numpy as np
import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "weighting.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_there_are_programs():
    assert len(PROGRAMS) == 3


@pytest.mark.parametrize("program", PROGRAMS, ids=("function", "linen", "scalarised"))
def test_programs_run_and_lower_the_sum_of_the_losses(program):
    names = {}
    exec(program[: program.index("for _ in range(")], names)
    before = names["losses"](names["params"]).sum()
    names = {}
    exec(program, names)
    assert np.isfinite(names["losses"](names["params"])).all()
    assert names["losses"](names["params"]).sum() < before
