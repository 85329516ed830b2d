"""The files of a result: metrics.json, to be read by people too, curves.json and events.json."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.events import Events
from maskformer_jax.evaluation.results import Part, Result
from maskformer_jax.files import write_whole
from maskformer_jax.training.manifest import marked, unmarked

METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.json"
EVENTS_FILE = "events.json"
# Version of the files, which say so.
FORMAT = 4

# Significant digits of arrays, more than a picture or a table can show.
CURVE_DIGITS = 7

# Which fields of a part are in which file.
IN_METRICS, IN_CURVES = ("tables", "confusions"), ("curves", "baseline")
Sections = Mapping[str, Mapping[str, Part]]


def write_results(result: Result, folder: Path) -> None:
    """Writes metrics.json and curves.json.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    head = {name: getattr(result, name) for name in ("label", "test_file", "jets")}
    head |= {"left_out": list(result.left_out)} if result.left_out else {}
    _write(folder / METRICS_FILE, head | {"sections": _sections(result, IN_METRICS)}, indent=1)
    curves = {"sections": _sections(result, IN_CURVES)}
    _write(folder / CURVES_FILE, curves, separators=(",", ":"))


def write_events(events: Events, folder: Path) -> None:
    """Writes events.json, and removes that of an earlier evaluation where there are no events.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    if events.events:
        _write(folder / EVENTS_FILE, plain(events), separators=(",", ":"))
    else:
        (folder / EVENTS_FILE).unlink(missing_ok=True)


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
        case np.ndarray():
            return [plain(item) for item in value.tolist()]
        case float():
            return float(f"{value:.{CURVE_DIGITS}g}") if math.isfinite(value) else None
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case _ if hasattr(value, "_asdict"):
            return plain(value._asdict())
        case list() | tuple():
            return [plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            fields = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
            shown = [(f.name, x) for f, x in fields if not _is_default(x, f)]
            # Single numbers keep all of their digits.
            return {name: x if isinstance(x, float) else plain(x) for name, x in shown}
        case _:
            return value


def _is_default(value: Any, place: dataclasses.Field) -> bool:
    made_by = place.default_factory
    default = place.default if made_by is dataclasses.MISSING else made_by()
    return value == default or (isinstance(value, float) and math.isnan(value))


def made(kind: Any, data: Any) -> Any:
    """What `plain` was given: a value of a type, from JSON.

    Args:
        kind: dataclass or named tuple, array type, container or union with None of these; what is
            none of them stays as it is.
        data: from JSON; null is NaN in arrays and numbers.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the data is of another form.
    """
    origin, inside = get_origin(kind), get_args(kind)
    if origin is UnionType and NoneType in inside:
        return None if data is None else made(inside[0], data)
    if hasattr(kind, "array_type"):
        of = next(x for x in (float, int, bool) if x.__name__ in kind.dtypes[0])
        # Lists that are empty have lost the shape of what they would hold.
        empty = [int(size) if size.isdigit() else 0 for size in kind.dim_str.split()]
        return np.array(data, of) if data else np.zeros(empty, of)
    if origin in (dict, Mapping):
        return {key: made(inside[1], item) for key, item in data.items()}
    if origin in (list, Sequence):
        return (list if origin is list else tuple)(made(inside[0], item) for item in data)
    if origin is tuple:
        return tuple(made(of, item) for of, item in zip(inside, data, strict=True))
    if hasattr(kind, "_fields") or dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: made(hints[name], item) for name, item in data.items()})
    return math.nan if kind is float and data is None else data


def read_results(folder: Path, label: str = "") -> Result:
    """What `write_results` wrote.

    Args:
        folder: of the files.
        label: of the run; empty: that of its evaluation.

    Raises:
        InputError: a file is missing, damaged or of another version.
    """
    metrics = _read(folder / METRICS_FILE, lambda data: made(Result, data))
    curves = _read(folder / CURVES_FILE, lambda data: made(Sections, data["sections"]))
    sections = {
        section: {
            task: dataclasses.replace(part, curves=drawn.curves, baseline=drawn.baseline)
            for task, part in tasks.items()
            for drawn in [curves.get(section, {}).get(task, Part())]
        }
        for section, tasks in metrics.sections.items()
    }
    return dataclasses.replace(metrics, label=label or metrics.label, sections=sections)


def read_events(folder: Path) -> Events | None:
    """The events of `write_results`; none where there are none.

    Raises:
        InputError: the file is damaged or of another version.
    """
    path = folder / EVENTS_FILE
    return _read(path, lambda data: made(Events, data)) if path.exists() else None


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
