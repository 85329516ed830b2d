"""Pictures of the interactions of losses."""

import string
from collections.abc import Mapping, Sequence
from itertools import cycle, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from maskformer_jax.evaluation.plots.canvas import COLOURS, save
from maskformer_jax.study.interactions_record import Record, smooth
from maskformer_jax.training.interactions import WHOLE

# In the order of the computation; what the heads share comes behind.
MODULES = (WHOLE, "embedding", "encoder", "pooling")

Records = Mapping[str, Record]
# Curves of the values of the records, by title of the panel and by name of the curve.
Panels = Mapping[str, Mapping[str, pd.Series]]


def draw(records: Records, folder: Path) -> list[Path]:
    """Draws every picture.

    Args:
        records: name of the weighting -> its records, all of the same losses.
        folder: where the PNG files go.
    """
    losses = list(next(iter(records.values()))[WHOLE]["l2"])
    files = {x: "cosine_" + x.replace(" CE", " ce").replace(" ", "_") for x in losses}
    figures = {file: _cosines(records, x) for x, file in files.items() if len(losses) > 1}
    figures |= {f"{norm}_norms": _norms(records, norm) for norm in ("l2", "l1")}
    similarity = {
        name: table.mean()
        for kind, record in records.items()
        for name, table in _before_and_after(kind, record, "similarity").items()
    }
    cosines, squares = (
        {name: _modules(record, *of) for name, record in records.items()}
        for of in (("cosine", 1), ("l2", 2))
    )
    # Fraction of the squared length of the gradient of each loss that lies in each module.
    shares = {name: x.div(x.pop(WHOLE), axis=0) for name, x in squares.items()}
    similarities = {"Before and after scaling": pd.DataFrame(similarity)}
    for name, panels, text, colours, least in (
        ("magnitude_similarity", similarities, "Mean similarity of the magnitudes", "viridis", 0),
        ("modules_cosine", cosines, "Mean cosine similarity", "RdBu", -1),
        ("modules_l2", shares, "Share of the squared $L_2$ norm", "viridis", 0),
    ):
        figures[name] = _heat(panels, text, cmap=colours, vmin=least, vmax=1)
    curvatures = {name: record[WHOLE]["curvature"] for name, record in records.items()}
    if there := {k: x for k, x in curvatures.items() if x["mean"].notna().any()}:
        figures["curvature"] = _curvatures(there, list(records))
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _cosines(records: Records, loss: str) -> Figure:
    """Cosines of one loss with the others, a panel per weighting."""
    panels = {}
    for name, record in records.items():
        pairs = {frozenset(pair.split(" / ")): x for pair, x in record[WHOLE]["cosine"].items()}
        panels[name] = {x: pairs[frozenset((x, loss))] for x in record[WHOLE]["l2"] if x != loss}
    text = f"Cosine similarity with {loss}"
    return _curves(panels, [text], list(record[WHOLE]["l2"]), zero=True)


def _norms(records: Records, norm: str) -> Figure:
    """Norms of all gradients: before scaling, and after it where it changes any."""
    panels: dict[str, pd.DataFrame] = {}
    for name, record in records.items():
        panels |= _before_and_after(name, record, norm)
    figure = _curves(panels, [f"$L_{norm[1]}$ norm of the gradient"], list(record[WHOLE][norm]))
    for axis in figure.axes:
        axis.set_yscale("log")
        # A range of less than a decade has few powers of ten.
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
    return figure


def _before_and_after(name: str, record: Record, field: str) -> dict[str, pd.DataFrame]:
    """What scaling changes, before and after it; what it leaves alone, once."""
    before, after = (record[WHOLE][f"{x}{field}"] for x in ("", "scaled_"))
    if np.allclose(before, after, equal_nan=True):
        return {name: before}
    return {f"{name}, before scaling": before, f"{name}, after scaling": after}


def _curvatures(there: Mapping[str, pd.DataFrame], names: Sequence[str]) -> Figure:
    """Curvature along the update, as it is and in the direction of the gradient."""
    of = {"mean": "along the update", "in_direction": "in the direction of the gradient"}
    panels = {title: {k: x[column] for k, x in there.items()} for column, title in of.items()}
    texts = [r"Curvature $\mathcal{H}$ along the update", r"$\mathcal{H}\,/\,\|\nabla L\|^2$"]
    figure = _curves(panels, texts, names, zero=True)
    smallest = min(smooth(x["mean"]).abs().quantile(0.1) for x in there.values())
    figure.axes[0].set_yscale("symlog", linthresh=smallest or 1.0)
    return figure


def _curves(
    panels: Panels, texts: Sequence[str], names: Sequence[str], *, zero: bool = False
) -> Figure:
    """Smoothed curves in panels with a legend below.

    Args:
        panels: at most as many as letters.
        texts: of the vertical axis that all panels have in common, or of each.
        names: of all curves that there may be, for their colours.
        zero: whether a line is drawn where the values change sign.
    """
    colours = dict(zip(names, cycle(COLOURS[1:]), strict=False))
    shared = len(texts) == 1
    width = max((3.0 if shared else 3.75) * len(panels), 6)
    figure, axes = _axes(len(panels), (width, 3.9), sharey=shared)
    for axis, (title, curves), letter in zip(
        axes, panels.items(), string.ascii_lowercase, strict=False
    ):
        for name, values in curves.items():
            curve = smooth(values)
            axis.plot(curve.index, curve, color=colours[name], label=name, linewidth=1.4)
        axis.set_title(f"({letter}) {title}", fontsize=10)
        axis.set_xlabel("Training step")
        axis.grid(color="0.92")
    for axis, text in zip_longest(axes, texts):
        axis.set_ylabel(text, fontsize=9)
        if zero:
            axis.axhline(0, color="0.4", linewidth=0.8, zorder=0)
    legend = axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _axes(number: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, number, squeeze=False, **shared)[0]


def _modules(record: Record, field: str, power: int) -> pd.DataFrame:
    """Mean over the records of a power, a column per module; NaN where a loss does not reach it."""
    place = {name: number for number, name in enumerate(MODULES)}
    names = sorted(record, key=lambda name: place.get(name, len(place)))
    return pd.DataFrame({name: (record[name][field] ** power).mean() for name in names})


def _heat(panels: Mapping[str, pd.DataFrame], text: str, **look: Any) -> Figure:
    """Matrices with their numbers, by title.

    Args:
        panels: of the same rows and columns.
        text: what the numbers mean.
        **look: the colours and their range, as options of `imshow`.
    """
    rows, columns = next(iter(panels.values())).axes
    size = (1.9 + len(panels) * (0.45 * len(columns) + 0.3), 0.24 * len(rows) + 1.4)
    figure, axes = _axes(len(panels), size, sharey=True)
    for axis, (title, matrix) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(matrix, aspect="auto", **look)
        words = columns.str.replace("_", " ")
        axis.set_xticks(range(len(columns)), words, fontsize=7, rotation=45, ha="right")
        axis.set_title(title, fontsize=10)
        for (row, column), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                brightness = np.dot(image.cmap(image.norm(value))[:3], (0.3, 0.6, 0.1))
                style = {"fontsize": 6, "color": "white" if brightness < 0.5 else "black"}
                number = f"{value:.2f}".replace("-0.00", "0.00")
                axis.text(column, row, number, ha="center", va="center", **style)
    axes[0].set_yticks(range(len(rows)), rows, fontsize=7)
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label(text, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure
