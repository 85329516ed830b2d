"""Pictures of the interactions of losses, as in Figures 5.2 to 5.7 and A.1 of the thesis."""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.evaluation.plots.canvas import COLOURS, save
from maskformer_jax.study.interactions_record import Part, Record, mean
from maskformer_jax.study.interactions_text import label
from maskformer_jax.training.interactions import WHOLE

STEP = "Training step"
# In the order of the computation; what the heads share comes behind.
MODULES = (WHOLE, "embedding", "encoder", "pooling")


class Panel(NamedTuple):
    """One of several plots side by side.

    Attributes:
        title: above it.
        record: gives the steps.
        values: what is drawn, before smoothing.
    """

    title: str
    record: Record
    values: np.ndarray


def draw(records: Mapping[str, Record], folder: Path) -> list[Path]:
    """Draws every picture.

    Args:
        records: name of the weighting -> its records, all of the same losses.
        folder: where the PNG files go.
    """
    losses = next(iter(records.values())).losses
    files = [_cosines(records, loss, folder) for loss in range(len(losses)) if len(losses) > 1]
    files += [_norms(records, "l2", folder), _norms(records, "l1", folder)]
    files += [_similarities(records, folder), _modules(records, folder), _shares(records, folder)]
    if any(np.isfinite(record.curvature).any() for record in records.values()):
        files.append(_curvatures(records, folder))
    return files


def _cosines(records: Mapping[str, Record], loss: int, folder: Path) -> Path:
    """Cosines of one loss with the others, a panel per weighting."""
    first = next(iter(records.values()))
    columns = {sum(pair) - loss: i for i, pair in enumerate(first.pairs) if loss in pair}
    others = sorted(columns)
    panels = [
        Panel(name, record, record.parts[WHOLE].cosine[:, [columns[other] for other in others]])
        for name, record in records.items()
    ]
    figure, axes = _panels(panels, others, "Cosine similarity with " + label(first.losses[loss]))
    for axis in axes:
        axis.axhline(0, color="0.4", linewidth=0.8, zorder=0)
    return save(figure, folder / f"cosine_{first.losses[loss]}.png")


def _norms(records: Mapping[str, Record], norm: str, folder: Path) -> Path:
    """Norms of all gradients: before scaling, and after it where it changes any."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panels = []
    for name, record in records.items():
        before, after = (getattr(record.parts[WHOLE], f"{x}{norm}") for x in ("", "scaled_"))
        if np.allclose(before, after):
            panels.append(Panel(name, record, before))
        else:
            panels.append(Panel(f"{name}, before scaling", record, before))
            panels.append(Panel(f"{name}, after scaling", record, after))
    text = f"$L_{norm[1]}$ norm of the gradient"
    figure, axes = _panels(panels, range(len(panels[0].record.losses)), text)
    for axis in axes:
        axis.set_yscale("log")
        # A range of less than a decade has few powers of ten.
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    return save(figure, folder / f"{norm}_norms.png")


def _panels(panels: Sequence[Panel], losses: Sequence[int], text: str) -> tuple[Any, Any]:
    """Smoothed curves of losses in panels with a common axis and a legend below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(3.0 * len(panels), 6), 3.9), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel, letter in zip(axes, panels, string.ascii_lowercase, strict=False):
        curves = panel.record.smooth(panel.values)
        for loss, curve in zip(losses, curves.T, strict=True):
            colour, name = COLOURS[1 + loss % (len(COLOURS) - 1)], label(panel.record.losses[loss])
            axis.plot(panel.record.smoothed_steps, curve, color=colour, label=name, linewidth=1.4)
        axis.set_title(f"({letter}) {panel.title}", fontsize=10)
        axis.set_xlabel(STEP)
        axis.grid(color="0.92")
    axes[0].set_ylabel(text, fontsize=9)
    _legend_below(figure, axes[0])
    return figure, axes


