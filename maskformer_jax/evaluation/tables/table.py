"""Tables of measurements: groups of rows and columns, uncertainties, and the best marked."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from maskformer_jax.evaluation.discriminants import FEW_JETS
from maskformer_jax.evaluation.tables.cells import decimals

MISSING = "-"

# Remarks of a cell, with the sign that is printed and what its footnote says.
LIMIT, FEW = "limit", "few"
FOOTNOTES = {
    LIMIT: "A number after > is a lower limit at 95 % confidence: no background jet passes.",
    FEW: f"† Fewer than {FEW_JETS} background jets pass.",
}


class Cell(NamedTuple):
    """A measured number.

    Attributes:
        value: the mean over seeds; NaN where it is missing.
        spread: standard deviation over seeds, with n - 1; NaN for one seed.
        error: statistical error of one seed from the number of test jets, NaN where unknown.
        remark: "", `LIMIT` or `FEW`.
    """

    value: float = math.nan
    spread: float = math.nan
    error: float = math.nan
    remark: str = ""

    @property
    def uncertainty(self) -> float:
        """What is printed after ±: the spread, or for one seed the statistical error."""
        return self.error if math.isnan(self.spread) else self.spread


class Column(NamedTuple):
    """Heading of a column.

    Attributes:
        name: text below the group.
        group: text above all neighbouring columns of the same group.
        best: which value is marked: the highest, the lowest, the one closest to zero, or none.
        digits: decimals of a number that has no uncertainty.
    """

    name: str
    group: str = ""
    best: Literal["high", "low", "zero", ""] = "high"
    digits: int = 4

    @property
    def title(self) -> str:
        """Group and name in one line."""
        return f"{self.group}, {self.name}" if self.group else self.name


class Row(NamedTuple):
    """A labelled row; neighbouring rows of the same group belong together."""

    label: str
    cells: tuple[Cell, ...]
    group: str = ""


class Table(NamedTuple):
    """What is printed as Markdown, CSV, LaTeX and HTML by `formats`.

    Labels and headings are plain text with formulas between dollar signs.

    Attributes:
        name: stem of file names and anchor of links.
        title: caption.
        columns: headings.
        rows: as many cells in each as there are columns.
        notes: sentences below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True where every value is missing."""
        return all(math.isnan(cell.value) for row in self.rows for cell in row.cells)

    @property
    def has_groups(self) -> bool:
        """True where rows belong to groups."""
        return any(row.group for row in self.rows)

    def all_notes(self) -> tuple[str, ...]:
        """The notes, and the footnotes of the remarks that occur."""
        remarks = {cell.remark for row in self.rows for cell in row.cells}
        return (*self.notes, *(text for remark, text in FOOTNOTES.items() if remark in remarks))


def cell_text(cell: Cell, column: Column) -> str:
    """The number, with two significant digits of its uncertainty.

    >>> cell_text(Cell(411.3, 20.3), Column("60 %"))
    '411 ± 20'
    >>> cell_text(Cell(0.93456), Column("AUC", digits=3))
    '0.935'
    """
    if math.isnan(cell.value):
        return MISSING
    if cell.remark == LIMIT:
        return f"> {cell.value:.3g}"
    uncertainty, sign = cell.uncertainty, " †" if cell.remark == FEW else ""
    # A spread from rounding is none.
    if not uncertainty > 1e-9 * abs(cell.value):
        return _signed(f"{cell.value:.{column.digits}f}{sign}")
    # Two seeds that happen to agree make no number exact.
    scale = max(uncertainty, 0.1 * cell.error if cell.error > 0 else 0.0)
    digits = decimals(scale)
    return _signed(f"{cell.value:.{digits}f} ± {uncertainty:.{digits}f}{sign}")


def _signed(number: str) -> str:
    return number.replace("-", "−")


class Best(NamedTuple):
    """Positions (row, column) of marked cells."""

    overall: frozenset[tuple[int, int]]
    in_group: frozenset[tuple[int, int]]


def best_cells(table: Table) -> Best:
    """The best of each column and, where it is another, the best of each group of several rows.

    Limits are not compared, and a mark says nothing about significance. Equal values share it; a
    column of equal values has none.
    """
    overall, in_group = set(), set()
    groups = {row.group for row in table.rows}
    for j, column in enumerate(table.columns):
        if not column.best or len({row.cells[j].value for row in table.rows}) == 1:
            continue
        overall |= {(i, j) for i in _best_rows(table, j, range(len(table.rows)))}
        for group in groups:
            members = [i for i, row in enumerate(table.rows) if row.group == group]
            in_group |= {(i, j) for i in _best_rows(table, j, members)}
    marked_groups = in_group - overall if len(groups) > 1 else set()
    return Best(frozenset(overall), frozenset(marked_groups))


def _best_rows(table: Table, column: int, rows: Iterable[int]) -> list[int]:
    best = table.columns[column].best
    cells = {i: table.rows[i].cells[column] for i in rows}
    merits = {
        i: {"high": cell.value, "low": -cell.value, "zero": -abs(cell.value)}[best]
        for i, cell in cells.items()
        if cell.remark != LIMIT and not math.isnan(cell.value)
    }
    if len(merits) < 2:
        return []
    return [i for i, merit in merits.items() if merit == max(merits.values())]


def spans(groups: Sequence[str]) -> list[tuple[str, int]]:
    """Neighbouring equal groups and how many they are.

    >>> spans(["a", "a", "b"])
    [('a', 2), ('b', 1)]
    """
    found: list[tuple[str, int]] = []
    for group in groups:
        if found and found[-1][0] == group:
            found[-1] = (group, found[-1][1] + 1)
        else:
            found.append((group, 1))
    return found
