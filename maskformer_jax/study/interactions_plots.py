"""Pictures of the interactions of losses."""

import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from maskformer_jax.evaluation.plots.canvas import COLOURS, save
from maskformer_jax.study.interactions_answers import label
from maskformer_jax.study.interactions_record import Record, mean
from maskformer_jax.training.interactions import WHOLE, Angles

# In the order of the computation; what the heads share comes behind.
MODULES = (WHOLE, "embedding", "encoder", "pooling")

Records = Mapping[str, Record]
# Of several panels: the title, the record that gives the steps, and the values.
Panels = Sequence[tuple[str, Record, np.ndarray]]
# Of a matrix: the colours, their range, and its meaning.
Look = tuple[str, tuple[float, float], str]


def draw(records: Records, folder: Path) -> list[Path]:
    """Draws every picture.

    Args:
        records: name of the weighting -> its records, all of the same losses.
        folder: where the PNG files go.
    """
    losses = next(iter(records.values())).losses
    figures = {f"cosine_{x}": _cosines(records, x) for x in losses if len(losses) > 1}
    figures |= {f"{norm}_norms": _norms(records, norm) for norm in ("l2", "l1")}
    figures["magnitude_similarity"] = _similarities(records)
    figures |= {"modules_cosine": _modules(records), "modules_l2": _shares(records)}
    if any(np.isfinite(record.curvature).any() for record in records.values()):
        figures["curvature"] = _curvatures(records)
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _cosines(records: Records, loss: str) -> Figure:
    """Cosines of one loss with the others, a panel per weighting."""
    first = next(iter(records.values()))
    place = first.losses.index(loss)
    columns = {sum(pair) - place: i for i, pair in enumerate(first.pairs) if place in pair}
    others = sorted(columns)
    panels = [
        (name, record, record.parts[WHOLE].cosine[:, [columns[other] for other in others]])
        for name, record in records.items()
    ]
    figure = _curves(panels, others, f"Cosine similarity with {label(loss)}")
    for axis in figure.axes:
        axis.axhline(0, color="0.4", linewidth=0.8, zorder=0)
    return figure


def _norms(records: Records, norm: str) -> Figure:
    """Norms of all gradients: before scaling, and after it where it changes any."""
    panels = [
        (name, record, values)
        for kind, record in records.items()
        for name, values in _before_and_after(kind, record, norm).items()
    ]
    losses = range(len(panels[0][1].losses))
    figure = _curves(panels, losses, f"$L_{norm[1]}$ norm of the gradient")
    for axis in figure.axes:
        axis.set_yscale("log")
        # A range of less than a decade has few powers of ten.
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
    return figure


def _before_and_after(name: str, record: Record, field: str) -> dict[str, np.ndarray]:
    """What scaling changes, before and after it; what it leaves alone, once."""
    before, after = (getattr(record.parts[WHOLE], f"{x}{field}") for x in ("", "scaled_"))
    if np.allclose(before, after, equal_nan=True):
        return {name: before}
    return {f"{name}, before scaling": before, f"{name}, after scaling": after}


def _curves(panels: Panels, losses: Sequence[int], text: str) -> Figure:
    """Smoothed curves of losses in panels with a common axis and a legend below."""
    figure, axes = _axes(len(panels), (max(3.0 * len(panels), 6), 3.9), sharey=True)
    for axis, (title, record, values), letter in zip(
        axes, panels, string.ascii_lowercase, strict=False
    ):
        for loss, curve in zip(losses, record.smooth(values).T, strict=True):
            colour = COLOURS[1 + loss % (len(COLOURS) - 1)]
            style = {"color": colour, "label": label(record.losses[loss]), "linewidth": 1.4}
            axis.plot(record.smoothed_steps, curve, **style)
        axis.set_title(f"({letter}) {title}", fontsize=10)
    axes[0].set_ylabel(text, fontsize=9)
    return _finished(figure)


def _axes(number: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, number, squeeze=False, **shared)[0]


