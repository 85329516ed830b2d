"""The two dictionaries that Salt and UPP write: field statistics and class weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maskformer_jax.config import DataConfig
from maskformer_jax.errors import InputError

CLASS_TASKS = ("jet_class", "track_origin", "object_class")


def load_norm(path: str | Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation of fields.

    Args:
        path: YAML file, dataset -> field -> {mean, std}.

    Returns:
        Dataset -> field -> (mean, std), in the units of the data.

    Raises:
        InputError: no such file, another form, or a spread that is not positive and finite.
    """
    statistics = {}
    for dataset, fields in _load(path).items():
        for name, entry in _mapping(path, dataset, fields).items():
            entry = _mapping(path, f"{dataset}.{name}", entry)
            mean, std = (
                _number(path, f"{dataset}.{name}.{key}", entry.get(key)) for key in ("mean", "std")
            )
            if std <= 0:
                raise InputError(f"{path}: `{dataset}.{name}.std` must be positive; got {std!r}")
            statistics.setdefault(dataset, {})[name] = (mean, std)
    return statistics


def load_class_weights(
    path: str | Path, layout: DataConfig, tasks: Sequence[str] = CLASS_TASKS
) -> dict[str, np.ndarray]:
    """Weights of the classes in the losses.

    Args:
        path: YAML file, dataset -> label field -> list of weights in the order of the classes;
            those of the objects end with `none`.
        layout: names and classes.
        tasks: the tasks whose weights are needed, among `CLASS_TASKS`.

    Returns:
        Task -> float32 weights, one per class.

    Raises:
        InputError: no such file, a missing entry, a wrong number of weights, or one that is not
            positive and finite.
    """
    sources = {
        "jet_class": (layout.jets.dataset, layout.jets.label, [*layout.jets.classes]),
        "track_origin": (
            layout.tracks.dataset,
            layout.tracks.origin,
            [*layout.tracks.origin_classes],
        ),
        "object_class": (
            layout.hadrons.dataset,
            layout.hadrons.label,
            [*layout.hadrons.classes, "none"],
        ),
    }
    content = _load(path)
    weights = {}
    for task in tasks:
        dataset, label, classes = sources[task]
        name = f"{dataset}.{label}"
        entry = _mapping(path, dataset, content.get(dataset)).get(label)
        if not isinstance(entry, list) or len(entry) != len(classes):
            raise InputError(f"{path}: `{name}` must list weights for {classes}; got {entry!r}")
        values = [_number(path, name, value) for value in entry]
        if min(values) <= 0:
            raise InputError(f"{path}: `{name}` must list positive weights; got {entry!r}")
        weights[task] = np.array(values, np.float32)
    return weights


def _load(path: str | Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable YAML ({' '.join(str(error).split())})") from error
    return _mapping(path, "the file", content)


def _mapping(path: str | Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: `{name}` must be a mapping; got {value!r}")
    return value


def _number(path: str | Path, name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not np.isfinite(value):
        raise InputError(f"{path}: `{name}` must be a finite number; got {value!r}")
    return float(value)
