"""Tables of numbers: for the terminal, and kept in a JSON file."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tabulate import tabulate

Cell = str | float | None


class Table(NamedTuple):
    """Some numbers of the same kind.

    Attributes:
        title: what they are, one line.
        columns: head of each column -> format of its numbers, empty for text.
        rows: cells of every row; none: there is no such number.
        notes: lines below the table.
        raw: what the numbers come from; it is kept, and not shown.
    """

    title: str
    columns: dict[str, str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    raw: Any = None


def text(table: Table) -> str:
    """The table for a terminal."""
    rows = [
        [
            "-" if x is None else format(x, form)
            for x, form in zip(row, table.columns.values(), strict=True)
        ]
        for row in table.rows
    ]
    look = {"tablefmt": "plain", "disable_numparse": True}
    look["colalign"] = ["right" if form else "left" for form in table.columns.values()]
    shown = [tabulate(rows, list(table.columns), **look)] if rows else []
    return "\n".join([table.title, *shown, *table.notes])


def keep(path: str, found: dict[str, Table]) -> None:
    """Writes tables into a JSON file, beside those of other names that are there."""
    file, here = Path(path), about()
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= {name: {**here, **table._asdict()} for name, table in found.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n")


def about() -> dict[str, str]:
    """Date, device, and versions of everything down to the driver."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "device": jax.devices()[0].device_kind,
        "environment": jax.print_environment_info(return_string=True),
    }
