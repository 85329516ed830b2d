"""Panels of one style: quantities in bins, histograms and lines, several runs with their ratios."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskformer_jax.canvas import SMALL, colour, grid, legend_below, readable_ticks, with_symbols
from maskformer_jax.evaluation.cells import ROUNDING
from maskformer_jax.evaluation.results import Curve

MARKERS = "osDv^<>P"
# Where many runs are drawn together their points are spread over this part of the bin.
SPREAD = 0.6
# Height of a panel of ratios, in that of the panel above.
RATIO_SHARE = 0.42
# Size of a panel in inches, alone and among others; most panels in a row.
ALONE, PANEL = (6.8, 4.4), (5.2, 3.7)
COLUMNS = 3
# Ratios that run over more than this factor have a logarithmic axis, which ends at the widest.
WIDE_RATIO, WIDEST_RATIO = 4.0, 30.0
# Room above histograms for a line of the legend, in units of the highest bin.
LEGEND_LINE = 0.11
# Bins of the reference with fewer entries have no ratio.
MIN_IN_RATIO = 10
# Length of the arrow of a lower limit, in units of the limit.
ARROW = 0.5
# Efficiencies that come close to 1 are shown up to there, others up to where they are.
HIGH = 0.5

# Positive lines that run over more than this factor have a logarithmic axis.
LOGARITHMIC = 20
# Widths of lines, of the first of many and of others.
THICKEST, THINNEST = 4.0, 1.8

HISTOGRAMS = ("counts", "scores")

Run = tuple[str, Curve]
# Label of each run with its curves of one picture, by name; ratios are to the first.
Series = Sequence[tuple[str, Mapping[str, Curve]]]


def draw(series: Series, has_ratios: bool = True) -> Any:
    """A figure with a panel for each curve, with all runs and their ratios to the first.

    Args:
        series: label of each run, and its curves by name; one without keeps its colour.
        has_ratios: where there are several runs.

    Returns:
        The figure; none where no bin of any curve has a value.
    """
    names = dict.fromkeys(name for _, curves in series for name in curves)
    cells = [[(label, curves[n]) for label, curves in series if n in curves] for n in names]
    kind = cells[0][0][1].kind
    limits = filled_range([curve for runs in cells for _, curve in runs])
    if limits is None:
        return None
    number = len(cells)
    columns = number if number <= 2 else 2 if number == 4 else COLUMNS
    has_ratios &= len(series) > 1 and kind != "line"
    rows = -(-number // columns)
    figure, panels = grid(columns, rows, ALONE if number == 1 else PANEL, RATIO_SHARE * has_ratios)
    colours = {label: colour(index) for index, (label, _) in enumerate(series)}
    for runs, (main, ratio) in zip(cells, panels, strict=False):
        if kind in HISTOGRAMS:
            _counts(runs, main, ratio)
        elif kind == "line":
            _lines(runs, main, colours)
        else:
            _profile(runs, main, ratio, limits)
        finish(main, ratio, runs[0][1], f"Ratio to\n{runs[0][0]}" if number == 1 else "Ratio")
    for panel in (panel for cell in panels[number:] for panel in cell if panel):
        panel.remove()
    if kind == "efficiency":
        # Up to the ends of the intervals.
        ends = np.concatenate([curve.points.high for runs in cells for _, curve in runs])
        top = np.max(ends, initial=0, where=np.isfinite(ends))
        for main, _ in panels[:number]:
            main.set_ylim(0, 1 if top > HIGH else 1.1 * top or 1)
    figure.suptitle(_title(cells))
    legend_below(figure, {label: colours[label] for label, curves in series if curves})
    return figure


def _title(cells: Sequence[Sequence[Run]]) -> str:
    first = cells[0][0][1]
    points = [curve.points for runs in cells for _, curve in runs]
    is_limited = any(np.any(np.isnan(p.value) & np.isfinite(p.low)) for p in points)
    note = "Arrows: limits at 95 % CL" if is_limited else ""
    note = "The outer bins hold what lies beyond" if first.kind in HISTOGRAMS else note
    return "\n".join(filter(None, [first.title, note]))


def _lines(runs: Sequence[Run], main: Any, colours: Mapping[str, str]) -> None:
    """Values against epochs or steps; a curve of few points has dots."""
    from matplotlib.ticker import MaxNLocator

    main.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    values = np.concatenate([curve.points.value for _, curve in runs])
    ends = [f(values[np.isfinite(values)], initial=1.0) for f in (np.min, np.max)]
    if 0 < ends[0] * LOGARITHMIC < ends[1]:
        main.set_yscale("log")
    for index, (label, curve) in enumerate(runs):
        x, value, low, high = curve.points
        dots = {"marker": "o", "markersize": 5} if curve.note else {}
        # A line that lies on another one leaves its border.
        width = max(THINNEST, THICKEST - 0.5 * index) if len(runs) > 2 else THINNEST
        main.plot(x, value, color=colours[label], linewidth=width, **dots)
        if np.isfinite(low).any():
            main.fill_between(x, low, high, color=colours[label], alpha=0.2, linewidth=0)
    if math.isfinite(runs[0][1].mark):
        main.axhline(runs[0][1].mark, color="0.6", linewidth=0.8, zorder=0)


def _profile(runs: Sequence[Run], main: Any, ratio: Any, limits: tuple[float, float]) -> None:
    curve = runs[0][1]
    # A logarithmic axis has no zero, where flight lengths begin; equal bins need none.
    scale = {"value": "log"} if limits[0] > 0 else {"value": "symlog", "linthresh": 1.0}
    if np.ptp(np.diff(curve.points.x)) > ROUNDING:
        main.set_xscale(**scale)
    binned(main, runs, ratio)
    main.set(xlim=limits, yscale="log" if curve.kind == "rejection" else "linear")
    if math.isfinite(curve.mark):
        main.axhline(curve.mark, color="0.6", linewidth=0.8, zorder=0)


def binned(axes: Any, runs: Sequence[Run], ratio_axes: Any = None) -> None:
    """Draws values with their intervals in bins, each run as a stair with points.

    The axes may be logarithmic; set the scale of x before. Where there is a lower limit alone an
    arrow begins there. A band shows the interval of the first run in the panel of the ratios to it.

    Args:
        axes: of the values.
        runs: label of each and its curve, all with the same bin edges.
        ratio_axes: of the ratios to the first; none: no ratios.
    """
    # No ratio to nothing, nor to an empty bin.
    reference = np.where(runs[0][1].points.value > 0, runs[0][1].points.value, np.nan)
    for index, (label, curve) in enumerate(runs):
        edges, value, low, high = curve.points
        points = _positions(axes, edges, index, len(runs))
        style = {"color": colour(index), "alpha": 0.9}
        dots = style | {"fmt": MARKERS[index % len(MARKERS)], "ms": 5, "lw": 1.5, "zorder": 3}
        axes.stairs(value, edges, baseline=None, linewidth=1.2, **style)
        ends = value - low, high - value
        drawn = axes.errorbar(points, value, ends, label=label, **dots)
        # A point at the border is whole.
        drawn.lines[0].set_clip_on(False)
        limit = np.where(np.isnan(value), low, np.nan)
        axes.errorbar(points, limit, ARROW * limit, lolims=True, **dots | {"fmt": "_"})
        if ratio_axes is None:
            continue
        ratio, below, above = (x / reference for x in (value, *ends))
        ratio_axes.stairs(ratio, edges, baseline=None, linewidth=1.2, **style)
        if index == 0:
            band = {"baseline": 1 - below, "fill": True, "color": "0.85", "zorder": 0}
            ratio_axes.stairs(1 + above, edges, **band)
        else:
            ratio_axes.errorbar(points, ratio, [below, above], **dots)


def _positions(axes: Any, edges: np.ndarray, index: int, number: int) -> np.ndarray:
    """A place inside each bin, its centre on the scale of the axis for a single run."""
    scale = axes.xaxis.get_transform()
    low, high = scale.transform(edges[:-1]), scale.transform(edges[1:])
    part = 0.5 if number == 1 else 0.5 + SPREAD * (index / (number - 1) - 0.5)
    return scale.inverted().transform(low + part * (high - low))


def filled_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Outer edges of the bins in which any of the curves has a value or a limit; none: none has."""
    ends: list[float] = []
    for curve in curves:
        x, value, low, _ = curve.points
        bins = np.flatnonzero(np.isfinite(value) | np.isfinite(low))
        ends += [x[bins[0]], x[min(bins[-1] + 1, len(x) - 1)]] if len(bins) else []
    return (float(min(ends)), float(max(ends))) if ends else None


