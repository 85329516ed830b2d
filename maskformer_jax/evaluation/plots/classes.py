"""Pictures of classes: confusion matrices, and areas under the ROC curves of constituents."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from maskformer_jax.canvas import SMALL, colour, legend_below
from maskformer_jax.evaluation.plots.panels import MARKERS, SPREAD
from maskformer_jax.evaluation.results import Confusion, Part, Table

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
MATRICES_IN_A_ROW = 3
# Percentage from which on the colour of a cell wants white text.
DARK = 60
# Inches beside and below a matrix, and for each of its classes.
MARGIN, CLASS = (2.6, 2.4), 0.8


def draw(labels: Sequence[str], parts: Sequence[Part], task: str) -> Iterator[tuple[str, Any]]:
    """Draws the confusion matrices of a task, and the areas of its classes where it has some.

    Args:
        labels: of the runs.
        parts: what was measured of the task in each.
        task: its name.

    Yields:
        Name of each picture and its figure; none without labelled entries.
    """
    found = [
        list(zip(labels, matrices, strict=True))
        for matrices in zip(*(part.confusions for part in parts), strict=False)
        if all(np.any(confusion.counts) for confusion in matrices)
    ]
    if found:
        yield found[0][0][1].name, confusions(found)
    for tables in zip(*(part.tables for part in parts), strict=False):
        if AREA in tables[0].columns and not any(table.is_empty for table in tables):
            yield f"{task}_auc", areas(labels, tables)


def confusions(found: Sequence[Sequence[tuple[str, Confusion]]]) -> Any:
    """A figure of confusion matrices side by side, in percent of the true class.

    Args:
        found: each kind of matrix, of every run with its label.
    """
    from matplotlib.figure import Figure

    cells = [cell for kind in found for cell in kind]
    # Kinds side by side for a single run, one below the other for several.
    columns = min(MATRICES_IN_A_ROW, len(cells) if len(found[0]) == 1 else len(found[0]))
    rows = -(-len(cells) // columns)
    width = MARGIN[0] + CLASS * len(cells[0][1].classes)
    height = MARGIN[1] + CLASS * len(cells[0][1].classes)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, confusion) in zip(panels, cells, strict=False):
        names = [NAMES.get(name, name) for name in confusion.classes]
        _confusion(axes, np.array(confusion.counts, float), names)
        title = "\n".join(filter(None, [f"{label}: {confusion.title}", confusion.note]))
        axes.set_title(title, fontsize=SMALL)
    for axes in panels[len(cells) :]:
        axes.set_axis_off()
    figure.suptitle("Percent of the true class")
    return figure


def _confusion(axes: Any, counts: np.ndarray, names: Sequence[str]) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(percent):
        text = f"{value:.1f}" if np.isfinite(value) else "-"
        shade = "white" if value > DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=shade)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
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
    height = 2.2 + len(names) * max(0.45, 0.16 * len(labels))
    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.subplots()
    offsets = np.linspace(-0.5, 0.5, len(labels)) * SPREAD * (len(labels) > 1)
    values: list[float] = []
    for index, (label, table) in enumerate(zip(labels, tables, strict=True)):
        found = [table.get(name, AREA) for name in names]
        shown, errors = (
            np.array([np.nan if q is None else getattr(q, x) for q in found])
            for x in ("value", "uncertainty")
        )
        style = {"fmt": MARKERS[index % len(MARKERS)], "color": colour(index), "label": label}
        axes.errorbar(shown, rows + offsets[index], xerr=errors, capsize=4, **style)
        values += [*(shown - errors)[np.isfinite(shown - errors)], *shown[np.isfinite(shown)]]
    axes.set_yticks(rows, [NAMES.get(name, name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(min(LOWEST_AREA, np.floor(20 * min(values, default=1)) / 20), 1)
    axes.hlines(rows[1:] - 0.5, *axes.get_xlim(), color="0.9", zorder=0)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Area under the ROC curve, class against all others")
    figure.suptitle(tables[0].title)
    legend_below(figure, {label: colour(index) for index, label in enumerate(labels)})
    return figure
