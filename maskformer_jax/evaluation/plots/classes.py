"""Pictures of classes: confusion matrices, and areas under the ROC curves of constituents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.plots.canvas import colour, save
from maskformer_jax.evaluation.plots.panels import MARKERS, SPREAD
from maskformer_jax.evaluation.results import Confusion, Part, Quantity, Table

NAMES = {
    "pileup": "pile-up",
    "fromB": "from $b$",
    "fromBC": r"from $b\to c$",
    "fromC": "from $c$",
    "fromTau": r"from $\tau$",
    "otherSecondary": "other secondary",
}
AREA = "auc"

# The axis of the areas begins here or lower.
LOWEST_AREA = 0.75
MATRICES_IN_A_ROW = 4
# Percentage from which on the colour of a cell wants white text.
DARK = 60
# Inches around a matrix, and for each of its classes.
MARGIN, CLASS = 2.2, 0.6


def draw(labels: Sequence[str], parts: Sequence[Part], folder: Path, task: str) -> list[Path]:
    """Draws the confusion matrices of a task, and the areas of its classes where it has some.

    Args:
        labels: of the runs.
        parts: what was measured of the task in each.
        folder: where the pictures go.
        task: its name.

    Returns:
        The files; none without labelled entries.
    """
    files = []
    for found in zip(*(part.confusions for part in parts), strict=False):
        if all(np.any(confusion.counts) for confusion in found):
            files.append(save(confusions(labels, found), folder / f"{found[0].name}.png"))
    for tables in zip(*(part.tables for part in parts), strict=False):
        if AREA in tables[0].columns and not any(table.is_empty for table in tables):
            files.append(save(areas(labels, tables), folder / f"{task}_auc.png"))
    return files


def confusions(labels: Sequence[str], found: Sequence[Confusion]) -> Any:
    """A figure of confusion matrices side by side, in percent of the true class.

    Args:
        labels: of the runs.
        found: the matrix of each.
    """
    from matplotlib.figure import Figure

    columns = min(MATRICES_IN_A_ROW, len(found))
    rows = -(-len(found) // columns)
    side = MARGIN + CLASS * len(found[0].classes)
    size = (columns * side, rows * (side - 0.3))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, label, confusion in zip(panels, labels, found, strict=False):
        names = [NAMES.get(name, name) for name in confusion.classes]
        _confusion(axes, np.array(confusion.counts, float), names)
        axes.set_title(f"{confusion.title} [% of the true class]\n{label}", fontsize=11)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    return figure


def _confusion(axes: Any, counts: np.ndarray, names: Sequence[str]) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(percent):
        text = f"{value:.1f}" if np.isfinite(value) else "-"
        shade = "white" if value > DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    labels = [f"{name}\n{int(total):,}" for name, total in zip(names, totals[:, 0], strict=True)]
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class and its number")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def areas(labels: Sequence[str], tables: Sequence[Table]) -> Any:
    """A figure with a row for each class, and in each row a dot with its error for each run."""
    from matplotlib.figure import Figure

    names = list(tables[0].rows)
    rows = np.arange(len(names))
    height = 1.6 + len(names) * max(0.45, 0.1 * len(labels))
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    offsets = np.linspace(-0.5, 0.5, len(labels)) * SPREAD * (len(labels) > 1)
    nothing, values = Quantity(2.0), []
    for index, (label, table) in enumerate(zip(labels, tables, strict=True)):
        found = [table.get(name, AREA) or nothing for name in names]
        shown = np.array([q.value if q is not nothing else np.nan for q in found])
        errors = np.array([q.uncertainty for q in found])
        style = {"fmt": MARKERS[index % len(MARKERS)], "color": colour(index), "label": label}
        axes.errorbar(shown, rows + offsets[index], xerr=errors, **style)
        values += [value for value in shown if np.isfinite(value)]
    axes.set_yticks(rows, [NAMES.get(name, name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(min(LOWEST_AREA, np.floor(20 * min(values, default=1)) / 20), 1)
    axes.hlines(rows[1:] - 0.5, *axes.get_xlim(), color="0.9", zorder=0)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Area under the ROC curve")
    axes.set_title(tables[0].title, fontsize=11)
    figure.legend(loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    return figure
