"""Fields -> numbers of order one: a transform, then mean and spread of the training file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from maskformer_jax.data.config import TransformConfig
from maskformer_jax.data.schema import Schema, Targets
from maskformer_jax.errors import InputError
from maskformer_jax.types import JETS

FILE_NAME = "normalisation.yaml"


class Transform(NamedTuple):
    """An increasing function of x and the scale, and its inverse."""

    forward: Callable[[np.ndarray, float], np.ndarray]
    inverse: Callable[[np.ndarray, float], np.ndarray]


TRANSFORMS = {
    "identity": Transform(lambda x, scale: x, lambda y, scale: y),
    "log": Transform(lambda x, scale: np.log(x / scale), lambda y, scale: scale * np.exp(y)),
    "log1p": Transform(lambda x, scale: np.log1p(x / scale), lambda y, scale: scale * np.expm1(y)),
    "asinh": Transform(lambda x, scale: np.arcsinh(x / scale), lambda y, scale: scale * np.sinh(y)),
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
            InputError: a value is not finite, or outside the domain of its transform.
        """
        values = self.transformed(table, rows, path, np.float32)
        values -= self.mean.astype(np.float32)[:, None]
        values /= self.std.astype(np.float32)[:, None]
        return np.ascontiguousarray(values.T)

    def transformed(
        self, table: np.ndarray, rows: np.ndarray, path: str, dtype: type
    ) -> np.ndarray:
        """transform(x) of every field, `[F, n]`; otherwise as `standardise`."""
        values = np.empty((len(self.fields), len(table)), dtype)
        columns = zip(values, self.fields, self.transforms, self.denominators, strict=True)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for row, name, transform, denominator in columns:
                row[:] = table[name]
                if denominator is not None:
                    row /= table[denominator]
                if transform.name != "identity":
                    row[:] = TRANSFORMS[transform.name].forward(row, transform.scale)
        finite = np.isfinite(values)
        if not finite.all():
            if self.ignore_nan:
                finite |= self._given_as_nan(table)
            if not finite.all():
                entry, column = np.argwhere(~finite.T)[0]
                self._refuse(int(column), table[entry], int(rows[entry]), path)
        return values

    def to_physical(self, values: np.ndarray) -> np.ndarray:
        """x of standardised `values [..., F]`, float64; a ratio to a denominator stays one."""
        values = np.asarray(values, np.float64) * self.std + self.mean
        with np.errstate(over="ignore"):
            columns = [
                TRANSFORMS[transform.name].inverse(values[..., column], transform.scale)
                for column, transform in enumerate(self.transforms)
            ]
        return np.stack(columns, axis=-1)

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
            name = self.transforms[column].name
            raise InputError(
                f"{where} is {value} in row {row}, outside the domain of its transform `{name}`"
            )
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
            other = found.get(part)
            given = None if other is None else _meanings(other)
            if given != _meanings(fields):
                raise InputError(
                    f"the normalisation of `{part}` is not that of the configuration: it is of "
                    f"{'nothing' if given is None else _text(given)}; the configuration asks for "
                    f"{_text(_meanings(fields))}"
                )

    def save(self, path: str | Path) -> None:
        """Writes YAML that `load` reads back exactly."""
        content = {
            "jets": _to_yaml(self.jets),
            "streams": {name: _to_yaml(part) for name, part in self.streams.items()},
            "targets": {name: _to_yaml(part) for name, part in self.targets.items()},
        }
        Path(path).write_text(yaml.safe_dump(content, sort_keys=False))

    @classmethod
    def load(cls, path: str | Path) -> "Scaling":
        """The scaling that `save` wrote.

        Raises:
            InputError: no such file, or one that `save` did not write.
        """
        try:
            content = yaml.safe_load(Path(path).read_text())
            found = cls(
                _from_yaml(**content["jets"]),
                {name: _from_yaml(**part) for name, part in content["streams"].items()},
                {name: _from_yaml(**part) for name, part in content["targets"].items()},
            )
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file") from error
        except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise InputError(f"{path}: not a normalisation file ({reason})") from error
        for part, scaling in found.parts():
            for name, mean, std in zip(scaling.fields, scaling.mean, scaling.std, strict=True):
                if not (np.isfinite([mean, std]).all() and std > 0):
                    raise InputError(
                        f"{path}: `{part}.{name}` must have a finite mean and a positive finite "
                        f"std; got {mean} and {std}"
                    )
        return found


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


def _to_yaml(part: FieldScaling) -> dict[str, Any]:
    fields = {}
    for column, (name, transform, scale, divided) in enumerate(_meanings(part)):
        fields[name] = {"transform": transform, "scale": scale}
        if divided is not None:
            fields[name]["denominator"] = divided
        fields[name]["mean"] = float(part.mean[column])
        fields[name]["std"] = float(part.std[column])
    nan = {"ignore_nan": True} if part.ignore_nan else {}
    return {"dataset": part.dataset, **nan, "fields": fields}


def _from_yaml(dataset: str, fields: dict[str, dict], ignore_nan: bool = False) -> FieldScaling:
    return FieldScaling(
        dataset,
        tuple(fields),
        tuple(TransformConfig(entry["transform"], entry["scale"]) for entry in fields.values()),
        tuple(entry.get("denominator") for entry in fields.values()),
        np.array([entry["mean"] for entry in fields.values()], np.float64),
        np.array([entry["std"] for entry in fields.values()], np.float64),
        ignore_nan,
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
