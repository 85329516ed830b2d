"""The files that everything is tabulated and drawn from: metrics.json and curves.json."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.discriminants import Rejection
from maskformer_jax.evaluation.output import write_whole

METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.json"

# Significant digits of the points of a curve, more than a picture or a table can show.
CURVE_DIGITS = 7


class Results(NamedTuple):
    """Evaluation of one run, as read from its files: dictionaries, lists, numbers; null as NaN.

    Attributes:
        label: of the run, in pictures and tables.
        metrics: content of metrics.json.
        curves: content of curves.json; each curve a dictionary of `x`, `value` and `error`.
    """

    label: str
    metrics: dict[str, Any]
    curves: dict[str, Any]


def plain(value: Any) -> Any:
    """Metrics as JSON knows them: NamedTuples as objects, arrays as lists, NaN as null."""
    match value:
        case Mapping():
            return {name: plain(item) for name, item in value.items()}
        case Rejection():
            return plain(value._asdict() | {"is_lower_limit": value.is_limit})
        case tuple() if hasattr(value, "_asdict"):
            return plain(value._asdict())
        case np.ndarray() | list():
            return [plain(item) for item in value]
        case np.integer():
            return int(value)
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case _:
            return value


def write_results(metrics: Mapping[str, Any], curves: Mapping[str, Any], folder: Path) -> None:
    """Writes metrics.json, to be read by people too, and curves.json.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    text = json.dumps(plain(metrics), indent=2, allow_nan=False)
    write_whole(folder / METRICS_FILE, f"{text}\n".encode())
    text = json.dumps(_rounded(plain(curves)), separators=(",", ":"), allow_nan=False)
    write_whole(folder / CURVES_FILE, f"{text}\n".encode())


def read_results(folder: Path, label: str) -> Results:
    """What `write_results` wrote.

    Raises:
        InputError: a file is missing or damaged.
    """
    return Results(label, *(_read(folder / name) for name in (METRICS_FILE, CURVES_FILE)))


def _read(path: Path) -> dict[str, Any]:
    try:
        return _defined(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; evaluate the run first") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a file of an evaluation ({reason})") from error


def _defined(value: Any) -> Any:
    match value:
        case dict():
            return {name: _defined(item) for name, item in value.items()}
        case list():
            return [_defined(item) for item in value]
        case _:
            return math.nan if value is None else value


def _rounded(value: Any) -> Any:
    match value:
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case list():
            return [_rounded(item) for item in value]
        case float():
            return float(f"{value:.{CURVE_DIGITS}g}")
        case _:
            return value
