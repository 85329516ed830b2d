"""Fields -> numbers of order one: a transform, then mean and spread of the training file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax import configuration
from maskformer_jax.data.config import TransformConfig, TransformName
from maskformer_jax.data.salt import FieldStatistics
from maskformer_jax.data.schema import Schema, Targets
from maskformer_jax.errors import InputError
from maskformer_jax.types import JETS

FILE_NAME = "normalisation.yaml"


class Transform(NamedTuple):
    """An increasing function of x and the scale, and its inverse; `m` is NumPy or JAX's."""

    forward: Callable[..., Any]
    inverse: Callable[..., Any]


TRANSFORMS = {
    "identity": Transform(lambda x, by, m=np: x, lambda y, by, m=np: y),
    "log": Transform(lambda x, by, m=np: m.log(x / by), lambda y, by, m=np: by * m.exp(y)),
    "log1p": Transform(lambda x, by, m=np: m.log1p(x / by), lambda y, by, m=np: by * m.expm1(y)),
    "asinh": Transform(lambda x, by, m=np: m.arcsinh(x / by), lambda y, by, m=np: by * m.sinh(y)),
}


class FieldScaling(NamedTuple):
    """Transform, mean and spread of some fields of a dataset.

    Attributes:
        dataset: name of the dataset.
        fields: names of its fields.
        transforms: applied to each field first.
        denominators: field by which each is divided before; none: by nothing.
        mean: `[F]` float64, of the transformed field.
        std: `[F]` float64, of the transformed field.
        ignore_nan: values that are NaN in the file stay so, rather than being an error.
    """

    dataset: str
    fields: tuple[str, ...]
    transforms: tuple[TransformConfig, ...]
    denominators: tuple[str | None, ...]
    mean: np.ndarray
    std: np.ndarray
    ignore_nan: bool = False

    def standardise(self, table: np.ndarray, rows: np.ndarray, path: str) -> np.ndarray:
        """(transform(x) - mean) / std of every field, float32 `[n, F]`.

        Args:
            table: structured `[n]`.
            rows: `[n]` row in the file, for the message.
            path: the file, for the message.

        Raises:
            InputError: a value is not finite, outside the domain of its transform, or beyond single
                precision.
        """
        values = self._transformed(table, np.float32)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            values -= self.mean.astype(np.float32)[:, None]
            values /= self.std.astype(np.float32)[:, None]
        self._check_finite(values, table, rows, path)
        return np.ascontiguousarray(values.T)

    def transformed(self, table: np.ndarray, rows: np.ndarray, path: str) -> np.ndarray:
        """transform(x) of every field, float64 `[F, n]`; otherwise as `standardise`."""
        values = self._transformed(table, np.float64)
        with np.errstate(over="ignore"):
            self._check_finite(values.astype(np.float32), table, rows, path)
        return values

    def _transformed(self, table: np.ndarray, dtype: type) -> np.ndarray:
        values = np.empty((len(self.fields), len(table)), dtype)
        columns = zip(values, self.fields, self.transforms, self.denominators, strict=True)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for row, name, transform, denominator in columns:
                row[:] = table[name]
                if denominator is not None:
                    row /= table[denominator]
                if transform.name != "identity":
                    row[:] = TRANSFORMS[transform.name].forward(row, transform.scale)
        return values

    def _check_finite(
        self, values: np.ndarray, table: np.ndarray, rows: np.ndarray, path: str
    ) -> None:
        finite = np.isfinite(values)
        if self.ignore_nan and not finite.all():
            finite |= self._given_as_nan(table)
        if not finite.all():
            entry, column = np.argwhere(~finite.T)[0]
            self._refuse(int(column), table[entry], int(rows[entry]), path)

    def to_physical(self, values: Any, xp: Any = np, dtype: Any = np.float64) -> Any:
        """x of standardised `values [..., F]`, by `xp`; a ratio to a denominator stays one."""
        values = xp.asarray(values, dtype) * self.std.astype(dtype) + self.mean.astype(dtype)
        columns = enumerate(self.transforms)
        with np.errstate(over="ignore"):
            found = [TRANSFORMS[t.name].inverse(values[..., i], t.scale, xp) for i, t in columns]
        return xp.stack(found, axis=-1)

    def physical_std(self, values: Any, std: Any, xp: Any = np, dtype: Any = np.float64) -> Any:
        """Half of what lies within one standard deviation `std` of standardised values, in x."""
        return sum(sign * self.to_physical(values + sign * std, xp, dtype) / 2 for sign in (-1, 1))

    def _given_as_nan(self, table: np.ndarray) -> np.ndarray:
        """True `[F, n]` where a field or its denominator is NaN in the file."""
        names = zip(self.fields, self.denominators, strict=True)
        return np.array(
            [np.isnan(table[x]) | (False if y is None else np.isnan(table[y])) for x, y in names]
        )

    def _refuse(self, column: int, entry: np.void, row: int, path: str) -> None:
        where = f"{path}: field `{self.fields[column]}` of dataset `{self.dataset}`"
        value, denominator = entry[self.fields[column]], self.denominators[column]
        if denominator is not None and not (np.isfinite(entry[denominator]) and entry[denominator]):
            raise InputError(
                f"{where} is {value} in row {row} and its denominator `{denominator}` "
                f"{entry[denominator]}, which must be finite and not 0"
            )
        if np.isfinite(value):
            one = np.array([entry])
            name, number = self.transforms[column].name, self._transformed(one, np.float64)[column]
            problem = f"outside the domain of its transform `{name}`"
            if np.isfinite(number):
                problem = "beyond single precision after its scaling"
            raise InputError(f"{where} is {value} in row {row}, {problem}")
        raise InputError(f"{where} is {value} in row {row}; real entries must be finite")


