"""Mean and spread of the inputs and targets of a training file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from maskformer_jax.data.h5 import JetFile, Records, select
from maskformer_jax.data.labels import real_objects
from maskformer_jax.data.salt import SMALLEST, FieldStatistics, load_norm
from maskformer_jax.data.scaling import FieldScaling, Scaling, unfitted
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.types import JETS

FIT_ROWS = 2000


def fit_scaling(
    file: JetFile, *, norm_file: str | None = None, num_jets: int | None = None
) -> Scaling:
    """Mean and spread of every input and target over the jets that are kept, in one pass.

    Means run over the jets, the constituents that are kept, and the objects to be found. Blocks
    are merged by the update of Chan, Golub and LeVeque (1983), which does not cancel.

    Args:
        file: training file, with truth.
        norm_file: statistics in Salt's form that replace the computed ones, except for fields
            with a transform or a denominator, which Salt's form does not know.
        num_jets: use the first jets only; none: all.

    Raises:
        InputError: an input or target of a real entry is not finite, outside the domain of its
            transform or the same everywhere; a stream or label has no real entry; or `norm_file`
            is missing or malformed.
    """
    norm = {} if norm_file is None else load_norm(norm_file)
    scaling = unfitted(file.schema)
    parts = dict(scaling.parts())
    moments = {name: _Moments(len(part.fields), part.ignore_nan) for name, part in parts.items()}
    for records in kept_blocks(file, num_jets):
        tables = _tables(records, scaling, file.schema)
        for (name, part), (table, rows) in zip(parts.items(), tables, strict=True):
            values = part.transformed(table, rows, records.path)
            # Field by field in memory, the sums would differ in their last digits.
            moments[name].add(np.ascontiguousarray(values.T))
    for name, part in parts.items():
        parts[name] = _fitted(part, moments[name], norm.get(part.dataset, {}), file.path)
    return Scaling(
        parts["jets"],
        {name: parts[f"streams.{name}"] for name in scaling.streams},
        {name: parts[f"targets.{name}"] for name in scaling.targets},
    )


def _fitted(
    part: FieldScaling, moments: "_Moments", given: Mapping[str, FieldStatistics], path: Path
) -> FieldScaling:
    mean, std = moments.mean, moments.std()
    columns = zip(part.fields, part.transforms, part.denominators, strict=True)
    for column, (name, transform, denominator) in enumerate(columns):
        if name in given and transform.name == "identity" and denominator is None:
            mean[column], std[column] = given[name].mean, given[name].std
        elif moments.count[column] == 0:
            raise InputError(
                f"{path}: dataset `{part.dataset}` has no real entry in the jets that are kept, "
                f"so that the spread of `{name}` is unknown"
            )
        elif moments.low[column] == moments.high[column] or std[column] < SMALLEST:
            raise InputError(
                f"{path}: field `{name}` of dataset `{part.dataset}` has zero spread, its mean is "
                f"{mean[column]:g}; take it out of the configuration"
            )
    return part._replace(mean=mean, std=std)


class _Moments:
    """Running count, mean, sum of squared deviations and range of each column."""

    def __init__(self, columns: int, ignore_nan: bool):
        self.count = np.zeros(columns, int)
        self.mean = np.zeros(columns)
        self.squares = np.zeros(columns)
        self.low = np.full(columns, np.inf)
        self.high = np.full(columns, -np.inf)
        # Columns with NaN have counts of their own.
        all_columns = [slice(columns)]
        self._together = [slice(i, i + 1) for i in range(columns)] if ignore_nan else all_columns
        self._ignore_nan = ignore_nan

    def add(self, values: np.ndarray) -> None:
        for columns in self._together:
            some = values[:, columns]
            self._add(columns, some[~np.isnan(some[:, 0])] if self._ignore_nan else some)

    def _add(self, columns: slice, values: np.ndarray) -> None:
        if len(values) == 0:
            return
        mean = values.mean(axis=0)
        before = self.count[columns]
        count = before + len(values)
        shift = mean - self.mean[columns]
        self.squares[columns] += np.square(values - mean).sum(axis=0)
        self.squares[columns] += shift**2 * (before * len(values) / count)
        self.mean[columns] += shift * (len(values) / count)
        self.count[columns] = count
        self.low[columns] = np.minimum(self.low[columns], values.min(axis=0))
        self.high[columns] = np.maximum(self.high[columns], values.max(axis=0))

    def std(self) -> np.ndarray:
        return np.sqrt(self.squares / np.maximum(self.count, 1))


def kept_blocks(file: JetFile, num_jets: int | None) -> Iterator[Records]:
    """The jets that are kept, some at a time."""
    kept = file.kept()[:num_jets]
    for start in range(0, len(kept), FIT_ROWS):
        some = kept[start : start + FIT_ROWS]
        records = file.read(start, start + len(some))
        yield records if some.all() else select(records, np.flatnonzero(some))


def _tables(
    records: Records, scaling: Scaling, schema: Schema
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Structured real entries of each part, with the rows that they come from."""
    places = {JETS: (records.jets, records.rows)}
    for name, stream in records.streams.items():
        table, counts = stream.kept()
        places[name] = table, np.repeat(records.rows, counts)
    for name, table in records.objects.items():
        jet, column = np.nonzero(real_objects(table[:, : schema.objects[name].cap], schema, name))
        places[name] = table[jet, column], records.rows[jet]
    yield places[JETS]
    yield from (places[name] for name in scaling.streams)
    yield from (places[schema.labels[name].of] for name in scaling.targets)
