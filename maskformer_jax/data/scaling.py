"""Fields -> numbers of order one: a transform, then mean and spread of the training file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from maskformer_jax.config import DataConfig, TransformConfig
from maskformer_jax.data.h5 import JetFile, Records, kept_tracks, select
from maskformer_jax.data.labels import class_index, object_class_index
from maskformer_jax.data.salt import load_norm
from maskformer_jax.errors import InputError

FILE_NAME = "normalisation.yaml"
FIT_ROWS = 2000


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
        mean: `[F]` float64, of the transformed field.
        std: `[F]` float64, of the transformed field.
    """

    dataset: str
    fields: tuple[str, ...]
    transforms: tuple[TransformConfig, ...]
    mean: np.ndarray
    std: np.ndarray

    def standardise(self, table: np.ndarray, rows: np.ndarray, path: str) -> np.ndarray:
        """(transform(x) - mean) / std of every field, float32 `[n, F]`.

        Args:
            table: structured `[n]`.
            rows: `[n]` row in the file, for the message.
            path: the file, for the message.

        Raises:
            InputError: a value is not finite, or outside the domain of its transform.
        """
        values = self._transformed(table, rows, path, np.float32)
        values -= self.mean.astype(np.float32)[:, None]
        values /= self.std.astype(np.float32)[:, None]
        return np.ascontiguousarray(values.T)

    def _transformed(self, table, rows, path, dtype) -> np.ndarray:
        """transform(x), `[F, n]`."""
        values = np.empty((len(self.fields), len(table)), dtype)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for row, name, transform in zip(values, self.fields, self.transforms, strict=True):
                row[:] = table[name]
                if transform.name != "identity":
                    row[:] = TRANSFORMS[transform.name].forward(row, transform.scale)
        if not np.isfinite(values).all():
            entry, column = np.argwhere(~np.isfinite(values.T))[0]
            self._refuse(int(column), table[self.fields[column]][entry], int(rows[entry]), path)
        return values

    def _refuse(self, column: int, value: np.generic, row: int, path: str) -> None:
        where = f"{path}: field `{self.fields[column]}` of dataset `{self.dataset}`"
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
        tracks: of `Batch.tracks`.
        targets: of `Targets.regression`.
    """

    jets: FieldScaling
    tracks: FieldScaling
    targets: FieldScaling

    def targets_to_physical(self, regression: np.ndarray) -> np.ndarray:
        """The inverse of the scaling of the targets.

        Args:
            regression: `[..., R]` in the scale of `Targets.regression`.

        Returns:
            float64 `[..., R]` in the units of the file: MeV, mm, rad.
        """
        values = np.asarray(regression, np.float64) * self.targets.std + self.targets.mean
        with np.errstate(over="ignore"):
            columns = [
                TRANSFORMS[transform.name].inverse(values[..., column], transform.scale)
                for column, transform in enumerate(self.targets.transforms)
            ]
        return np.stack(columns, axis=-1)

    def save(self, path: str | Path) -> None:
        """Writes YAML that `load` reads back exactly."""
        content = {
            part: {
                "dataset": scaling.dataset,
                "fields": {
                    name: {
                        "transform": transform.name,
                        "scale": transform.scale,
                        "mean": float(mean),
                        "std": float(std),
                    }
                    for name, transform, mean, std in zip(*scaling[1:], strict=True)
                },
            }
            for part, scaling in self._asdict().items()
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
            return cls(**{part: _from_yaml(**content[part]) for part in cls._fields})
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file") from error
        except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise InputError(f"{path}: not a normalisation file ({reason})") from error


def _from_yaml(dataset: str, fields: dict[str, dict]) -> FieldScaling:
    return FieldScaling(
        dataset,
        tuple(fields),
        tuple(TransformConfig(entry["transform"], entry["scale"]) for entry in fields.values()),
        np.array([entry["mean"] for entry in fields.values()], np.float64),
        np.array([entry["std"] for entry in fields.values()], np.float64),
    )


def fit_scaling(
    file: JetFile, *, norm_file: str | None = None, num_jets: int | None = None
) -> Scaling:
    """Mean and spread of every input and target over the labelled jets, in one pass.

    Means run over the jets, the tracks that are kept, and the hadrons that are objects. Blocks are
    merged by the update of Chan, Golub and LeVeque (1983), which does not cancel.

    Args:
        file: training file, with truth.
        norm_file: statistics in Salt's form that replace the computed ones, except for fields
            with a transform, which Salt's form does not know.
        num_jets: use the first jets only; none: all.

    Raises:
        InputError: an input or target of a real jet, track or hadron is not finite, outside the
            domain of its transform or the same everywhere; there are no labelled jets, tracks or
            hadrons; or `norm_file` is missing or malformed.
    """
    norm = {} if norm_file is None else load_norm(norm_file)
    parts = _unfitted(file.layout)
    moments = {part: _Moments(len(scaling.fields)) for part, scaling in parts.items()}
    for records in _labelled_blocks(file, num_jets):
        for part, (table, rows) in _tables(records, file.layout).items():
            values = parts[part]._transformed(table, rows, records.path, np.float64)
            # Field by field in memory, the sums would differ in their last digits.
            moments[part].add(np.ascontiguousarray(values.T))
    fitted = {}
    for part, scaling in parts.items():
        given = norm.get(scaling.dataset, {})
        mean, std = moments[part].mean, moments[part].std()
        for column, (name, transform) in enumerate(
            zip(scaling.fields, scaling.transforms, strict=True)
        ):
            if name in given and transform.name == "identity":
                mean[column], std[column] = given[name]
            elif moments[part].count == 0:
                raise InputError(
                    f"{file.path}: dataset `{scaling.dataset}` has no real entry in a labelled "
                    f"jet, so that the spread of `{name}` is unknown"
                )
            elif moments[part].low[column] == moments[part].high[column]:
                raise InputError(
                    f"{file.path}: field `{name}` of dataset `{scaling.dataset}` has zero spread, "
                    f"its mean is {mean[column]:g}; take it out of the configuration"
                )
        fitted[part] = scaling._replace(mean=mean, std=std)
    return Scaling(**fitted)


class _Moments:
    """Running count, mean, sum of squared deviations and range of each column."""

    def __init__(self, columns: int):
        self.count = 0
        self.mean = np.zeros(columns)
        self.squares = np.zeros(columns)
        self.low = np.full(columns, np.inf)
        self.high = np.full(columns, -np.inf)

    def add(self, values: np.ndarray) -> None:
        if len(values) == 0:
            return
        mean = values.mean(axis=0)
        count = self.count + len(values)
        shift = mean - self.mean
        self.squares += np.square(values - mean).sum(axis=0)
        self.squares += shift**2 * (self.count * len(values) / count)
        self.mean += shift * (len(values) / count)
        self.count = count
        self.low = np.minimum(self.low, values.min(axis=0))
        self.high = np.maximum(self.high, values.max(axis=0))

    def std(self) -> np.ndarray:
        return np.sqrt(self.squares / max(self.count, 1))


def _unfitted(layout: DataConfig) -> dict[str, FieldScaling]:
    def part(dataset: str, fields: Sequence[str], transforms: dict) -> FieldScaling:
        chosen = tuple(transforms.get(name, TransformConfig()) for name in fields)
        zeros = np.zeros(len(fields))
        return FieldScaling(dataset, tuple(fields), chosen, zeros, zeros + 1)

    jets, tracks, hadrons = layout.jets, layout.tracks, layout.hadrons
    return {
        "jets": part(jets.dataset, jets.inputs, jets.transforms),
        "tracks": part(tracks.dataset, tracks.inputs, tracks.transforms),
        "targets": part(hadrons.dataset, hadrons.targets, hadrons.transforms),
    }


def _labelled_blocks(file: JetFile, num_jets: int | None) -> Iterator[Records]:
    total = file.num_jets if num_jets is None else min(num_jets, file.num_jets)
    for start in range(0, total, FIT_ROWS):
        records = file.read(start, min(start + FIT_ROWS, total))
        labels = class_index(records.jets[file.layout.jets.label], file.layout.jets.classes)
        yield records if (labels >= 0).all() else select(records, np.flatnonzero(labels >= 0))


def _tables(records: Records, layout: DataConfig) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Structured real jets, tracks and objects, each with the rows that they come from."""
    tracks, counts = kept_tracks(records)
    objects = object_class_index(records.hadrons, layout.hadrons) < len(layout.hadrons.classes)
    jet, column = np.nonzero(objects)
    return {
        "jets": (records.jets, records.rows),
        "tracks": (tracks, np.repeat(records.rows, counts)),
        "targets": (records.hadrons[jet, column], records.rows[jet]),
    }