class Scaling(NamedTuple):
    """The scaling of everything that is learned from or predicted.

    Attributes:
        jets: of `Batch.jets`.
        streams: of the values of each stream.
        targets: of each label that is regressed, by its name.
    """

    jets: FieldScaling
    streams: Mapping[str, FieldScaling]
    targets: Mapping[str, FieldScaling]

    def to_physical(self, label: str, values: np.ndarray) -> np.ndarray:
        """The inverse of the scaling of a label.

        A field with a denominator stays divided by it: that is for who knows the jet.

        Args:
            label: its name.
            values: `[..., R]` in the scale of the label.

        Returns:
            float64 `[..., R]` in the units of the file: MeV, mm, rad.
        """
        return self.targets[label].to_physical(values)

    def parts(self) -> Iterator[tuple[str, FieldScaling]]:
        """All parts by the place in the file where they are written."""
        yield "jets", self.jets
        yield from ((f"streams.{name}", part) for name, part in self.streams.items())
        yield from ((f"targets.{name}", part) for name, part in self.targets.items())

    def check(self, schema: Schema) -> None:
        """Raises InputError unless the fields and their transforms are those of the schema."""
        expected, found = dict(unfitted(schema).parts()), dict(self.parts())
        for part, fields in expected.items():
            given = _meanings(found[part]) if part in found else None
            if given != _meanings(fields):
                raise InputError(
                    f"the normalisation of `{part}` is not that of the configuration: it is of "
                    f"{'nothing' if given is None else _text(given)}; the configuration asks for "
                    f"{_text(_meanings(fields))}"
                )

    def save(self, path: str | Path) -> None:
        """Writes YAML that `load` reads back exactly."""
        others = ({name: _saved(part) for name, part in parts.items()} for parts in self[1:])
        configuration.save(_Saved(_saved(self.jets), *others), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Scaling":
        """The scaling that `save` wrote.

        Raises:
            InputError: no such file, or one that `save` did not write.
        """
        saved = configuration.load_saved(Path(path), _Saved)
        streams, targets = (
            {name: _loaded(part) for name, part in parts.items()}
            for parts in (saved.streams, saved.targets)
        )
        return cls(_loaded(saved.jets), streams, targets)


@dataclass(frozen=True)
class _SavedField(FieldStatistics):
    """A field in the file of `Scaling.save`."""

    transform: TransformName
    scale: float
    denominator: str | None = None

    def __post_init__(self):
        super().__post_init__()
        TransformConfig(self.transform, self.scale)


@dataclass(frozen=True)
class _SavedFields:
    """A part in that file."""

    dataset: str
    fields: dict[str, _SavedField]
    ignore_nan: bool = False


@dataclass(frozen=True)
class _Saved:
    """All of that file."""

    jets: _SavedFields
    streams: dict[str, _SavedFields]
    targets: dict[str, _SavedFields]


def _meanings(part: FieldScaling) -> list[tuple]:
    """What each column is of."""
    columns = zip(part.fields, part.transforms, part.denominators, strict=True)
    return [(name, x.name, float(x.scale), divided) for name, x, divided in columns]


def _text(meanings: list[tuple]) -> str:
    return ", ".join(
        f"{name}{f'/{divided}' if divided else ''}"
        + ("" if transform == "identity" else f" ({transform}, {scale:g})")
        for name, transform, scale, divided in meanings
    )


def _saved(part: FieldScaling) -> _SavedFields:
    numbers = zip(_meanings(part), part.mean.tolist(), part.std.tolist(), strict=True)
    fields = {
        name: _SavedField(mean, std, transform, scale, divided)
        for (name, transform, scale, divided), mean, std in numbers
    }
    return _SavedFields(part.dataset, fields, part.ignore_nan)


def _loaded(part: _SavedFields) -> FieldScaling:
    fields = part.fields.values()
    return FieldScaling(
        part.dataset,
        tuple(part.fields),
        tuple(TransformConfig(field.transform, field.scale) for field in fields),
        tuple(field.denominator for field in fields),
        np.array([field.mean for field in fields], np.float64),
        np.array([field.std for field in fields], np.float64),
        part.ignore_nan,
    )


def unfitted(schema: Schema) -> Scaling:
    """The transforms of a schema, with mean 0 and spread 1."""

    def part(
        of: str, fields: Iterable[str], transforms: Mapping, denominators: Mapping, nan: bool
    ) -> FieldScaling:
        fields = tuple(fields)
        return FieldScaling(
            schema.dataset(of),
            fields,
            tuple(transforms.get(name, TransformConfig()) for name in fields),
            tuple(denominators.get(name) for name in fields),
            np.zeros(len(fields)),
            np.ones(len(fields)),
            nan,
        )

    return Scaling(
        part(JETS, schema.jets.inputs, schema.jets.transforms, {}, False),
        {s: part(s, x.inputs, x.transforms, {}, False) for s, x in schema.streams.items()},
        {
            name: part(x.of, x.transforms, x.transforms, x.denominators, x.ignore_nan)
            for name, x in schema.labels.items()
            if isinstance(x, Targets)
        },
    )
