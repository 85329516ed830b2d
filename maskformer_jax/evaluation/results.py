"""The result of an evaluation, of which every report is made: tables of quantities, and curves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

Better = Literal["high", "low", "zero", ""]
Remark = Literal["", "lower limit", "upper limit", "few", "constant"]
LOWER, UPPER, FEW, CONSTANT = get_args(Remark)[1:]
# With fewer passing jets the binomial error is no longer close to a normal one.
FEW_JETS = 10
Kind = Literal["roc", "scores", "scan", "counts", "efficiency", "rejection", "profile", "line"]


@dataclass(frozen=True)
class Quantity:
    """A measured number; what nothing was counted for has none.

    Attributes:
        value: an integer is a number of entries.
        error: statistical standard error from the number of test jets; NaN where unknown.
        unit: of both; empty for a pure number.
        better: which values are; empty for what models are not compared by, such as counts.
        remark: a limit at 95 % confidence where none or all pass, few jets behind the number, or no
            better than the prediction of a constant.
        spread: standard deviation over trainings of several seeds; NaN for a single one.
    """

    value: float
    error: float = math.nan
    unit: str = ""
    better: Better = ""
    remark: Remark = ""
    spread: float = math.nan

    def __post_init__(self):
        numbers = all(type(x) in (int, float) for x in (self.value, self.error, self.spread))
        words = self.better in get_args(Better) and self.remark in get_args(Remark)
        if not (numbers and words and math.isfinite(self.value) and isinstance(self.unit, str)):
            raise ValueError(f"no quantity: {self}")

    @property
    def uncertainty(self) -> float:
        """What stands after ±: the spread over seeds, or of one training the error."""
        return self.error if math.isnan(self.spread) else self.spread

    @property
    def is_limit(self) -> bool:
        """Whether the true value is only known to be above or below this one."""
        return self.remark in (LOWER, UPPER)


Cells = Mapping[str, Mapping[str, Quantity]]


@dataclass(frozen=True)
class Table:
    """Quantities with labels; the keys of rows and columns are those of the configuration.

    Attributes:
        name: for files and links.
        title: in words.
        rows: key -> label.
        columns: key -> label.
        cells: by row, then column; those without a value are absent.
        corner: what the rows are.
        notes: sentences below.
        row_groups: row -> group of neighbouring rows; empty where there are none.
        column_groups: column -> what stands above neighbouring columns.
        is_ratio: models differ by a factor, told in percent.
        is_ranked: the rows are models, of which the best is marked.
    """

    name: str
    title: str
    rows: Mapping[str, str]
    columns: Mapping[str, str]
    cells: Cells = field(default_factory=dict)
    corner: str = ""
    notes: Sequence[str] = ()
    row_groups: Mapping[str, str] = field(default_factory=dict)
    column_groups: Mapping[str, str] = field(default_factory=dict)
    is_ratio: bool = False
    is_ranked: bool = False

    def get(self, row: str, column: str) -> Quantity | None:
        """The quantity of a cell; none: nothing was counted."""
        return self.cells.get(row, {}).get(column)

    def compared(self) -> Iterator[tuple[str, str]]:
        """Column and row of the cells that models are compared by, column by column."""
        for column in self.columns:
            for row in self.rows:
                found = self.get(row, column)
                if found is not None and found.better:
                    yield column, row

    def renamed(self, name: str) -> "Table":
        """The same table with another name."""
        return replace(self, name=name)

    @property
    def is_empty(self) -> bool:
        """Whether no cell has a value."""
        return not any(self.cells.values())


def table_of(
    name: str,
    title: str,
    rows: Mapping[str, str],
    columns: Mapping[str, str],
    cells: Mapping[str, Mapping[str, Quantity | None]],
    **options: Any,
) -> Table:
    """A table without the cells that are none."""
    kept = {
        row: {column: q for column, q in found.items() if q is not None}
        for row, found in cells.items()
    }
    return Table(name, title, rows, columns, kept, **options)


@dataclass(frozen=True)
class Confusion:
    """Number of entries of each true class (row) and likeliest class (column).

    Attributes:
        name: of its picture.
        title: what is classified.
        classes: their names.
        counts: square.
        note: what a reader has to know, for the picture.
    """

    name: str
    title: str
    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    note: str = ""

    def __post_init__(self):
        shape = np.array(self.counts, float).shape
        if shape != (len(self.classes),) * 2:
            raise ValueError(f"{self.name}: counts of the shape {shape}")


class Points(NamedTuple):
    """A quantity against another, or a histogram.

    Attributes:
        x: the points; for a histogram or a profile the bin edges, one more than values.
        value: NaN where it is not defined, such as in an empty bin.
        low: lower end of its interval of 68 %, NaN where there is none; where there is no value,
            a lower limit at 95 % confidence.
        high: upper end of the interval.
    """

    x: Float[np.ndarray, " X"]
    value: Float[np.ndarray, " V"]
    low: Float[np.ndarray, " V"]
    high: Float[np.ndarray, " V"]

    @staticmethod
    def with_error(x: np.ndarray, value: np.ndarray, error: np.ndarray | float) -> "Points":
        """Points with standard errors, the same on both sides; NaN: without."""
        return Points(x, value, value - error, value + error)

    @property
    def error(self) -> Float[np.ndarray, " V"]:
        """Half the length of the intervals."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Curve:
    """Points, and what is needed to draw them.

    Attributes:
        figure: name of the picture; its curves have one kind and one title.
        name: within the picture, such as a class.
        kind: how it is drawn, by `plots`.
        points: the numbers.
        title: above the picture.
        x_label: with unit.
        y_label: with unit.
        entries: jets or objects behind it; 0 where that is the sum of the values.
        mark: where a line or a cross is drawn; NaN: nowhere.
        note: about this run, for the legend.
    """

    figure: str
    name: str
    kind: Kind
    points: Points
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    entries: int = 0
    mark: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Part:
    """What was measured of one task.

    Attributes:
        tables: quantities.
        confusions: of classes.
        curves: to be drawn.
        baseline: curves of the tagger to compare with, of the same figures and names.
    """

    tables: Sequence[Table] = ()
    confusions: Sequence[Confusion] = ()
    curves: Sequence[Curve] = ()
    baseline: Sequence[Curve] = ()

    def table(self, name: str) -> Table | None:
        """A table by its name; none: it was not measured."""
        return next((table for table in self.tables if table.name == name), None)


@dataclass(frozen=True)
class Result:
    """Evaluation of one run.

    Attributes:
        label: of the run, in pictures and tables.
        jets: number of jets in the test file.
        sections: by section, then task, in the order of the report.
        test_file: its path.
        left_out: what was asked for and could not be measured, a sentence each.
    """

    label: str
    jets: int
    sections: Mapping[str, Mapping[str, Part]]
    test_file: str = ""
    left_out: Sequence[str] = ()

    def table(self, section: str, task: str, name: str) -> Table | None:
        """A table of a task by its name; none: it was not measured."""
        return self.sections.get(section, {}).get(task, Part()).table(name)
