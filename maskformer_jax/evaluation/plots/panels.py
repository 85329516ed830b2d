"""Panels of one style: quantities in bins and histograms, several runs with their ratios."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.plots.canvas import colour, save, with_symbols
from maskformer_jax.evaluation.results import Curve

MARKERS = "osDv^<>P"
# Where many runs are drawn together their points are spread over this part of the bin.
SPREAD = 0.6
# Height of a panel of ratios, in that of the panel above.
RATIO_SHARE = 0.35
# Size of a panel in inches, alone and among others; most panels in a row.
ALONE, PANEL = (6.5, 3.7), (4.4, 3.3)
COLUMNS = 4
# Ratios of several panels go so far.
WIDEST_RATIO = 2.0
# Room above histograms for a line of the legend, in units of the highest bin.
LEGEND_LINE = 0.085
# Bins of the reference with fewer entries have no ratio.
MIN_IN_RATIO = 10

HISTOGRAMS = ("counts", "scores")

Run = tuple[str, Curve]


def draw(
    series: Sequence[tuple[str, Mapping[str, Curve]]], path: Path, has_ratios: bool = True
) -> list[Path]:
    """Draws a panel for each curve of a picture, with all runs and their ratios to the first.

    Args:
        series: label of each run, and its curves by name.
        path: of the PNG file.
        has_ratios: where there are several runs.

    Returns:
        The file; none where no bin of any curve has a value.
    """
    names = dict.fromkeys(name for _, curves in series for name in curves)
    cells = [[(label, curves[n]) for label, curves in series if n in curves] for n in names]
    first = cells[0][0][1]
    limits = filled_range([curve for runs in cells for _, curve in runs])
    if limits is None:
        return []
    number = len(cells)
    columns = min(COLUMNS, number if number <= 2 else -(-number // 2))
    size = ALONE if number == 1 else PANEL
    figure, panels = grid(
        columns, -(-number // columns), size, RATIO_SHARE * (len(series) > 1 and has_ratios)
    )
    for runs, (main, ratio) in zip(cells, panels, strict=False):
        if first.kind in HISTOGRAMS:
            _counts(runs, main, ratio)
        else:
            _profile(runs, main, ratio, limits)
        widest = math.inf if number == 1 else WIDEST_RATIO
        label = f"Ratio to\n{runs[0][0]}" if number == 1 else "Ratio"
        finish(main, ratio, runs[0][1], label, widest)
    for panel in (panel for cell in panels[number:] for panel in cell if panel):
        panel.remove()
    if first.kind == "efficiency":
        top = max(main.get_ylim()[1] for main, _ in panels[:number])
        for main, _ in panels[:number]:
            main.set_ylim(-0.02 * top, min(1.05, 1.1 * top))
    figure.suptitle(_title(cells), fontsize=11)
    # The legends of histograms have the notes of the runs.
    is_alone = number == 1 and first.kind != "counts"
    _legend(figure, series, columns, panels[0][0] if is_alone else None)
    return [save(figure, path)]


def _title(cells: Sequence[Sequence[Run]]) -> str:
    first = cells[0][0][1]
    edge = any(0 in curve.points.error for runs in cells for _, curve in runs)
    note = "open points: all or none" if edge and first.kind == "efficiency" else ""
    note = "the outer bins hold what lies beyond" if first.kind in HISTOGRAMS else note
    return ", ".join(filter(None, [first.title, note]))


def _legend(figure: Any, series: Sequence[tuple[str, Any]], columns: int, alone: Any) -> None:
    from matplotlib.lines import Line2D

    labels = [label for label, _ in series]
    lines = [Line2D([], [], color=colour(i), linewidth=2) for i in range(len(labels))]
    if alone is not None:
        alone.legend(lines, labels, frameon=False)
    elif len(labels) > 1:
        place = "outside lower center"
        figure.legend(lines, labels, loc=place, ncols=min(columns, len(labels)), frameon=False)


def _profile(runs: Sequence[Run], main: Any, ratio: Any, limits: tuple[float, float]) -> None:
    curve = runs[0][1]
    # A logarithmic axis has no zero, where flight lengths begin.
    scale = {"value": "log"} if limits[0] > 0 else {"value": "symlog", "linthresh": 1.0}
    main.set_xscale(**scale)
    binned(main, runs, ratio)
    main.set(xlim=limits, yscale="log" if curve.kind == "rejection" else "linear")
    if math.isfinite(curve.mark):
        main.axhline(curve.mark, color="0.6", linewidth=0.8, zorder=0)


def binned(axes: Any, runs: Sequence[Run], ratio_axes: Any = None) -> None:
    """Draws values with errors in bins, each run as a stair with points.

    The axes may be logarithmic; set the scale of x before. A point is open where all or none of a
    bin have passed, so that its binomial error is zero. A band shows the error of the first run in
    the panel of the ratios to it.

    Args:
        axes: of the values.
        runs: label of each and its curve, all with the same bin edges.
        ratio_axes: of the ratios to the first; none: no ratios.
    """
    # No ratio to nothing, nor to an empty bin.
    reference = np.where(runs[0][1].points.value > 0, runs[0][1].points.value, np.nan)
    for index, (label, curve) in enumerate(runs):
        edges, value, error = curve.points
        points = _positions(axes, edges, index, len(runs))
        style = {"color": colour(index), "alpha": 0.9}
        dots = style | {"fmt": MARKERS[index % len(MARKERS)], "ms": 3.5, "lw": 1.2}
        axes.stairs(value, edges, baseline=None, linewidth=1, **style)
        axes.errorbar(points, np.where(error == 0, np.nan, value), error, label=label, **dots)
        axes.errorbar(points, np.where(error == 0, value, np.nan), mfc="white", **dots)
        if ratio_axes is None:
            continue
        ratio, ratio_error = value / reference, error / reference
        ratio_axes.stairs(ratio, edges, baseline=None, linewidth=1, **style)
        if index == 0:
            band = {"baseline": 1 - ratio_error, "fill": True, "color": "0.85", "zorder": 0}
            ratio_axes.stairs(1 + ratio_error, edges, **band)
        else:
            ratio_axes.errorbar(points, ratio, ratio_error, **dots)


def _positions(axes: Any, edges: np.ndarray, index: int, number: int) -> np.ndarray:
    """A place inside each bin, its centre on the scale of the axis for a single run."""
    scale = axes.xaxis.get_transform()
    low, high = scale.transform(edges[:-1]), scale.transform(edges[1:])
    part = 0.5 if number == 1 else 0.5 + SPREAD * (index / (number - 1) - 0.5)
    return scale.inverted().transform(low + part * (high - low))


def filled_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Outer edges of the bins in which any of the curves has a value; none: there are none."""
    ends: list[float] = []
    for curve in curves:
        bins = np.flatnonzero(np.isfinite(curve.points.value))
        ends += [curve.points.x[bins[0]], curve.points.x[bins[-1] + 1]] if len(bins) else []
    return (float(min(ends)), float(max(ends))) if ends else None


