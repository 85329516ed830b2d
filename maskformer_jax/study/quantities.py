"""The quantities in which models are compared; larger is better in all but the widths."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from maskformer_jax.evaluation.constituents import MEAN
from maskformer_jax.evaluation.models import Entry, tables_named, tasks_of
from maskformer_jax.evaluation.names import WORDS, heading
from maskformer_jax.evaluation.regression import HALF_WIDTH
from maskformer_jax.evaluation.results import Result, Table
from maskformer_jax.study.comparison import (
    Measure,
    Measurement,
    average,
    cell,
    logarithm,
    measure,
)


class Quantity(NamedTuple):
    """What is read of an evaluation.

    Attributes:
        name: in sentences.
        read: the value, or its logarithm.
        is_ratio: the value is a logarithm, so that differences are ratios.
    """

    name: str
    read: Measure
    is_ratio: bool


def _table(
    entries: Sequence[Entry], section: str, task: str, is_it: Callable[[Table], bool]
) -> Table | None:
    """The first table of a task that is meant."""
    return next(filter(is_it, tables_named(entries, section, task).values()), None)


def mean_rejections(entries: Sequence[Entry], task: str) -> dict[str, Quantity]:
    """Logarithm of a tagger's rejection of each background, averaged over working points.

    Of its first discriminant. Only working points count at which at least ten jets pass in every
    model; a background without one is left out.
    """
    table = _table(entries, "tagging", task, lambda table: table.is_ratio)
    found: dict[str, Quantity] = {}
    for background in dict.fromkeys(column for column, _ in table.compared()) if table else ():
        rows = [row for row in table.rows if _is_measured(entries, task, table, row, background)]
        if rows:
            points = ", ".join(table.rows[row].removesuffix(" %") for row in rows)
            name = f"{table.columns[background]} at {points} % {table.corner}"
            reads = [cell("tagging", task, table.name, row, background) for row in rows]
            found[background] = Quantity(name, average(list(map(logarithm, reads))), True)
    return found


def _is_measured(entries: Sequence[Entry], task: str, table: Table, row: str, column: str) -> bool:
    """Whether every model has a cell, without a remark."""
    for entry in entries:
        found = entry.quantities("tagging", task, table.name).get((column, row), {})
        if not found or any(quantity.remark for quantity in found.values()):
            return False
    return True


def light_rejection(entries: Sequence[Entry]) -> Quantity | None:
    """That of light jets by the first tagger that has them."""
    taggers = tasks_of(entries, "tagging")
    found = (mean_rejections(entries, task).get("ujets") for task in taggers)
    return next(filter(None, found), None)


def mean_area(entries: Sequence[Entry], task: str) -> Quantity | None:
    """Area under the ROC curves of classes of constituents, weighted by their numbers."""
    table = _table(entries, "constituents", task, lambda table: "auc" in table.columns)
    if table is None:
        return None
    read = cell("constituents", task, table.name, MEAN, "auc")
    return Quantity(f"{_subject(table)} {WORDS['auc']}", read, False)


def _subject(table: Table) -> str:
    """What a table is of: its title up to the first sign."""
    return re.split("[,:(]", table.title)[0].strip().lower()


def recognised(entries: Sequence[Entry], task: str) -> Quantity:
    """Fraction of the true objects that are told from none."""
    table = _table(entries, "objects", task, lambda table: "tpr" in table.rows)
    read = cell("objects", task, table.name, "tpr", "share")
    return Quantity(f"{_subject(table)} {WORDS['tpr']} [%]", read, False)


def _flavour(entries: Sequence[Entry], task: str) -> Quantity:
    table = _table(entries, "objects", task, lambda table: table.name.endswith("_flavours"))
    read = cell("objects", task, table.name, next(iter(table.rows)), "share")
    return Quantity(f"{_subject(table)} of {next(iter(table.rows.values()))} [%]", read, False)


def _vertices(entries: Sequence[Entry], task: str) -> list[Quantity]:
    """Efficiency in the jets of the first class that has vertices."""
    name = "vertices_exclusive"
    table = _table(entries, "vertexing", task, lambda table: table.name == name)
    return [
        Quantity(
            f"vertex {WORDS[column]} in {table.rows[row]} [%]",
            cell("vertexing", task, name, row, column),
            False,
        )
        for column, row in list(table.compared())[:1]
        if column == "efficiency"
    ]


def widths(entries: Sequence[Entry], task: str) -> list[Quantity]:
    """Logarithm of half the 68 % width of the residuals of each property.

    Where both are there, the residual that is not divided by the true value is taken.
    """
    name = "residual_widths"
    table = _table(entries, "regression", task, lambda table: table.name == name)
    rows = table.rows if table else {}
    return [
        Quantity(
            f"{WORDS[HALF_WIDTH]} of {label}",
            logarithm(cell("regression", task, name, row, HALF_WIDTH)),
            True,
        )
        for row, label in sorted(rows.items())
        if not row.endswith("_short") and f"{row}_absolute" not in rows
    ]


def mean_width(entries: Sequence[Entry], task: str) -> Quantity | None:
    """Logarithm of the width of the residuals, averaged over the properties."""
    parts = widths(entries, task)
    if not parts:
        return None
    name = f"{WORDS[HALF_WIDTH]} of the residuals, average over {len(parts)} properties"
    return Quantity(name, average([part.read for part in parts]), True)


def _narrowness(entries: Sequence[Entry], task: str) -> list[Quantity]:
    """The inverse of `mean_width`, so that larger is better."""
    width = mean_width(entries, task)
    if width is None:
        return []

    def read(result: Result) -> Measurement | None:
        x = width.read(result)
        return x and Measurement(-x.value, x.error)

    return [Quantity(f"narrowness of the residuals of {task}", read, True)]


# Section -> the quantities of a task.
QUANTITIES = {
    "tagging": lambda entries, task: mean_rejections(entries, task).values(),
    "vertexing": _vertices,
    "constituents": lambda entries, task: filter(None, [mean_area(entries, task)]),
    "objects": lambda entries, task: [recognised(entries, task), _flavour(entries, task)],
    "regression": _narrowness,
}


def everything(entries: Sequence[Entry]) -> list[Quantity]:
    """One or two quantities of each task in each section; those without a value are left out."""
    found = []
    for section, build in QUANTITIES.items():
        tasks = dict.fromkeys(tasks_of(entries, section))
        for task in tasks:
            for quantity in build(entries, task):
                found.append(quantity._replace(name=heading(quantity.name, task, tasks)))
    return [q for q in found if any(measure(entry, q.read) for entry in entries)]
