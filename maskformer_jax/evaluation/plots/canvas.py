"""Where a picture becomes a file."""

import io
from pathlib import Path
from typing import Any

from maskformer_jax.evaluation.output import write_whole

DPI = 150

# Colours of the runs, the first for the reference; told apart by the colour-blind too.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B")


def draw_and_save(plot: Any, path: Path) -> Path:
    """Draws a plot of puma and writes it as PNG, without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(plot.fig)
    plot.draw()
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
