"""What every part of the evaluation is given and gives back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.data import Records
from maskformer_jax.data.schema import Schema
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.results import Part
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import Labels

# Momenta and masses are MeV in files and metrics, GeV in curves and pictures.
MEV_PER_GEV = 1000.0


class Chunk(NamedTuple):
    """Some jets of the test file, on the host, without padding jets.

    Attributes:
        records: N rows of the file.
        labels: of the same jets, those that the file has.
        predictions: by task, arrays by name.
        counts: by task, sums from which its quick figures are made.
        predicted: by label that is regressed, `[..., R]` in the units of the file.
        true: likewise, of those that the file has.
    """

    records: Records
    labels: Labels
    predictions: Mapping[str, Mapping[str, np.ndarray]]
    counts: Mapping[str, Mapping[str, np.ndarray]]
    predicted: Mapping[str, np.ndarray]
    true: Mapping[str, np.ndarray]


def optional(table: np.ndarray | np.void, name: str) -> np.ndarray:
    """A field in double precision, NaN where the table does not have it."""
    if name in table.dtype.names:
        return np.asarray(table[name], np.float64)
    return np.full(np.shape(table), np.nan)


def place_of(task: Task, schema: Schema) -> str:
    """`jets`, the stream or the objects that a task is of; nothing for another kind of task."""
    options = task.options
    label = getattr(options, "label", None)
    if label in schema.labels:
        return schema.labels[label].of
    return getattr(options, "objects", getattr(options, "of", ""))


class Setting(NamedTuple):
    """What the sections of a test file are built with.

    Attributes:
        config: of the run.
        tasks: of the model.
        schema: what is read of the file.
        labels: names of the labels that the file has.
        baseline: tagger to compare with; none: the network alone.
    """

    config: Config
    tasks: Sequence[Task]
    schema: Schema
    labels: Sequence[str]
    baseline: Baseline | None = None

    def has(self, *labels: str) -> bool:
        """Whether the file has all of these labels."""
        return set(labels) <= set(self.labels)

    def classes(self, task: Task) -> list[str]:
        """Classes of a classification."""
        return list(self.schema.labels[task.options.label].classes)

    def place(self, task: Task) -> str:
        """`jets`, the stream or the objects that a task is of."""
        return place_of(task, self.schema)

    def axis(self, task: Task) -> str:
        """`jets`, `stream` or `objects`: what a task is of."""
        return self.schema.axis(self.place(task))

    def jet_label(self) -> str | None:
        """The first label by which a task tells jets and that the file has; none: no such."""
        for task in self.tasks:
            is_told = task.options.kind == "classification" and self.has(task.options.label)
            if is_told and self.axis(task) == "jets":
                return task.options.label
        return None


@dataclass
class Section(ABC):
    """One part of the evaluation of one task, such as its vertices.

    It keeps sums and small arrays only, so that a file of any length can be added.

    Attributes:
        setting: of the test file.
        task: what it is of.
        parts: what is kept of each chunk.
    """

    setting: Setting
    task: Task
    parts: list[Any] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self.parts.append(self.keep(chunk))

    @abstractmethod
    def keep(self, chunk: Chunk) -> Any:
        """A tuple of arrays that is kept of some jets."""

    def kept(self) -> Any:
        """What was kept of all jets, each array in one."""
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *self.parts)

    @abstractmethod
    def part(self) -> Part:
        """Tables of quantities, and what is to be drawn."""
