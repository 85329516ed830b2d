"""How near the methods that solve a problem come to its solution, over thousands of Gramians."""

import importlib.util
import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.made import at_least, chosen
from benchmarks.tables import Table
from maskformer_jax.errors import InputError

# What the tests hold the methods to, on fewer Gramians.
SOLUTIONS = Path(__file__).parents[1] / "tests" / "weighting" / "solutions.py"
SEED, DECADES = 7, 12
LARGE = 0.5  # above it a solver says that it did not find a solution


def run(
    tasks: Sequence[int] = (2, 4, 6, 16), gramians: int = 2000, methods: Sequence[str] | None = None
) -> Iterator[dict[str, Table]]:
    """Weights that solve a problem against its solution.

    Args:
        gramians: how many for each number of tasks, of every kind and of scales 1e-12 to 1e12
        methods: weightings that solve a problem
    """
    held = runpy.run_path(str(SOLUTIONS))
    kinds, cases = held["number_of_kinds"](), held["CASES"]
    at_least(2, tasks=tasks)
    at_least(kinds, gramians=gramians)
    names = chosen(methods, [label.split(":")[0] for label in cases])
    if importlib.util.find_spec("quadprog") is None:
        raise InputError("quadprog is missing; pip install -r requirements-dev.txt")
    rows = []
    labels = [label for label in cases if label.split(":")[0] in names]
    for k in tasks:
        matrices, _ = held["gramians"](k, -(-gramians // kinds), SEED, DECADES)
        for label in tqdm(labels, leave=False):
            excess, residuals = held["measure"](label, matrices)
            there = ~np.isnan(excess)
            worst, missed = excess[there].max(initial=0.0), int((excess[there] > 1).sum())
            large = int((residuals[there] > LARGE).sum())
            rows.append([label, k, int(there.sum()), float(worst), missed, large])
    columns = {"method": "", "K": "d", "solved": ",d", "worst": ".2f", "missed": "d"}
    columns[f"residual > {LARGE}"] = "d"
    yield {"solvers": Table("Distance from the solution, 1 where float32 ends", columns, rows)}
