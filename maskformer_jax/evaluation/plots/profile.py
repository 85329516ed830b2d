"""Pictures of quantities in bins of another one, drawn with puma."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.plots.canvas import COLOURS, DPI, draw_and_save


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
        curves: label and content of each: `x` are bin edges of at least 0, the same for all.
        path: of the PNG file.
        xlabel: with unit.
        ylabel: with unit.
        title: above the picture.
        logy: logarithmic scale of the values.

    Returns:
        The file; none where no bin of any curve has a value.
    """
    from puma import VarVsVar, VarVsVarPlot

    values = np.array([curve["value"] for _, curve in curves], float)
    errors = np.array([curve["error"] for _, curve in curves], float)
    filled = np.flatnonzero(np.isfinite(values).any(axis=0))
    if not len(filled):
        return None
    shown = slice(filled[0], filled[-1] + 1)
    edges = np.array(curves[0][1]["x"], float)[filled[0] : filled[-1] + 2]
    plot = VarVsVarPlot(
        n_ratio_panels=int(len(curves) > 1),
        xlabel=xlabel,
        ylabel=ylabel,
        ylabel_ratio=[f"Ratio to\n{curves[0][0]}"] if len(curves) > 1 else None,
        title=title,
        logx=bool(edges[0] > 0),
        logy=logy,
        use_atlas_tag=False,
        figsize=(6.5, 5),
        dpi=DPI,
    )
    for index, (label, _) in enumerate(curves):
        curve = VarVsVar(
            (edges[1:] + edges[:-1]) / 2,
            values[index, shown],
            errors[index, shown],
            x_var_widths=np.diff(edges),
            fill=len(curves) < 3,
            label=label,
            colour=COLOURS[index % len(COLOURS)],
        )
        plot.add(curve, reference=index == 0)
    axes = ((plot.axis_top.xaxis, plot.logx), (plot.axis_top.yaxis, logy))
    return draw_and_save(plot, path, [axis for axis, logarithmic in axes if logarithmic])
