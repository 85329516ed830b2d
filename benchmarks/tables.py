"""Tables of numbers: readable, as Markdown, and kept in a JSON file for the documentation."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tabulate import tabulate

from maskformer_jax.errors import InputError

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

    def column(self, head: str) -> list[Any]:
        """The cells of one column."""
        index = list(self.columns).index(head)
        return [row[index] for row in self.rows]


def text(table: Table) -> str:
    """The table for a terminal."""
    return "\n".join([table.title, *([_aligned(table, "plain")] * bool(table.rows)), *table.notes])


def markdown(table: Table) -> str:
    """The table as Markdown, its title below it."""
    return f"{_aligned(table, 'pipe')}\n\n{table.title}"


def _aligned(table: Table, style: str) -> str:
    forms = table.columns.values()
    rows = [
        ["-" if x is None else format(x, form) for x, form in zip(row, forms, strict=True)]
        for row in table.rows
    ]
    sides = ["right" if form else "left" for form in forms]
    return tabulate(rows, list(table.columns), style, disable_numparse=True, colalign=sides)


def keep(path: str, found: dict[str, Table]) -> None:
    """Writes tables into a JSON file, beside those of other names that are there."""
    file, here = Path(path), about()
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= {name: {**here, **table._asdict()} for name, table in found.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n")


def load(path: str) -> dict[str, Table]:
    """The tables of a JSON file; none where there is no file.

    Raises:
        InputError: the file holds something else.
    """
    file = Path(path)
    try:
        kept = json.loads(file.read_text()) if file.exists() else {}
        return {name: Table(*(x[field] for field in Table._fields)) for name, x in kept.items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no tables of this benchmark; remove the file") from error


def about() -> dict[str, str]:
    """Date, device, and versions of everything down to the driver."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "device": jax.devices()[0].device_kind,
        "environment": jax.print_environment_info(return_string=True),
    }
