"""Records of the gradients of the losses, read back from a run, and smoothed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.errors import InputError
from maskformer_jax.training.interactions import FILE_NAME, Angles, pairs

WINDOW = 15
FEWEST = 4


class Record(NamedTuple):
    """All records of a run.

    Attributes:
        losses: their names, in the order of columns and pairs.
        steps: numbers of the recorded steps.
        parts: `whole` and the modules, record by record.
        curvature: along the update (Eq. 3.6 of the thesis), NaN where it was not recorded.
        curvature_in_direction: the same divided by the squared length of the gradient.
    """

    losses: tuple[str, ...]
    steps: Int[np.ndarray, " T"]
    parts: Mapping[str, Angles]
    curvature: Float[np.ndarray, " T"]
    curvature_in_direction: Float[np.ndarray, " T"]

    @property
    def window(self) -> int:
        """Records over which curves are averaged: 15, or half of them where there are few."""
        return min(WINDOW, len(self.steps) // 2)

    @property
    def smoothed_steps(self) -> Int[np.ndarray, " S"]:
        """Steps of the smoothed curves."""
        return self.steps[self.window :]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Numbers of the losses of each pair."""
        return pairs(len(self.losses))

    def smooth(self, values: Float[np.ndarray, "T *n"]) -> Float[np.ndarray, "S *n"]:
        """Mean over the window that ends in each record; the first window is discarded."""
        windows = np.lib.stride_tricks.sliding_window_view(values, self.window, axis=0)
        return mean(windows[1:], axis=-1)


def mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of what is known: a batch without hadrons has no gradient of some losses."""
    known = np.isfinite(values)
    number = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


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
        found = _record(lines) if len(lines) >= FEWEST else None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is damaged; remove its run and train again") from error
    if found is None:
        raise InputError(f"{path} has {len(lines)} records, too few for a curve: record more")
    return found


def _record(lines: list[dict]) -> Record:
    def column(part: str, field: str) -> Float[np.ndarray, "T n"]:
        return np.array([line["parts"][part][field] for line in lines], float)

    parts = {part: Angles(*(column(part, f) for f in Angles._fields)) for part in lines[0]["parts"]}
    curvature, direction = (
        np.array([line.get("curvature", {}).get(name) for line in lines], float)
        for name in ("mean", "in_direction")
    )
    steps = np.array([line["step"] for line in lines])
    return Record(tuple(lines[0]["losses"]), steps, parts, curvature, direction)
