"""What every kind of trial has: a module of this folder with four names.

    KIND = "words for the table"
    FULL = trials of the whole campaign
    SHORT = trials in `make test`
    def trials(number, seed, folder, first=0) -> Iterator[Trial]

`trials` yields the trials first, first + 1, ..., number - 1, each at its end. `folder` is an empty
one of its own. A trial is known again by seed and index: its draws come from `draws(seed, index)`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np


class Trial(NamedTuple):
    """One thing that was tried.

    Attributes:
        what: in a few words.
        held: whether the program did what it promises.
        note: what it did; what it said, if anything.
    """

    what: str
    held: bool
    note: str


class Kind(Protocol):
    """A module of trials."""

    KIND: str
    FULL: int
    SHORT: int

    def trials(self, number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
        """The trials from `first` to `number`, one after the other."""


def draws(seed: int, index: int) -> np.random.Generator:
    """The random numbers of one trial."""
    return np.random.default_rng([seed, index])
