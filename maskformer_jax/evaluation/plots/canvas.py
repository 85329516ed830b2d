"""Where a picture becomes a file."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.output import write_whole

DPI = 150

# Colours of the runs, the first for the reference; told apart by the colour-blind too.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B")

# Of hadron properties with the usual names.
SYMBOLS = {
    "pt": "$p_T$",
    "Lxy": "$L_{xy}$",
    "mass": "$m$",
    "deta": r"$\Delta\eta$",
    "dphi": r"$\Delta\phi$",
}


def draw_and_save(plot: Any, path: Path, decades: Sequence[Any] = ()) -> Path:
    """Draws a plot of puma and writes it as PNG, without a display.

    Args:
        plot: with all its curves.
        path: of the file.
        decades: logarithmic axes over few decades, on which 1, 2 and 5 of each are labelled.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    FigureCanvasAgg(plot.fig)
    # Where the reference is zero there is no ratio, and none is drawn.
    with np.errstate(divide="ignore", invalid="ignore"):
        plot.draw()
    for axis in decades:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    return save(plot.fig, path)


def save(figure: Any, path: Path) -> Path:
    """Writes a Matplotlib figure as PNG, without a display.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    write_whole(path, picture.getvalue())
    return path
