"""The files of a result: metrics.json, to be read by people too, and curves.json."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.results import (
    Confusion,
    Curve,
    Part,
    Points,
    Quantity,
    Result,
    Table,
)
from maskformer_jax.files import write_whole
from maskformer_jax.training.manifest import marked, unmarked

METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.json"
# Version of both files, which say so.
FORMAT = 2

# Significant digits of the points of a curve, more than a picture or a table can show.
CURVE_DIGITS = 7

# Which fields of a part are in which file.
IN_METRICS, IN_CURVES = ("tables", "confusions"), ("curves", "baseline")


def write_results(result: Result, folder: Path) -> None:
    """Writes metrics.json and curves.json.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    head = {"test_file": result.test_file, "jets": result.jets}
    head |= {"left_out": list(result.left_out)} if result.left_out else {}
    _write(folder / METRICS_FILE, head | {"sections": _sections(result, IN_METRICS)}, indent=1)
    curves = {"sections": _sections(result, IN_CURVES)}
    _write(folder / CURVES_FILE, curves, separators=(",", ":"))


def _write(path: Path, content: dict[str, Any], **layout: Any) -> None:
    text = json.dumps({"format": FORMAT, **marked(content)}, allow_nan=False, **layout)
    write_whole(path, f"{text}\n".encode())


def _sections(result: Result, fields: tuple[str, ...]) -> dict[str, Any]:
    return {
        section: {
            task: {name: plain(getattr(part, name)) for name in fields}
            for task, part in tasks.items()
        }
        for section, tasks in result.sections.items()
    }


def plain(value: Any) -> Any:
    """As JSON knows it; a dataclass without what its fields have by default."""
    match value:
        case Points():
            return {name: [_rounded(x) for x in array] for name, array in value._asdict().items()}
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            fields = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
            return {f.name: plain(x) for f, x in fields if not _is_default(x, f)}
        case _:
            return value


def _is_default(value: Any, place: dataclasses.Field) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return True
    is_made = place.default_factory is not dataclasses.MISSING
    return (
        not value
        if is_made
        else place.default is not dataclasses.MISSING and (value == place.default)
    )


def _rounded(value: float) -> float | None:
    return float(f"{value:.{CURVE_DIGITS}g}") if math.isfinite(value) else None


def read_results(folder: Path, label: str) -> Result:
    """What `write_results` wrote.

    Args:
        folder: of the files.
        label: of the run.

    Raises:
        InputError: a file is missing, damaged or of another version.
    """
    metrics = _read(folder / METRICS_FILE, _metrics)
    curves = _read(folder / CURVES_FILE, lambda data: _parts(data, _curves))
    sections = {
        section: {
            task: dataclasses.replace(part, **curves.get(section, {}).get(task, {}))
            for task, part in tasks.items()
        }
        for section, tasks in metrics.sections.items()
    }
    return dataclasses.replace(metrics, label=label, sections=sections)


def _read(path: Path, build: Callable[[dict[str, Any]], Any]) -> Any:
    try:
        data = json.loads(path.read_text())
        found = data.pop("format", 1)
        if found == FORMAT:
            return build(unmarked(data))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; evaluate the run first") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a file of an evaluation ({reason}); evaluate the run again"
        ) from error
    raise InputError(f"{path}: its format is {found}, not {FORMAT}; evaluate the run again")


def _metrics(data: dict[str, Any]) -> Result:
    left_out = tuple(map(str, data.get("left_out", ())))
    return Result("", int(data["jets"]), _parts(data, _tables), str(data["test_file"]), left_out)


def _parts(data: dict[str, Any], build: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    return {
        section: {task: build(part) for task, part in tasks.items()}
        for section, tasks in data["sections"].items()
    }


def _tables(part: dict[str, Any]) -> Part:
    confusions = tuple(Confusion(**confusion) for confusion in part["confusions"])
    return Part(tuple(map(_table, part["tables"])), confusions)


def _table(data: dict[str, Any]) -> Table:
    cells = {
        row: {column: Quantity(**cell) for column, cell in found.items()}
        for row, found in data.pop("cells", {}).items()
    }
    return Table(**data, cells=cells)


def _curves(part: dict[str, Any]) -> dict[str, tuple[Curve, ...]]:
    return {name: tuple(map(_curve, part[name])) for name in IN_CURVES}


def _curve(data: dict[str, Any]) -> Curve:
    points = data.pop("points")
    # Null becomes NaN.
    arrays = (np.array(points[name], np.float64) for name in Points._fields)
    return Curve(**data, points=Points(*arrays))
