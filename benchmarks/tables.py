"""Tables of numbers: readable, as Markdown, and kept in a JSON file for the documentation."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from maskformer_jax.errors import InputError

Cell = str | float | None


class Table(NamedTuple):
    """Some numbers of the same kind.

    Attributes:
        title: what they are, one line.
        columns: head of each column -> format of its numbers, empty for text.
        rows: cells of every row; none: there is no such number.
    """

    title: str
    columns: dict[str, str]
    rows: Sequence[Sequence[Cell]]

    def column(self, head: str) -> list[Any]:
        """The cells of one column."""
        index = list(self.columns).index(head)
        return [row[index] for row in self.rows]


def text(table: Table) -> str:
    """The table with aligned columns."""
    lines = [list(table.columns), *_cells(table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            cell.rjust(width) if form else cell.ljust(width)
            for cell, width, form in zip(line, widths, table.columns.values(), strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *aligned])


def markdown(table: Table) -> str:
    """The table as Markdown, its title below it."""
    rule = ["---:" if form else "---" for form in table.columns.values()]
    lines = ["| " + " | ".join(line) + " |" for line in (table.columns, rule, *_cells(table))]
    return "\n".join([*lines, "", table.title])


def keep(path: str, found: dict[str, Table]) -> None:
    """Writes tables into a JSON file, beside those of other names that are there."""
    file = Path(path)
    about = {"machine": platform.platform(), "device": jax.devices()[0].device_kind}
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= {name: {**about, **table._asdict()} for name, table in found.items()}
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


def _cells(table: Table) -> list[list[str]]:
    forms = list(table.columns.values())
    return [[_cell(*pair) for pair in zip(row, forms, strict=True)] for row in table.rows]


def _cell(value: Cell, form: str) -> str:
    if value is None:
        return "-"
    return format(value, form) if form else str(value)