def _counts(runs: Sequence[Run], main: Any, ratio: Any) -> None:
    """Histograms as fractions of their entries; the legend has the notes of the runs."""
    reference = None
    for index, (_, curve) in enumerate(runs):
        edges, counts, errors = *curve.points[:2], curve.points.error
        total = max(counts.sum(), 1.0)
        value, error = counts / total, errors / total
        main.stairs(value, edges, color=colour(index), linewidth=1.8, label=curve.note)
        _band(main, edges, value, error, colour(index))
        if ratio is None:
            continue
        if reference is None:
            reference = edges, np.where(counts >= MIN_IN_RATIO, value, np.nan)
        if np.array_equal(edges, reference[0]):
            line = {"color": colour(index), "linewidth": 1.5, "baseline": None}
            ratio.stairs(value / reference[1], edges, **line)
            _band(ratio, edges, value / reference[1], error / reference[1], colour(index))
    first = runs[0][1]
    if first.kind == "scores":
        bins = np.flatnonzero(np.any([curve.points.value for _, curve in runs], axis=0))
        main.set_yscale("log")
        low, high = edges[bins[0]], edges[bins[-1] + 1]
        if low < high:  # not where all scores are the same
            main.set_xlim(low, high)
        return
    # The room for the legend keeps it off the curves.
    main.set_ylim(0, main.dataLim.y1 * (1.12 + LEGEND_LINE * (len(runs) + 1)))
    if first.points.x[0] < first.points.x[-1]:
        main.set_xlim(first.points.x[0], first.points.x[-1])
    main.axvline(first.mark, color="0.6", linewidth=0.8, zorder=0)
    title = f"{int(first.points.value.sum()):,} entries"
    text = {"title": title, "title_fontsize": SMALL, "fontsize": SMALL, "alignment": "left"}
    main.legend(loc="upper left", handlelength=1.2, labelspacing=0.2, **text)


def _band(panel: Any, edges: np.ndarray, value: np.ndarray, error: np.ndarray, fill: str) -> None:
    panel.fill_between(
        edges, *(np.append(y, y[-1]) for y in (value - error, value + error)),
        step="post", color=fill, alpha=0.2, linewidth=0,
    )  # fmt: skip


def finish(main: Any, ratio: Any, curve: Curve, ratio_label: str) -> None:
    """Ticks, labels and the line at 1 of a panel and that of its ratios, if any."""
    (ratio or main).set_xlabel(with_symbols(curve.x_label))
    main.set_ylabel(with_symbols(curve.y_label))
    if ratio is not None:
        main.tick_params(labelbottom=False)
        ratio.set_ylabel(ratio_label)
        ratio.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        (low, high), smallest = ratio.dataLim.intervaly, ratio.dataLim.minpos[1]
        if high > WIDE_RATIO * smallest:
            ratio.set_yscale("log")
            low, high = max(smallest, 1 / WIDEST_RATIO), min(high, WIDEST_RATIO)
        ratio.set_ylim(min(0.97 * low, 0.9), max(1.03 * high, 1.1))
    for axes in filter(None, (main, ratio)):
        readable_ticks(axes)
