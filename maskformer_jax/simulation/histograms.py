"""Histograms of what is in files of jets, by flavour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax import canvas
from maskformer_jax.simulation.config import FLAVOURS

# Class of a jet -> its colour.
CLASSES = dict(zip([*FLAVOURS, "no class"], (*canvas.COLOURS[1:4], "0.6"), strict=True))
COLUMNS, PANEL, RATIO_SHARE, RATIO_LIMITS = 4, (4.3, 3.0), 0.4, (0.5, 1.5)
WORDS = {"bjets": "b jets", "cjets": "c jets", "ujets": "light jets"}
# Of the file and of another one.
STYLES = ("-", "--")


class Panel(NamedTuple):
    """A quantity of each file.

    Attributes:
        label: of the axis.
        values: of each file that has it.
        flavours: of the same, position in `CLASSES`.
        edges: of the bins.
        is_logarithmic: the axis.
    """

    label: str
    values: list[np.ndarray]
    flavours: list[np.ndarray]
    edges: np.ndarray
    is_logarithmic: bool = False


def draw(
    names: Sequence[str],
    panels: Sequence[Panel],
    path: Path,
    look: canvas.PlotConfig | None = None,
) -> list[Path]:
    """A panel for each quantity by flavour, of several files with the ratio to the first."""
    with canvas.style():
        columns = min(COLUMNS, len(panels))
        ratio = RATIO_SHARE * (len(names) > 1)
        figure, cells = canvas.grid(columns, -(-len(panels) // columns), PANEL, ratio)
        drawn = [_histograms(panel, *axes) for panel, axes in zip(panels, cells, strict=False)]
        for axes in (axes for cell in cells[len(panels) :] for axes in cell if axes):
            axes.remove()
        figure.suptitle("Each flavour with an area of one, bands: statistical errors")
        there = set().union(*drawn)
        colours = {WORDS.get(x, x): shade for x, shade in CLASSES.items() if x in there}
        styles = dict(zip(names, STYLES, strict=False)) if len(names) > 1 else None
        canvas.legend_below(figure, colours, styles)
        return canvas.save(figure, path, look or canvas.PlotConfig())


def _histograms(panel: Panel, main: Any, ratio: Any) -> set[str]:
    """The flavours that there are, each of unit area, and their ratios to the first file."""
    first: dict[str, np.ndarray] = {}
    for part, flavour, style in zip(panel.values, panel.flavours, STYLES, strict=False):
        for index, (name, colour) in enumerate(CLASSES.items()):
            counts, _ = np.histogram(part[(flavour == index) & np.isfinite(part)], panel.edges)
            if not counts.any():
                continue
            height, error = counts / counts.sum(), np.sqrt(counts) / counts.sum()
            is_reference = first.setdefault(name, height) is height
            drawn = [(main, 1.0)]
            if ratio is not None:
                drawn.append((ratio, np.where(first[name] > 0, first[name], np.nan)))
            for axes, by in drawn:
                if axes is main or not is_reference:
                    line = {"color": colour, "linestyle": style, "baseline": None}
                    axes.stairs(np.where(counts, height, np.nan) / by, panel.edges, **line)
                ends = ((height + sign * error) / by for sign in (-1, 1))
                low, high = (np.append(end, end[-1]) for end in ends)
                axes.fill_between(
                    panel.edges, low, high, step="post", color=colour, alpha=0.2, linewidth=0
                )
    if first:
        main.set_yscale("log")
        smallest = min(height[height > 0].min() for height in first.values())
        main.set_ylim(0.5 * smallest, 2 * max(height.max() for height in first.values()))
    bottom = ratio or main
    bottom.set_xlabel(panel.label)
    main.set_ylabel("fraction")
    if panel.is_logarithmic:
        bottom.set_xscale("log")
    if ratio is not None:
        main.tick_params(labelbottom=False)
        ratio.set(ylabel="ratio", ylim=RATIO_LIMITS)
        ratio.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        canvas.readable_ticks(ratio)
    canvas.readable_ticks(main)
    return set(first)
