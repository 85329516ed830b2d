"""Pictures of the interactions of losses."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from maskformer_jax.canvas import SMALL, PlotConfig, save, style
from maskformer_jax.evaluation.plots import panels
from maskformer_jax.evaluation.results import Curve, Points
from maskformer_jax.study.interactions_answers import Record, smooth
from maskformer_jax.training.interactions import WHOLE

# In the order of the computation; what the heads share comes behind.
MODULES = (WHOLE, "embedding", "encoder", "pooling")
# Inches of a cell of a matrix.
CELL = (0.68, 0.34)

Records = Mapping[str, Record]


def draw(records: Records, folder: Path, look: PlotConfig | None = None) -> list[Path]:
    """Draws every picture.

    Args:
        records: name of the weighting -> its records, all of the same losses.
        folder: where the files go.
        look: their formats, and what stands above the pictures.
    """
    with style():
        return [
            file
            for name, figure in _figures(records).items()
            for file in save(figure, folder / name, look or PlotConfig())
        ]


def _figures(records: Records) -> dict[str, Any]:
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
    for name, matrices, text, colours, least in (
        ("magnitude_similarity", similarities, "Mean similarity of the magnitudes", "viridis", 0),
        ("modules_cosine", cosines, "Mean cosine similarity", "RdBu", -1),
        ("modules_l2", shares, "Share of the squared $L_2$ norm", "viridis", 0),
    ):
        figures[name] = _heat(matrices, text, cmap=colours, vmin=least, vmax=1)
    curvatures = {name: record[WHOLE]["curvature"] for name, record in records.items()}
    if there := {k: x for k, x in curvatures.items() if x["mean"].notna().any()}:
        figures["curvature"] = _curvatures(there)
    return figures


def _line(values: pd.Series, label: str, title: str = "", mark: float = math.nan) -> Curve:
    """A smoothed curve for a panel."""
    curve = smooth(values)
    points = Points.with_error(curve.index.to_numpy(), curve.to_numpy(), math.nan)
    options = {"x_label": "training step", "y_label": label, "mark": mark}
    return Curve("", "", "line", points, title, **options)


def _cosines(records: Records, loss: str) -> Any:
    """Cosines of one loss with the others, a panel per weighting."""
    found: dict[str, dict[str, Curve]] = {}
    for name, record in records.items():
        # Every loss has its colour in all pictures.
        found |= {other: found.get(other, {}) for other in record[WHOLE]["l2"]}
        for pair, values in record[WHOLE]["cosine"].items():
            if loss in (both := {*pair.split(" / ")}):
                [other] = both - {loss}
                title = f"Cosine of the gradient with that of {loss}"
                found[other][name] = _line(values, f"cosine, {name}", title, 0.0)
    return panels.draw(list(found.items()))


def _norms(records: Records, norm: str) -> Any:
    """Norms of all gradients: before scaling, and after it where it changes any."""
    found: dict[str, dict[str, Curve]] = {}
    for kind, record in records.items():
        for name, table in _before_and_after(kind, record, norm).items():
            for loss, values in table.items():
                curve = _line(values, name, f"$L_{norm[1]}$ norm of the gradient")
                found.setdefault(loss, {})[name] = curve
    return panels.draw(list(found.items()))


def _before_and_after(name: str, record: Record, field: str) -> dict[str, pd.DataFrame]:
    """What scaling changes, before and after it; what it leaves alone, once."""
    before, after = (record[WHOLE][f"{x}{field}"] for x in ("", "scaled_"))
    if np.allclose(before, after, equal_nan=True):
        return {name: before}
    return {f"{name}, before scaling": before, f"{name}, after scaling": after}


def _curvatures(there: Mapping[str, pd.DataFrame]) -> Any:
    """Curvature along the update, as it is and in the direction of the gradient."""
    texts = {"mean": r"$\mathcal{H}$", "in_direction": r"$\mathcal{H}\,/\,\|\nabla L\|^2$"}
    title = r"Curvature along the update, as it is and in the direction of the gradient"
    figure = panels.draw(
        [
            (name, {of: _line(table[of], text, title, 0.0) for of, text in texts.items()})
            for name, table in there.items()
        ]
    )
    smallest = min(smooth(x["mean"]).abs().quantile(0.1) for x in there.values())
    figure.axes[0].set_yscale("symlog", linthresh=smallest or 1.0)
    return figure


def _modules(record: Record, field: str, power: int) -> pd.DataFrame:
    """Mean over the records of a power, a column per module; NaN where a loss does not reach it."""
    place = {name: number for number, name in enumerate(MODULES)}
    names = sorted(record, key=lambda name: place.get(name, len(place)))
    return pd.DataFrame({name: (record[name][field] ** power).mean() for name in names})


def _heat(matrices: Mapping[str, pd.DataFrame], text: str, **look: Any) -> Figure:
    """Matrices with their numbers, by title.

    Args:
        matrices: of the same rows and columns.
        text: what the numbers mean.
        **look: the colours and their range, as options of `imshow`.
    """
    rows, columns = next(iter(matrices.values())).axes
    size = (4 + len(matrices) * (CELL[0] * len(columns) + 0.4), CELL[1] * len(rows) + 2.4)
    figure = Figure(figsize=size, layout="constrained")
    every = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for axes, (title, matrix) in zip(every, matrices.items(), strict=True):
        image = axes.imshow(matrix, aspect="auto", **look)
        words = columns.str.replace("_", " ")
        axes.set_xticks(range(len(columns)), words, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_title(title)
        for (row, column), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                brightness = np.dot(image.cmap(image.norm(value))[:3], (0.3, 0.6, 0.1))
                shade = "white" if brightness < 0.5 else "black"
                number = f"{value:.2f}".replace("-0.00", "0.00")
                where = {"ha": "center", "va": "center", "fontsize": SMALL}
                axes.text(column, row, number, color=shade, **where)
    every[0].set_yticks(range(len(rows)), rows)
    figure.colorbar(image, ax=every, shrink=0.9).set_label(text)
    return figure