def _counts(runs: Sequence[Run], main: Any, ratio: Any) -> None:
    """Histograms as fractions of their entries; the legend has the notes of the runs."""
    reference = None
    for index, (_, curve) in enumerate(runs):
        edges, counts, errors = curve.points
        total = max(counts.sum(), 1.0)
        value, error = counts / total, errors / total
        main.stairs(value, edges, color=colour(index), linewidth=1.4, label=curve.note)
        _band(main, edges, value, error, colour(index))
        if ratio is None:
            continue
        if reference is None:
            reference = edges, np.where(counts >= MIN_IN_RATIO, value, np.nan)
        if np.array_equal(edges, reference[0]):
            ratio.stairs(value / reference[1], edges, color=colour(index), linewidth=1.2)
            _band(ratio, edges, value / reference[1], error / reference[1], colour(index))
    first = runs[0][1]
    if first.kind == "scores":
        bins = np.flatnonzero(np.any([curve.points.value for _, curve in runs], axis=0))
        main.set(yscale="log", xlim=(edges[bins[0]], edges[bins[-1] + 1]))
        return
    # The room for the legend keeps it off the curves.
    main.set_ylim(0, main.dataLim.y1 * (1.12 + LEGEND_LINE * (len(runs) + 1)))
    if first.points.x[0] < first.points.x[-1]:
        main.set_xlim(first.points.x[0], first.points.x[-1])
    main.axvline(first.mark, color="0.6", linewidth=0.8, zorder=0)
    title = f"{int(first.points.value.sum()):,} entries"
    text = {"title": title, "title_fontsize": 8, "fontsize": 8, "alignment": "left"}
    main.legend(frameon=False, loc="upper left", handlelength=1.2, **text)


def _band(panel: Any, edges: np.ndarray, value: np.ndarray, error: np.ndarray, fill: str) -> None:
    panel.fill_between(
        edges, *(np.append(y, y[-1]) for y in (value - error, value + error)),
        step="post", color=fill, alpha=0.2, linewidth=0,
    )  # fmt: skip


def grid(columns: int, rows: int, size: tuple[float, float], ratio: float) -> tuple[Any, list]:
    """A figure and its panels, row by row, each with that of its ratios below or none.

    Args:
        columns: of the figure.
        rows: of the figure.
        size: width and height of a panel in inches.
        ratio: height of the panels of ratios, in that of the others; 0: there are none.
    """
    from matplotlib.figure import Figure

    height = size[1] * (1 + ratio)
    figure = Figure(figsize=(size[0] * columns, height * rows + 0.5), layout="constrained")
    outer, cells = figure.add_gridspec(rows, columns), []
    for place in (outer[row, column] for row in range(rows) for column in range(columns)):
        if not ratio:
            cells.append((figure.add_subplot(place), None))
            continue
        inner = place.subgridspec(2, 1, height_ratios=[1, ratio], hspace=0.02)
        main = figure.add_subplot(inner[0])
        cells.append((main, figure.add_subplot(inner[1], sharex=main)))
    return figure, cells


def finish(main: Any, ratio: Any, curve: Curve, ratio_label: str, widest: float) -> None:
    """Ticks, labels and the line at 1 of a panel and that of its ratios up to `widest`, if any."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for panel in filter(None, (main, ratio)):
        panel.tick_params(which="both", direction="in", top=True, right=True)
    bottom = ratio or main
    bottom.set_xlabel(with_symbols(curve.x_label))
    main.set_ylabel(with_symbols(curve.y_label))
    for axis in (main.xaxis, main.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        if axis.get_scale() != "linear":
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
    if bottom.get_xscale() == "linear":
        bottom.locator_params(axis="x", nbins=5)
    if ratio is not None:
        main.tick_params(labelbottom=False)
        ratio.set_ylabel(ratio_label)
        ratio.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        low, high = ratio.dataLim.intervaly
        ratio.set_ylim(max(1 / widest, min(low, 0.9)), min(widest, max(high, 1.1)))
