"""Residuals of the hadron properties, and the response against transverse momentum."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.plots.canvas import COLOURS, SYMBOLS, save
from maskformer_jax.evaluation.plots.panels import binned, filled_range
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.cells import decimals

RESIDUALS_FILE = "residuals.png"
RESPONSE_FILE = "response.png"
COLUMNS = 4
PANEL = (4.2, 3.6)
RATIO_SHARE = 0.35
# Room above the curves for a line of the legend, in units of the highest bin.
LEGEND_LINE = 0.075
# Bins of the reference with fewer hadrons have no ratio.
MIN_IN_RATIO = 10


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws the residuals of all targets, and the response where the file has the pT of hadrons.

    Args:
        results: of one or more runs; with several there are ratios to the first.
        folder: where the pictures go.

    Returns:
        The files; none where no run has found a hadron.
    """
    some = [run for run in results if run.metrics.get("regression", {}).get("found")]
    if not some:
        return []
    files = [_draw_residuals(some, folder / RESIDUALS_FILE)]
    if some[0].curves["regression"]["response"]:
        files.append(_draw_response(some, folder / RESPONSE_FILE))
    return files


def colour(run: int) -> str:
    """Of the run at a position, the reference first."""
    return COLOURS[run % len(COLOURS)]


def _draw_residuals(results: Sequence[Results], path: Path) -> Path:
    names = list(results[0].curves["regression"]["histograms"])
    columns = min(COLUMNS, len(names))
    figure, cells = _grid(results, columns, -(-len(names) // columns))
    for name, (main, ratio) in zip(names, cells, strict=False):
        _residual_panel(results, name, main, ratio)
    figure.supxlabel("The outer bins hold what lies beyond them.", x=0.99, ha="right", fontsize=8)
    for panel in (panel for cell in cells[len(names) :] for panel in cell if panel):
        panel.remove()
    return save(figure, path)


def _residual_panel(results: Sequence[Results], name: str, main: Any, ratio: Any) -> None:
    reference = None
    for run, result in enumerate(results):
        entry = result.metrics["regression"]["residuals"][name]
        curve = result.curves["regression"]["histograms"][name]
        edges = np.array(curve["x"])
        total = max(np.sum(curve["value"]), 1.0)
        value, error = np.array(curve["value"]) / total, np.array(curve["error"]) / total
        label = _with_width(entry["median"], entry["half_width_68"])
        main.stairs(value, edges, color=colour(run), linewidth=1.4, label=label)
        _band(main, edges, value, error, colour(run))
        if ratio is None:
            continue
        if reference is None:
            many = np.array(curve["value"]) >= MIN_IN_RATIO
            reference = edges, np.where(many, value, np.nan)
        if len(edges) == len(reference[0]) and np.allclose(edges, reference[0]):
            relative, uncertainty = value / reference[1], error / reference[1]
            ratio.stairs(relative, edges, color=colour(run), linewidth=1.2)
            _band(ratio, edges, relative, uncertainty, colour(run))
    entry = results[0].metrics["regression"]["residuals"][name]
    unit = f" [{entry['unit']}]" if entry["unit"] else ""
    # The room for the legend keeps it off the curves.
    main.set_ylim(0, main.dataLim.y1 * (1.12 + LEGEND_LINE * (len(results) + 1)))
    main.set_xlim(edges[0], edges[-1])
    main.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    title = f"{entry['number']:,} hadrons, median ± half 68 % width"
    main.legend(
        title=title,
        title_fontsize=8,
        fontsize=8,
        frameon=False,
        loc="upper left",
        handlelength=1.2,
        alignment="left",
    )
    main.set_ylabel("Fraction of hadrons")
    _finish(main, ratio, _with_symbol(entry["formula"]) + unit)


def _draw_response(results: Sequence[Results], path: Path) -> Path:
    names = list(results[0].curves["regression"]["response"])
    figure, cells = _grid(results, len(names), 2)
    words = {"median": "Median of", "half_width_68": "Half 68 % width of"}
    kinds = [(kind, name) for kind in words for name in names]
    for (kind, name), (main, ratio) in zip(kinds, cells, strict=True):
        _response_panel(results, name, kind, main, ratio)
        symbol = SYMBOLS.get(name, name)
        main.set_ylabel(f"{words[kind]} predicted/true {symbol}")
        if kind == "median":
            main.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        _finish(main, ratio, "True hadron $p_T$ [GeV]")
    return save(figure, path)


def _response_panel(
    results: Sequence[Results], name: str, kind: str, main: Any, ratio: Any
) -> None:
    curves = [(run.label, run.curves["regression"]["response"][name][kind]) for run in results]
    main.set_xscale("log")
    binned(main, curves, ratio)
    limits = filled_range([curve for _, curve in curves])
    if limits is not None:
        main.set_xlim(limits)


def _grid(results: Sequence[Results], columns: int, rows: int) -> tuple[Any, list[tuple]]:
    """A figure with a legend of the runs above, and its panels with those of the ratios or none."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    several = len(results) > 1
    height = PANEL[1] * (1 + RATIO_SHARE * several)
    figure = Figure(figsize=(PANEL[0] * columns, height * rows + 0.5), layout="constrained")
    outer = figure.add_gridspec(rows, columns)
    cells = []
    for cell in (outer[row, column] for row in range(rows) for column in range(columns)):
        if not several:
            cells.append((figure.add_subplot(cell), None))
            continue
        inner = cell.subgridspec(2, 1, height_ratios=[1, RATIO_SHARE], hspace=0.02)
        main = figure.add_subplot(inner[0])
        cells.append((main, figure.add_subplot(inner[1], sharex=main)))
    lines = [Line2D([], [], color=colour(run), linewidth=2) for run in range(len(results))]
    labels = [
        f"{run.label}: {entry['found']:,} of {entry['of']:,} hadrons found"
        for run in results
        for entry in [run.metrics["regression"]]
    ]
    figure.legend(
        lines, labels, loc="outside upper center", ncols=min(columns, len(labels)), frameon=False
    )
    return figure, cells


def _finish(main: Any, ratio: Any, xlabel: str) -> None:
    for panel in (main, ratio):
        if panel is not None:
            panel.tick_params(which="both", direction="in", top=True, right=True)
    bottom = ratio or main
    bottom.set_xlabel(xlabel)
    if bottom.get_xscale() == "linear":
        bottom.locator_params(axis="x", nbins=5)
    if ratio is not None:
        main.tick_params(labelbottom=False)
        ratio.set_ylabel("Ratio")
        ratio.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        ratio.set_ylim(*_ratio_limits(ratio))


def _ratio_limits(panel: Any) -> tuple[float, float]:
    """From a half to two at most; closer where the ratios are."""
    low, high = panel.dataLim.intervaly
    return (max(0.5, min(low, 0.9)), min(2.0, max(high, 1.1)))


def _band(panel: Any, edges: np.ndarray, value: np.ndarray, error: np.ndarray, fill: str) -> None:
    panel.fill_between(
        edges, *(np.append(y, y[-1]) for y in (value - error, value + error)),
        step="post", color=fill, alpha=0.2, linewidth=0,
    )  # fmt: skip


def _with_width(median: float, half_width: float) -> str:
    """Two significant digits of the width, and the same digits of the median."""
    if not half_width > 0:
        return f"{median:.3g}"
    digits = decimals(half_width)
    return f"{median:+.{digits}f} ± {half_width:.{digits}f}".replace("-", "−")


def _with_symbol(formula: str) -> str:
    target, _, rest = formula.partition(": ")
    return f"{SYMBOLS.get(target, target)}: {rest.replace('<=', '≤').replace(' - ', ' − ')}"
