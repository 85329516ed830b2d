"""How near the methods that solve a problem come to its solution, over thousands of Gramians.

From the root of the repository:

    python -m tests.weighting.distances [--tasks 6 16] [--methods cagrad nash_mtl]
"""

import argparse
import sys

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

# What the tests hold the methods to, on fewer Gramians.
from tests.weighting.solutions import CASES, gramians, measure, number_of_kinds

SEED, DECADES = 7, 12
LARGE = 0.5  # above it a solver says that it did not find a solution
HEADS = ["method", "K", "solved", "worst", "missed", f"residual > {LARGE}"]


def distances(tasks, number, methods):
    """Rows of the table: weights that solve a problem against its solution.

    Args:
        tasks: numbers of them.
        number: Gramians for each, of every kind and of scales 1e-12 to 1e12.
        methods: their names.
    """
    labels = [label for label in CASES if label.split(":")[0] in methods]
    for k in tasks:
        matrices, _ = gramians(k, -(-number // number_of_kinds()), SEED, DECADES)
        for label in tqdm(labels, leave=False):
            excess, residuals = measure(label, matrices)
            there = ~np.isnan(excess)
            worst, missed = excess[there].max(initial=0.0), int((excess[there] > 1).sum())
            large = int((residuals[there] > LARGE).sum())
            yield label, k, int(there.sum()), float(worst), missed, large


def main(argv):
    """Prints the table."""
    names = sorted({label.split(":")[0] for label in CASES})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 6, 16])
    parser.add_argument("--gramians", type=int, default=2000)
    parser.add_argument("--methods", nargs="+", choices=names, default=names)
    given = parser.parse_args(argv)
    print("Distance from the solution, 1 where float32 ends")
    print(tabulate(distances(given.tasks, given.gramians, given.methods), HEADS, floatfmt=".2f"))


if __name__ == "__main__":
    main(sys.argv[1:])
