"""The programs in the documentation run, and their training works."""

import inspect
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from wheel import PROGRAMS

from maskformer_jax.weighting import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "weighting.md"
KINDS = (
    *("step", "function", "nnx", "linen", "equinox", "haiku", "batches", "representation"),
    "scalarised",
)


def test_there_are_programs():
    assert len(PROGRAMS) == len(KINDS)


def losses_after(program):
    names = {}
    exec(program, names)
    arguments = [names[name] for name in inspect.signature(names["losses"]).parameters]
    return np.asarray(jax.tree.leaves(names["losses"](*arguments)))


@pytest.mark.parametrize("program", PROGRAMS, ids=KINDS)
def test_programs_run_and_lower_the_sum_of_the_losses(program):
    before = losses_after(program[: program.index("for _ in range(")])
    after = losses_after(program)
    assert np.isfinite(after).all() and after.sum() < before.sum()


def test_table_names_every_method_with_its_file():
    rows = re.findall(r"^\| `(\w+)` \|.*\[(\w+)\.py\]\((.*?)\)", DOCS.read_text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(METHODS)
    for name, stem, path in rows:
        assert stem == f"_{METHODS[name].__name__}"
        assert (DOCS.parent / path).is_file() and path.endswith(f"/{stem}.py")


def test_table_counts_passes_as_the_families_do():
    cells = re.findall(
        r"^\| `(\w+)` \|.*?\.py.*?\| (\S+).*?\| (\d) \|", DOCS.read_text(), re.MULTILINE
    )
    assert {name: (backward, forward) for name, backward, forward in cells} == {
        name: (
            "1" if method.family == "loss" else "K",
            "1" if "losses_after" in method.needs else "0",
        )
        for name, method in METHODS.items()
    }
