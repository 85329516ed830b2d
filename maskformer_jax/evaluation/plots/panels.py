"""Panels that several pictures share: quantities in bins, and confusion matrices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.names import prefixes
from maskformer_jax.evaluation.plots.canvas import COLOURS, save
from maskformer_jax.evaluation.results import Results

MARKERS = "osDv^<>P"

# Where many runs are drawn together their points are spread over this part of the bin.
SPREAD = 0.6

# Height of a panel of ratios, in that of the panel above.
RATIO_SHARE = 0.35

MATRICES_IN_A_ROW = 4
# Percentage from which on the colour of a cell wants white text.
DARK = 60


def tasks_of(
    results: Sequence[Results], section: str
) -> Iterator[tuple[str, str, list[Mapping[str, Any]], list[Mapping[str, Any]]]]:
    """Each task of a section that all runs have: name, prefix of its files, metrics, curves."""
    parts = [r.metrics.get(section, {}) for r in results]
    for task, prefix in prefixes(parts[0]).items():
        if all(task in part for part in parts):
            curves = [r.curves.get(section, {}).get(task, {}) for r in results]
            yield task, prefix, [part[task] for part in parts], curves


def binned(
    axes: Any, curves: Sequence[tuple[str, Mapping[str, Any]]], ratio_axes: Any = None
) -> None:
    """Draws values with errors in bins, each run as a stair with points.

    The axes may be logarithmic; set the scale of x before. A point is open where all or none of a
    bin have passed, so that its binomial error is zero. A band shows the error of the first run in
    the panel of the ratios to it.

    Args:
        axes: of the values.
        curves: label of each run and its curve, all with the same bin edges.
        ratio_axes: of the ratios to the first; none: no ratios.
    """
    # No ratio to nothing, nor to an empty bin.
    reference = np.array(curves[0][1]["value"], float)
    reference = np.where(reference > 0, reference, np.nan)
    for index, (label, curve) in enumerate(curves):
        edges, value, error = (np.array(curve[key], float) for key in ("x", "value", "error"))
        points = _positions(axes, edges, index, len(curves))
        style = {"color": COLOURS[index % len(COLOURS)], "alpha": 0.9}
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


def filled_range(curves: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Outer edges of the bins in which any of the curves has a value; none: there are none.

    Args:
        curves: with the same bin edges.
    """
    edges = np.array(curves[0]["x"], float)
    filled = np.isfinite(np.array([curve["value"] for curve in curves], float)).any(axis=0)
    if not filled.any():
        return None
    bins = np.flatnonzero(filled)
    return float(edges[bins[0]]), float(edges[bins[-1] + 1])


def draw_profile(
    curves: Sequence[tuple[str, Mapping[str, Any]]],
    path: Path,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    logy: bool = False,
) -> Path | None:
    """Draws binned curves with their errors; several with a panel of the ratio to the first.

    Args:
        curves: label and content of each, as `binned` takes them.
        path: of the PNG file.
        xlabel: with unit; the axis is logarithmic unless a bin begins at zero.
        ylabel: with unit.
        title: above the picture.
        logy: logarithmic scale of the values.

    Returns:
        The file; none where no bin of any curve has a value.
    """
    limits = filled_range([curve for _, curve in curves])
    if limits is None:
        return None
    figure, [(main, ratio)] = grid(1, 1, (6.5, 3.7), RATIO_SHARE * (len(curves) > 1))
    if limits[0] > 0:
        main.set_xscale("log")
    binned(main, curves, ratio)
    main.set(xlim=limits, ylabel=ylabel, yscale="log" if logy else "linear")
    figure.suptitle(title, fontsize=11)
    finish(main, ratio, xlabel, f"Ratio to\n{curves[0][0]}", math.inf)
    main.legend(frameon=False)
    return save(figure, path)


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


def finish(
    main: Any, ratio: Any, xlabel: str, ratio_label: str = "Ratio", widest: float = 2.0
) -> None:
    """Ticks, labels and the line at 1 of a panel and that of its ratios up to `widest`, if any."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for panel in filter(None, (main, ratio)):
        panel.tick_params(which="both", direction="in", top=True, right=True)
    bottom = ratio or main
    bottom.set_xlabel(xlabel)
    for axis in (main.xaxis, main.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
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


def confusions(
    matrices: Sequence[tuple[str, Sequence[Sequence[int]]]],
    names: Sequence[str],
    title: str,
    size: tuple[float, float],
) -> Any:
    """A figure of confusion matrices side by side.

    Args:
        matrices: label of each run, and its number of entries of each true and predicted class.
        names: of the classes.
        title: of each matrix, above the label.
        size: width and height of one, in inches.
    """
    from matplotlib.figure import Figure

    columns = min(MATRICES_IN_A_ROW, len(matrices))
    rows = -(-len(matrices) // columns)
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, counts) in zip(panels, matrices, strict=False):
        _confusion(axes, np.array(counts, float), names)
        axes.set_title(f"{title} [% of the true class]\n{label}", fontsize=11)
    for axes in panels[len(matrices) :]:
        axes.set_axis_off()
    return figure


def _confusion(axes: Any, counts: np.ndarray, names: Sequence[str]) -> None:
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(percent):
        text = f"{value:.1f}" if np.isfinite(value) else "-"
        colour = "white" if value > DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    labels = [f"{name}\n{int(total):,}" for name, total in zip(names, totals[:, 0], strict=True)]
    axes.set_yticks(range(len(names)), labels)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class and its number")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
