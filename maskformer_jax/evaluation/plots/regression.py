"""Residuals of regressed quantities, and the response against transverse momentum."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.evaluation.plots.canvas import COLOURS, SYMBOLS, save
from maskformer_jax.evaluation.plots.panels import (
    RATIO_SHARE,
    binned,
    filled_range,
    finish,
    grid,
    tasks_of,
)
from maskformer_jax.evaluation.report import entries_found
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.cells import decimals

RESIDUALS_FILE = "residuals.png"
RESPONSE_FILE = "response.png"
COLUMNS = 4
PANEL = (4.2, 3.6)
# Room above the curves for a line of the legend, in units of the highest bin.
LEGEND_LINE = 0.075
# Bins of the reference with fewer hadrons have no ratio.
MIN_IN_RATIO = 10


class Run(NamedTuple):
    """The residuals of a run: its label, metrics and curves of one task."""

    label: str
    metrics: Mapping[str, Any]
    curves: Mapping[str, Any]


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws the residuals of all targets, and the response where the file has the pT.

    Args:
        results: of one or more runs; with several there are ratios to the first.
        folder: where the pictures go.

    Returns:
        The files; none of a task where no run has found an entry.
    """
    files = []
    for _, prefix, metrics, curves in tasks_of(results, "regression"):
        runs = [Run(r.label, *found) for r, *found in zip(results, metrics, curves, strict=True)]
        some = [run for run in runs if run.metrics["found"]]
        if some:
            files.append(_draw_residuals(some, folder / f"{prefix}{RESIDUALS_FILE}"))
        if some and some[0].curves["response"]:
            files.append(_draw_response(some, folder / f"{prefix}{RESPONSE_FILE}"))
    return files


def colour(run: int) -> str:
    """Of the run at a position, the reference first."""
    return COLOURS[run % len(COLOURS)]


def _draw_residuals(runs: Sequence[Run], path: Path) -> Path:
    names = list(runs[0].curves["histograms"])
    columns = min(COLUMNS, len(names))
    figure, cells = _grid(runs, columns, -(-len(names) // columns))
    for name, (main, ratio) in zip(names, cells, strict=False):
        _residual_panel(runs, name, main, ratio)
    figure.supxlabel("The outer bins hold what lies beyond them.", x=0.99, ha="right", fontsize=8)
    for panel in (panel for cell in cells[len(names) :] for panel in cell if panel):
        panel.remove()
    return save(figure, path)


def _residual_panel(runs: Sequence[Run], name: str, main: Any, ratio: Any) -> None:
    reference = None
    for index, run in enumerate(runs):
        entry = run.metrics["residuals"][name]
        curve = run.curves["histograms"][name]
        edges = np.array(curve["x"])
        total = max(np.sum(curve["value"]), 1.0)
        value, error = np.array(curve["value"]) / total, np.array(curve["error"]) / total
        label = _with_width(entry["median"], entry["half_width_68"])
        main.stairs(value, edges, color=colour(index), linewidth=1.4, label=label)
        _band(main, edges, value, error, colour(index))
        if ratio is None:
            continue
        if reference is None:
            many = np.array(curve["value"]) >= MIN_IN_RATIO
            reference = edges, np.where(many, value, np.nan)
        if len(edges) == len(reference[0]) and np.allclose(edges, reference[0]):
            relative, uncertainty = value / reference[1], error / reference[1]
            ratio.stairs(relative, edges, color=colour(index), linewidth=1.2)
            _band(ratio, edges, relative, uncertainty, colour(index))
    entry = runs[0].metrics["residuals"][name]
    unit = f" [{entry['unit']}]" if entry["unit"] else ""
    # The room for the legend keeps it off the curves.
    main.set_ylim(0, main.dataLim.y1 * (1.12 + LEGEND_LINE * (len(runs) + 1)))
    main.set_xlim(edges[0], edges[-1])
    main.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    entries = runs[0].metrics["entries"]
    title = f"{entry['number']:,} {entries}, median ± half 68 % width"
    main.legend(
        title=title,
        title_fontsize=8,
        fontsize=8,
        frameon=False,
        loc="upper left",
        handlelength=1.2,
        alignment="left",
    )
    main.set_ylabel(f"Fraction of {entries}")
    finish(main, ratio, _with_symbol(entry["formula"]) + unit)


def _draw_response(runs: Sequence[Run], path: Path) -> Path:
    names = list(runs[0].curves["response"])
    figure, cells = _grid(runs, len(names), 2)
    words = {"median": "Median of", "half_width_68": "Half 68 % width of"}
    kinds = [(kind, name) for kind in words for name in names]
    for (kind, name), (main, ratio) in zip(kinds, cells, strict=True):
        _response_panel(runs, name, kind, main, ratio)
        symbol = SYMBOLS.get(name, name)
        main.set_ylabel(f"{words[kind]} predicted/true {symbol}")
        if kind == "median":
            main.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        against = runs[0].metrics["against"].capitalize()
        finish(main, ratio, f"{against} $p_T$ [GeV]")
    return save(figure, path)


def _response_panel(runs: Sequence[Run], name: str, kind: str, main: Any, ratio: Any) -> None:
    curves = [(run.label, run.curves["response"][name][kind]) for run in runs]
    main.set_xscale("log")
    binned(main, curves, ratio)
    limits = filled_range([curve for _, curve in curves])
    if limits is not None:
        main.set_xlim(limits)


def _grid(runs: Sequence[Run], columns: int, rows: int) -> tuple[Any, list[tuple]]:
    """A figure with a legend of the runs above, and its panels with those of the ratios or none."""
    from matplotlib.lines import Line2D

    figure, cells = grid(columns, rows, PANEL, RATIO_SHARE * (len(runs) > 1))
    lines = [Line2D([], [], color=colour(i), linewidth=2) for i in range(len(runs))]
    labels = [f"{run.label}: {entries_found(run.metrics)}" for run in runs]
    figure.legend(
        lines, labels, loc="outside upper center", ncols=min(columns, len(labels)), frameon=False
    )
    return figure, cells


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