def _finished(figure: Figure) -> Figure:
    for axis in figure.axes:
        axis.set_xlabel("Training step")
        axis.grid(color="0.92")
    curves = figure.axes[0].get_legend_handles_labels()
    figure.legend(*curves, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _similarities(records: Records) -> Figure:
    """Mean similarity of the magnitudes of each pair, before and after scaling."""
    columns: dict[str, np.ndarray] = {}
    for name, record in records.items():
        columns |= _before_and_after(name, record, "similarity")
    means = np.array([mean(values) for values in columns.values()]).T
    look = ("viridis", (0.0, 1.0), "Mean similarity of the magnitudes")
    return _heat({"Before and after scaling": means}, _pairs(record), list(columns), look)


def _modules(records: Records) -> Figure:
    """Mean cosine of each pair in each module; empty where a loss does not reach it."""
    rows = _pairs(next(iter(records.values())))
    look = ("RdBu", (-1.0, 1.0), "Mean cosine similarity")
    return _by_module(records, lambda part, whole: mean(part.cosine), rows, look)


def _shares(records: Records) -> Figure:
    """Fraction of the squared length of the gradient of each loss that lies in each module."""
    rows = list(map(label, next(iter(records.values())).losses))
    look = ("viridis", (0.0, 1.0), "Share of the squared $L_2$ norm")
    return _by_module(
        records, lambda x, whole: mean(x.l2**2) / mean(whole.l2**2), rows, look, first=1
    )


def _by_module(
    records: Records,
    read: Callable[[Angles, Angles], np.ndarray],
    rows: Sequence[str],
    look: Look,
    first: int = 0,
) -> Figure:
    """What is read of a module and of the whole, a panel per weighting; 1 leaves out the whole."""

    def place(name: str) -> int:
        return MODULES.index(name) if name in MODULES else len(MODULES)

    names, panels = sorted(next(iter(records.values())).parts, key=place)[first:], {}
    for title, record in records.items():
        found = [read(record.parts[name], record.parts[WHOLE]) for name in names]
        panels[title] = np.array(found).T
    return _heat(panels, rows, names, look)


def _pairs(record: Record) -> list[str]:
    return [label(record.losses[a], record.losses[b]) for a, b in record.pairs]


def _heat(
    panels: Mapping[str, np.ndarray],
    rows: Sequence[str],
    columns: Sequence[str],
    look: Look,
) -> Figure:
    """Matrices with their numbers, by title."""
    colours, (low, high), text = look
    size = (1.9 + len(panels) * (0.45 * len(columns) + 0.3), 0.24 * len(rows) + 1.4)
    figure, axes = _axes(len(panels), size, sharey=True)
    for axis, (title, matrix) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(matrix, cmap=colours, vmin=low, vmax=high, aspect="auto")
        words = [name.replace("_", " ") for name in columns]
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


def _curvatures(records: Records) -> Figure:
    """Curvature along the update, as it is and in the direction of the gradient."""
    figure, axes = _axes(2, (7.5, 3.6))
    smallest = np.inf
    for (name, record), colour in zip(records.items(), COLOURS[1:], strict=False):
        if np.isfinite(record.curvature).any():
            pair = map(record.smooth, (record.curvature, record.curvature_in_direction))
            for axis, curve in zip(axes, pair, strict=True):
                axis.plot(record.smoothed_steps, curve, color=colour, label=name)
                axis.axhline(0, color="0.4", linewidth=0.8, zorder=0)
            curve = record.smooth(record.curvature)
            smallest = min(smallest, np.nanquantile(np.abs(curve), 0.1))
    axes[0].set_yscale("symlog", linthresh=smallest or 1.0)
    axes[0].set_ylabel(r"Curvature $\mathcal{H}$ along the update", fontsize=9)
    axes[1].set_ylabel(r"$\mathcal{H}\,/\,\|\nabla L\|^2$", fontsize=9)
    return _finished(figure)
