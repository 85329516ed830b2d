"""The two dictionaries that Salt and UPP write: field statistics and class weights."""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskformer_jax import configuration
from maskformer_jax.errors import InputError, check

# Of single precision, in which a model sees the fields.
SMALLEST, LARGEST = 1.18e-38, 3.4e38


@dataclass(frozen=True)
class FieldStatistics:
    """Of a field, in the units of the data.

    Attributes:
        mean: of its values.
        std: their standard deviation.
    """

    mean: float
    std: float

    def __post_init__(self):
        check(abs(self.mean) <= LARGEST, "mean", "fit single precision", self.mean)
        rule = "be positive and fit single precision"
        check(SMALLEST <= self.std <= LARGEST, "std", rule, self.std)


def load_norm(path: str | Path) -> dict[str, dict[str, FieldStatistics]]:
    """Mean and standard deviation of fields: dataset -> field -> statistics.

    Args:
        path: YAML file, dataset -> field -> {mean, std}.

    Raises:
        InputError: no such file, another form, or a spread that is not positive and finite.
    """
    return configuration.load_saved(Path(path), dict[str, dict[str, FieldStatistics]])


def load_class_weights(
    path: str | Path, dataset: str, field: str, classes: Sequence[str]
) -> list[float]:
    """Weights of the classes of a label in its loss, in the order of `classes`.

    Classes that a file with names lacks get weight 0, with a warning.

    Args:
        path: YAML file, dataset -> field -> list of weights in the order of the classes, those of
            objects with `none` at the end; or class -> weight, or {classes: names, weights: list},
            which are compared by name.
        dataset: name of the dataset.
        field: name of the field.
        classes: names of the classes; of objects `none` is the last.

    Raises:
        InputError: no such file, a missing entry, a wrong number of weights, none of the classes,
            or a weight that is not positive and finite.
    """
    name, classes = f"{dataset}.{field}", list(classes)
    entry = configuration.read_file(Path(path)).get(dataset)
    if not isinstance(entry, dict):
        raise InputError(f"{path}: `{dataset}` must be a mapping; got {entry!r}")
    entry = entry.get(field)
    if isinstance(entry, dict):
        named = _by_name(path, name, entry)
    elif isinstance(entry, list) and len(entry) == len(classes):
        named = dict(zip(classes, entry, strict=True))
    else:
        raise InputError(f"{path}: `{name}` must list weights for {classes}; got {entry!r}")
    weights = {key: _number(path, name, value) for key, value in named.items()}
    if min(weights.values(), default=1) <= 0:
        raise InputError(f"{path}: `{name}` must list positive weights; got {entry!r}")
    lacking = [key for key in classes if key not in weights]
    if len(lacking) == len(classes):
        raise InputError(f"{path}: `{name}` has no weight for any of {classes}; got {entry!r}")
    if lacking:
        text = f"{path}: `{name}` has no weight for {', '.join(lacking)}: counted as zero"
        warnings.warn(text, stacklevel=2)
    return [weights.get(key, 0.0) for key in classes]


def _by_name(path: str | Path, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Weights by class of an entry that has names."""
    if entry.keys() != {"classes", "weights"}:
        return entry
    names, weights = entry["classes"], entry["weights"]
    lists = isinstance(names, list) and isinstance(weights, list)
    if not lists or len(names) != len(weights) or len(set(names)) < len(names):
        raise InputError(f"{path}: `{name}` must have a weight for each class; got {entry!r}")
    return dict(zip(names, weights, strict=True))


def _number(path: str | Path, name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) < sys.float_info.max:
        raise InputError(f"{path}: `{name}` must be a finite number; got {value!r}")
    return float(value)
