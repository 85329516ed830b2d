"""Where a picture becomes a file."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.files import write_whole

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


def check_label(label: str) -> None:
    """Raises InputError if a label has TeX between dollars that Matplotlib can't set."""
    if "$" not in label:
        return
    from matplotlib.cbook import is_math_text
    from matplotlib.mathtext import MathTextParser

    try:
        for line in filter(is_math_text, label.split("\n")):
            MathTextParser("agg").parse(line)
    except ValueError as error:
        reason = str(error).strip().splitlines()[-1].partition(": ")[2]
        raise InputError(
            f"the label {label!r} is no TeX that can be drawn ({reason}); choose another --label, "
            r"or write \$ for a dollar"
        ) from error


def colour(run: int) -> str:
    """Of the run at a position, the reference first."""
    return COLOURS[run % len(COLOURS)]


def with_symbols(label: str) -> str:
    """A label of an axis, the usual names of properties as formulas.

    >>> with_symbols("true - predicted, Lxy <= 1 mm")
    'True − predicted, $L_{xy}$ ≤ 1 mm'
    """
    text = re.sub(r"\b\w+\b", lambda word: SYMBOLS.get(word[0], word[0]), label)
    text = text.replace("<=", "≤").replace(" - ", " − ")
    return text[:1].upper() + text[1:]


def draw_and_save(plot: Any, path: Path) -> Path:
    """Draws a plot of puma and writes it as PNG, without a display.

    Args:
        plot: with all its curves.
        path: of the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(plot.fig)
    # Where the reference is zero there is no ratio, and none is drawn.
    with np.errstate(divide="ignore", invalid="ignore"):
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
