"""The quantities in which models are compared; larger is better in all but the widths."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from maskformer_jax.evaluation.constituents import MEAN
from maskformer_jax.evaluation.models import Entry, tables_named, tasks_of
from maskformer_jax.evaluation.names import WORDS, heading
from maskformer_jax.evaluation.regression import HALF_WIDTH
from maskformer_jax.evaluation.results import Table
from maskformer_jax.study.comparison import average, cell, logarithm

Models = Mapping[str, Entry]


class Quantity(NamedTuple):
    """What is measured of every model.

    Attributes:
        name: in sentences.
        measured: values or their logarithms, as of `comparison.cell`.
        is_ratio: the values are logarithms, so that differences are ratios.
    """

    name: str
    measured: pd.DataFrame
    is_ratio: bool


def _table(models: Models, section: str, task: str, is_it: Callable[[Table], bool]) -> Table | None:
    """The first table of a task that is meant."""
    return next(filter(is_it, tables_named(models.values(), section, task).values()), None)


def mean_rejections(models: Models, task: str) -> dict[str, Quantity]:
    """Logarithm of a tagger's rejection of each background, averaged over working points.

    Of its first discriminant. Only working points count at which at least ten jets pass in every
    model; a background without one is left out.
    """
    table = _table(models, "tagging", task, lambda table: table.is_ratio)
    own = [e.quantities("tagging", task, table.name) for e in models.values()] if table else []
    points: dict[str, list[str]] = {}
    for background, row in table.compared() if table else ():
        cells = [cells.get((background, row), {}) for cells in own]
        if all(cells) and not any(x.remark for seeds in cells for x in seeds.values()):
            points.setdefault(background, []).append(row)
    found = {}
    for background, rows in points.items():
        shown = ", ".join(table.rows[row].removesuffix(" %") for row in rows)
        name = f"{table.columns[background]} at {shown} % {table.corner}"
        cells = [cell(models, "tagging", task, table.name, row, background) for row in rows]
        found[background] = Quantity(name, average(list(map(logarithm, cells))), True)
    return found


def light_rejection(models: Models) -> Quantity | None:
    """That of light jets by the first tagger that has them."""
    taggers = tasks_of(models.values(), "tagging")
    found = (mean_rejections(models, task).get("ujets") for task in taggers)
    return next(filter(None, found), None)


def mean_area(models: Models, task: str) -> Quantity | None:
    """Area under the ROC curves of classes of constituents, weighted by their numbers."""
    table = _table(models, "constituents", task, lambda table: "auc" in table.columns)
    if table is None:
        return None
    measured = cell(models, "constituents", task, table.name, MEAN, "auc")
    return Quantity(f"{_subject(table)} {WORDS['auc']}", measured, False)


def _subject(table: Table) -> str:
    """What a table is of: its title up to the first sign."""
    return re.split("[,:(]", table.title)[0].strip().lower()


def recognised(models: Models, task: str) -> Quantity:
    """Fraction of the true objects that are told from none."""
    table = _table(models, "objects", task, lambda table: "tpr" in table.rows)
    measured = cell(models, "objects", task, table.name, "tpr", "share")
    return Quantity(f"{_subject(table)} {WORDS['tpr']} [%]", measured, False)


def _of_own_class(models: Models, task: str) -> Quantity:
    table = _table(models, "objects", task, lambda table: table.name.endswith("_classes"))
    row, label = next(iter(table.rows.items()))
    measured = cell(models, "objects", task, table.name, row, "share")
    return Quantity(f"{_subject(table)} of {label} [%]", measured, False)


def _vertices(models: Models, task: str) -> list[Quantity]:
    """Efficiency in the jets of the first class that has vertices."""
    name = "vertices_exclusive"
    table = _table(models, "vertexing", task, lambda table: table.name == name)
    row = next((row for column, row in table.compared() if column == "efficiency"), None)
    if row is None:
        return []
    measured = cell(models, "vertexing", task, name, row, "efficiency")
    return [Quantity(f"vertex efficiency in {table.rows[row]} [%]", measured, False)]


def widths(models: Models, task: str) -> list[Quantity]:
    """Logarithm of half the 68 % width of the residuals of each property.

    Where both are there, the residual that is not divided by the true value is taken.
    """
    name = "residual_widths"
    table = _table(models, "regression", task, lambda table: table.name == name)
    rows = table.rows if table else {}
    return [
        Quantity(
            f"{WORDS[HALF_WIDTH]} of {label}",
            logarithm(cell(models, "regression", task, name, row, HALF_WIDTH)),
            True,
        )
        for row, label in sorted(rows.items())
        if not row.endswith("_below_scale") and f"{row}_absolute" not in rows
    ]


def mean_width(models: Models, task: str) -> Quantity | None:
    """Logarithm of the width of the residuals, averaged over the properties."""
    parts = widths(models, task)
    if not parts:
        return None
    name = f"{WORDS[HALF_WIDTH]} of the residuals, average over {len(parts)} properties"
    return Quantity(name, average([part.measured for part in parts]), True)


def _narrowness(models: Models, task: str) -> list[Quantity]:
    """The inverse of `mean_width`, so that larger is better."""
    width = mean_width(models, task)
    if width is None:
        return []
    measured = width.measured.assign(value=-width.measured["value"])
    return [Quantity(f"narrowness of the residuals of {task}", measured, True)]


# Section -> the quantities of a task.
QUANTITIES = {
    "tagging": lambda models, task: mean_rejections(models, task).values(),
    "vertexing": _vertices,
    "constituents": lambda models, task: filter(None, [mean_area(models, task)]),
    "objects": lambda models, task: [recognised(models, task), _of_own_class(models, task)],
    "regression": _narrowness,
}


def everything(models: Models) -> list[Quantity]:
    """One or two quantities of each task in each section; those without a value are left out."""
    found = []
    for section, build in QUANTITIES.items():
        tasks = dict.fromkeys(tasks_of(models.values(), section))
        for task in tasks:
            for quantity in build(models, task):
                found.append(quantity._replace(name=heading(quantity.name, task, tasks)))
    return [quantity for quantity in found if len(quantity.measured)]
