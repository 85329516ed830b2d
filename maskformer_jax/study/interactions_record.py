"""Records of the gradients of the losses, read back from a run into tables, and smoothed."""

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import pandas as pd

from maskformer_jax.errors import InputError
from maskformer_jax.training.interactions import FILE_NAME, WHOLE

WINDOW = 15
FEWEST = 4

# `whole` and each module -> what `describe` says of it -> table with a row for each recorded step
# and a column for each loss (`mask CE`) or pair (`mask CE / mask dice`); NaN where it is not known.
# `whole` also has `curvature`: `mean`, along the update (Eq. 3.6 of the thesis), and `in_direction`
# (divided by the squared length of the gradient); NaN where it was not recorded.
Record = Mapping[str, Mapping[str, pd.DataFrame]]
Curves = TypeVar("Curves", pd.Series, pd.DataFrame)


def window(records: int) -> int:
    """Records over which curves are averaged: 15, or half of them where there are few."""
    return min(WINDOW, records // 2)


def smooth(values: Curves) -> Curves:
    """Mean over what is known in the window that ends in each row, without the first window.

    A batch without hadrons has no gradient of some losses.
    """
    size = window(len(values))
    return values.rolling(size, min_periods=1).mean().iloc[size:]


def read(run: Path) -> Record:
    """The records of a training.

    Raises:
        InputError: there are none, too few for a curve, or they are damaged.
    """
    path = run / FILE_NAME
    if not path.exists():
        raise InputError(f"{path} is not there: train with `training.record_interactions`")
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        if len(lines) >= FEWEST:
            return _record(lines)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is damaged; remove its run and train again") from error
    raise InputError(f"{path} has {len(lines)} records, too few for a curve: record more")


def _record(lines: list[dict]) -> Record:
    steps = [line["step"] for line in lines]
    # As in sentences and pictures.
    losses = [name.replace("_", " ").replace(" ce", " CE") for name in lines[0]["losses"]]
    pairs = list(map(" / ".join, combinations(losses, 2)))

    def table(part: str, field: str) -> pd.DataFrame:
        columns = losses if field.endswith(("l1", "l2")) else pairs
        rows = [line["parts"][part][field] for line in lines]
        return pd.DataFrame(rows, steps, columns, float)

    parts = {p: {f: table(p, f) for f in fields} for p, fields in lines[0]["parts"].items()}
    curvature = [line.get("curvature", {}) for line in lines]
    parts[WHOLE]["curvature"] = pd.DataFrame(curvature, steps, ["mean", "in_direction"], float)
    return parts
