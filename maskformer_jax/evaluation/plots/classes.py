"""Pictures of classes: ROC curves, with puma, scans, discriminants, confusions and areas."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maskformer_jax.canvas import (
    FONT,
    SMALL,
    colour,
    grid,
    legend_below,
    readable_ticks,
    with_symbols,
)
from maskformer_jax.evaluation.names import jets_in_formula
from maskformer_jax.evaluation.plots.panels import (
    ALONE,
    MARKERS,
    SPREAD,
    Series,
    draw,
    filled_range,
)
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
# The width of ROC curves, and their height with two panels of ratios.
ROC_SIZE = (7.5, 8.5)
# Fractions that are written beside a scan.
WRITTEN = (0.01, 0.05, 0.1, 0.2, 0.5)


def draw_classes(
    labels: Sequence[str], parts: Sequence[Part], task: str
) -> Iterator[tuple[str, Any]]:
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


def class_label(name: str) -> Any:
    """A class of jets for puma, in the words of the other pictures."""
    from ftag import Cuts
    from ftag.labels import Label

    return Label(name, f"{jets_in_formula(name)}s", Cuts.empty(), "black", "other")


def draw_roc(series: Series) -> Any:
    """Rejection of each background against signal efficiency, with ratios of several runs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from puma import Roc, RocPlot

    first = next(iter(series[0][1].values()))
    backgrounds, several = list(series[0][1]), len(series) > 1
    number = min(2, len(backgrounds)) if several else 0
    plot = RocPlot(
        n_ratio_panels=number,
        ylabel="Background rejection",
        xlabel=with_symbols(first.x_label),
        atlas_first_tag=None,
        atlas_second_tag=None,
        apply_atlas_style=False,
        figsize=(ROC_SIZE[0], ROC_SIZE[1] * (0.6 + 0.2 * number)),
        fontsize=FONT,
        label_fontsize=FONT,
        leg_fontsize=FONT,
        y_scale=1.1,
    )
    plot.fig.get_layout_engine().set(h_pad=0.05)
    FigureCanvasAgg(plot.fig)
    # puma has as many kinds of lines and panels of ratios as two backgrounds need.
    shown = backgrounds[: number or None]
    for index, (label, curves) in enumerate(series):
        for background in shown:
            curve = curves[background]
            roc = Roc(
                curve.points.x,
                curve.points.value,
                n_test=curve.entries,
                rej_class=class_label(background),
                signal_class=class_label("signal"),
                label=label if several else f"{label}, {jets_in_formula(background)}s",
                colour=colour(index),
            )
            plot.add_roc(roc, reference=index == 0 < number)
    for panel, background in enumerate(shown[:number], start=1):
        plot.set_ratio_class(panel, class_label(background))
    ends = filled_range([curves[background] for _, curves in series for background in shown])
    if ends is None:
        return None
    plot.xmin, plot.xmax = ends
    # Where the reference is zero there is no ratio, and none is drawn.
    with np.errstate(divide="ignore", invalid="ignore"):
        plot.draw()
    plot.fig.suptitle(first.title)
    return plot.fig


def draw_scores(series: Series) -> Any:
    """A panel of all runs for each class, or one of all classes where there is a single run."""
    if len(series) > 1:
        return draw(series)
    words = {"y_label": "fraction of the jets of a class"}
    return draw(
        [
            (f"{jets_in_formula(name)}s", {"": replace(curve, **words)})
            for name, curve in series[0][1].items()
        ],
        has_ratios=False,
    )


def draw_scan(series: Series) -> Any:
    """Rejections for every fraction, with a cross at the fraction of the other pictures."""
    # The fraction of the last background is scanned.
    second, scanned = list(series[0][1].values())[-2:]
    figure, [(axes, _)] = grid(1, 1, ALONE, 0)
    for index, (_, curves) in enumerate(series):
        (fractions, x, *x_ends), (_, y, *y_ends) = (
            curves[c.name].points for c in (second, scanned)
        )
        axes.plot(x, y, color=colour(index))
        at = np.argmin(np.abs(fractions - scanned.mark))
        axes.plot(x[at], y[at], "x", color=colour(index), markersize=11, markeredgewidth=2.5)
        marked = [int(np.argmin(np.abs(fractions - f))) for f in (*WRITTEN, scanned.mark)]
        bars = {
            name: [np.abs(v[marked] - end[marked]) for end in ends]
            for name, v, ends in (("xerr", x, x_ends), ("yerr", y, y_ends))
        }
        style = {"color": colour(index), "fmt": "o", "markersize": 4, "linewidth": 1}
        axes.errorbar(x[marked], y[marked], **bars, **style)
        for position, value in zip(marked, WRITTEN, strict=False):
            if index == 0:
                place = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": FONT - 2}
                axes.annotate(f"{value:g}", (x[position], y[position]), **place)
    axes.set(xlabel=with_symbols(second.y_label), ylabel=with_symbols(scanned.y_label))
    readable_ticks(axes)
    figure.suptitle(scanned.title)
    legend_below(figure, {label: colour(index) for index, (label, _) in enumerate(series)})
    return figure