def _legend_below(figure: Any, axis: Any) -> None:
    curves = axis.get_legend_handles_labels()
    figure.legend(*curves, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _similarities(records: Mapping[str, Record], folder: Path) -> Path:
    """Mean similarity of the magnitudes of each pair, before and after scaling."""
    cells = {}
    for name, record in records.items():
        whole = record.parts[WHOLE]
        before, after = mean(whole.similarity), mean(whole.scaled_similarity)
        scaled = not np.allclose(before, after, equal_nan=True)
        cells |= {f"{name}, before": before, f"{name}, after": after} if scaled else {name: before}
    figure, axis = _heat_figure(1, len(cells))
    matrix = np.array(list(cells.values())).T
    image = _heat(axis[0], matrix, _pair_names(record), list(cells), "viridis", (0.0, 1.0))
    axis[0].set_title("Before and after scaling", fontsize=9)
    _colour_bar(figure, image, axis, "Mean similarity of the magnitudes")
    return save(figure, folder / "magnitude_similarity.png")


def _modules(records: Mapping[str, Record], folder: Path) -> Path:
    """Mean cosine of each pair in each module; empty where a loss does not reach it."""
    return _by_module(
        records,
        lambda part, whole: mean(part.cosine),
        (_pair_names(next(iter(records.values()))), "RdBu", (-1.0, 1.0), "Mean cosine similarity"),
        folder / "modules_cosine.png",
    )


def _shares(records: Mapping[str, Record], folder: Path) -> Path:
    """Fraction of the squared length of the gradient of each loss that lies in each module."""
    losses = list(map(label, next(iter(records.values())).losses))
    return _by_module(
        records,
        lambda part, whole: mean(part.l2**2) / mean(whole.l2**2),
        (losses, "viridis", (0.0, 1.0), "Share of the squared $L_2$ norm"),
        folder / "modules_l2.png",
        whole=False,
    )


def _by_module(
    records: Mapping[str, Record],
    values: Callable[[Part, Part], np.ndarray],
    look: tuple[Sequence[str], str, tuple[float, float], str],
    path: Path,
    *,
    whole: bool = True,
) -> Path:
    rows, colours, limits, text = look
    found = [name for name in next(iter(records.values())).parts if whole or name != WHOLE]
    names = sorted(found, key=lambda name: MODULES.index(name) if name in MODULES else len(MODULES))
    figure, axes = _heat_figure(len(records), len(names), 0.24 * len(rows) + 1.4)
    for axis, (title, record) in zip(axes, records.items(), strict=True):
        parts = record.parts
        matrix = np.array([values(parts[name], parts[WHOLE]) for name in names]).T
        image = _heat(
            axis, matrix, rows, [name.replace("_", " ") for name in names], colours, limits
        )
        axis.set_title(title, fontsize=10)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    _colour_bar(figure, image, axes, text)
    return save(figure, path)


def _heat_figure(panels: int, columns: int, height: float = 4.8) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.9 + panels * (0.45 * columns + 0.3), height), layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _heat(
    axis: Any,
    matrix: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    limits: tuple[float, float],
) -> Any:
    """A matrix with its numbers."""
    image = axis.imshow(matrix, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    axis.set_yticks(range(len(rows)), rows, fontsize=7)
    axis.set_xticks(range(len(columns)), columns, fontsize=7, rotation=45, ha="right")
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            colour = "white" if dark else "black"
            text = f"{value:.2f}".replace("-0.00", "0.00")
            axis.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    return image


def _colour_bar(figure: Any, image: Any, axes: Any, text: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label(text, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _pair_names(record: Record) -> list[str]:
    return [" / ".join(label(record.losses[loss]) for loss in pair) for pair in record.pairs]


def _curvatures(records: Mapping[str, Record], folder: Path) -> Path:
    """Curvature along the update, as in Eq. 3.6 and in the direction of the gradient."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes, smallest = figure.subplots(1, 2), np.inf
    for name, colour, values in _curves_of_curvature(records):
        for axis, curve in zip(axes, values, strict=True):
            axis.plot(records[name].smoothed_steps, curve, color=colour, label=name)
        smallest = min(smallest, np.nanquantile(np.abs(values[0]), 0.1))
    axes[0].set_yscale("symlog", linthresh=smallest or 1.0)
    axes[0].set_ylabel(r"Curvature $\mathcal{H}$ along the update", fontsize=9)
    axes[1].set_ylabel(r"$\mathcal{H}\,/\,\|\nabla L\|^2$", fontsize=9)
    for axis in axes:
        axis.set_xlabel(STEP)
        axis.axhline(0, color="0.4", linewidth=0.8, zorder=0)
        axis.grid(color="0.92")
    _legend_below(figure, axes[0])
    return save(figure, folder / "curvature.png")


def _curves_of_curvature(
    records: Mapping[str, Record],
) -> Iterator[tuple[str, str, tuple[np.ndarray, np.ndarray]]]:
    for (name, record), colour in zip(records.items(), COLOURS[1:], strict=False):
        pair = (record.curvature, record.curvature_in_direction)
        if np.isfinite(pair[0]).any():
            yield name, colour, tuple(record.smooth(values) for values in pair)
