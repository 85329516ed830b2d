"""One style of all pictures, and where they become files."""

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskformer_jax.errors import InputError, check
from maskformer_jax.files import write_whole

DPI = 150

# Colours of the runs, the first for the reference; told apart by the colour-blind too.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B")

# Letters that can be read where a picture of 6 x 4 inches is half of a slide.
FONT, SMALL = 14, 12
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "figure.titlesize": FONT,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "xtick.top": True,
    "ytick.right": True,
    "lines.linewidth": 1.8,
    "pdf.fonttype": 42,
    "svg.hashsalt": "maskformer_jax",
}
# No date, so that the same numbers give the same file.
METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}

# Of quantities with the usual names.
SYMBOLS = {
    "pt": "$p_T$",
    "Lxy": "$L_{xy}$",
    "mass": "$m$",
    "deta": r"$\Delta\eta$",
    "dphi": r"$\Delta\phi$",
}


@dataclass(frozen=True)
class PlotConfig:
    """What all pictures have in common.

    Attributes:
        experiment: written above every picture in bold, such as whose data they are.
        sample: behind it, what the jets are.
        formats: of the files: png, pdf and svg, or some of them.
    """

    experiment: str = ""
    sample: str = ""
    formats: list[str] = field(default_factory=lambda: ["png"])

    def __post_init__(self):
        good = 0 < len(self.formats) == len({*self.formats} & {*METADATA})
        check(good, "formats", f"be one or some of {', '.join(METADATA)}", self.formats)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Figures that are made and saved inside look alike, whatever was drawn before."""
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


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


def heading(look: PlotConfig) -> str:
    r"""Experiment and sample of a picture.

    >>> heading(PlotConfig("Toy data", "Z'"))
    "$\\mathbf{Toy\\ data}$  Z'"
    """
    bold = re.sub(r"([_%&#{} ])", r"\\\1", look.experiment)
    return "  ".join(filter(None, [bold and rf"$\mathbf{{{bold}}}$", look.sample]))


def legend_below(
    figure: Any, colours: Mapping[str, str], styles: Mapping[str, str] | None = None
) -> None:
    """A legend of lines below all panels, in as many columns as there is room for.

    Args:
        figure: with a constrained layout.
        colours: label -> colour.
        styles: label -> style of a line of any colour.
    """
    from matplotlib.lines import Line2D

    looks = [(label, {"color": shade}) for label, shade in colours.items()]
    looks += [(x, {"color": "0.3", "linestyle": style}) for x, style in (styles or {}).items()]
    lines = [Line2D([], [], linewidth=2.5, label=label, **look) for label, look in looks]
    room = 7.5 * figure.get_figwidth() // (5 + max(len(label) for label, _ in looks))
    columns = int(max(1, min(len(looks), room)))
    figure.legend(handles=lines, loc="outside lower center", ncols=columns)


def grid(columns: int, rows: int, size: tuple[float, float], ratio: float) -> tuple[Any, list]:
    """A figure and its panels, row by row, each with that of its ratios below or none.

    Args:
        columns: of the figure.
        rows: of the figure.
        size: width and height of a panel in inches.
        ratio: height of the panels of ratios, in that of the others; 0: there are none.
    """
    from matplotlib.figure import Figure

    height = size[1] * (1 + ratio)
    figure = Figure(figsize=(size[0] * columns, height * rows + 0.5), layout="constrained")
    outer, cells = figure.add_gridspec(rows, columns), []
    for place in (outer[row, column] for row in range(rows) for column in range(columns)):
        if not ratio:
            cells.append((figure.add_subplot(place), None))
            continue
        inner = place.subgridspec(2, 1, height_ratios=[1, ratio], hspace=0.02)
        main = figure.add_subplot(inner[0])
        cells.append((main, figure.add_subplot(inner[1], sharex=main)))
    return figure, cells


def readable_ticks(axes: Any) -> None:
    """Numbers instead of powers of ten, and not too many of them."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if axis.get_scale() == "linear":
            axes.locator_params(axis=name, nbins=5)
            continue
        low, high = sorted(axis.get_view_interval())
        if axis.get_scale() == "log":
            steps = (
                (1.0, 2.0, 5.0) if high < 100 * low else (1.0, 3.0) if high < 1e3 * low else (1.0,)
            )
            axis.set_major_locator(LogLocator(subs=steps))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def save(figure: Any, path: Path, look: PlotConfig) -> list[Path]:
    """Writes a Matplotlib figure, without a display.

    Args:
        figure: with a title of the whole, below the experiment and the sample, or without.
        path: of the file, without its ending.
        look: formats of the files, and what stands above.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    title = "\n".join(filter(None, [heading(look), figure.get_suptitle()]))
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    files = []
    for ending in look.formats:
        picture = io.BytesIO()
        figure.savefig(picture, format=ending, dpi=DPI, metadata=METADATA[ending])
        files.append(path.with_name(f"{path.name}.{ending}"))
        write_whole(files[-1], picture.getvalue())
    return files
