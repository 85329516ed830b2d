"""Puts what was measured into docs/performance.md: tables between two marks each, and plots."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.tables import Table, load, markdown
from maskformer_jax import canvas
from maskformer_jax.errors import InputError

MARKS = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
SIZES = ("batch_size", "tracks", "width", "tasks")
# What is varied, on an axis.
WORDS = {
    "jets of a batch": "jets in a batch",
    "most tracks": "most tracks of a jet",
    "embed_dim": "width of the network",
    "tasks": "number of tasks",
}


def run(
    runs: str = "runs", docs: str = "docs/performance.md", formats: Sequence[str] = ("png",)
) -> Iterator[dict[str, Table]]:
    """Tables and plots of docs/performance.md, from the JSON files.

    Args:
        runs: folder of the JSON files
        docs: Markdown file with the marks, which is filled in
        formats: of the plots: png, pdf, svg; png always comes along
    """
    folder, page = Path(runs), Path(docs)
    if not page.is_file():
        raise InputError(f"{page}: no such file")
    tables: dict[str, Table] = {}
    for name in ("scaling", "weights", "training"):
        tables |= load(str(folder / f"{name}.json"))
    before = page.read_text()
    names = [name for _, name, _ in MARKS.findall(before) if name in tables]
    drawn = draw(tables, page.with_suffix(""), formats)
    page.write_text(filled(before, tables, {plot: f"{page.stem}/{plot}.png" for plot in drawn}))
    rows = [[kind, ", ".join(x) or "none"] for kind, x in (("tables", names), ("plots", drawn))]
    yield {"report": Table(f"{page} is up to date", {"kind": "", "names": ""}, rows)}


def filled(page: str, tables: dict[str, Table], plots: dict[str, str]) -> str:
    """The page with the tables that there are between their marks; others stay as they are.

    Args:
        page: Markdown.
        tables: by the name at their marks.
        plots: name -> file, seen from the page.
    """

    below = {PLOTS[plot][1][-1]: f"\n![{plot}]({file})\n" for plot, file in plots.items()}

    def fill(found: re.Match) -> str:
        begin, name, end = found.groups()
        if name not in tables:
            return found[0]
        return f"{begin}{markdown(tables[name])}\n{below.get(name, '')}{end}"

    return MARKS.sub(fill, page)


def draw(tables: dict[str, Table], folder: Path, formats: Sequence[str]) -> list[str]:
    """Plots of the tables that there are, and their names."""
    look = canvas.PlotConfig(formats=[*dict.fromkeys(["png", *formats])])
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [name for name, (_, shown) in PLOTS.items() if tables.keys() >= set(shown)]
    with canvas.style():
        for name in drawn:
            canvas.save(PLOTS[name][0](tables), folder / name, look)
    return drawn


def _axes(columns: int, height: float, width: float = 11.0, **options: Any):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def _draw_training(tables: dict[str, Table]):
    table = tables["training"]
    labels, ratio = table.column("training"), next(x for x in table.columns if x.startswith("to "))
    figure, (left, right) = _axes(2, 1.6 + 0.42 * len(labels), sharey=True)
    figure.suptitle("Medians of the turns; lines from the least to the most")
    for axes, head, ends in ((left, "jets/s", ""), (right, ratio, " ratio")):
        values = np.array(table.column(head), float)
        reach = [
            np.abs(np.array(table.column(x + ends), float) - values) for x in ("least", "most")
        ]
        axes.errorbar(values, labels, xerr=reach, fmt="o", color=canvas.COLOURS[1], capsize=4)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlim(0)
    left.invert_yaxis()
    left.set_xlabel("jets per second")
    right.set_xlabel(f"ratio {ratio}")
    right.axvline(1, color="0.5", linewidth=1)
    return figure


def _draw_stages(tables: dict[str, Table]):
    names, labels = ("equal", "cagrad"), tables["stages_cagrad"].column("stage")[:-1]
    colours = dict(zip(labels, canvas.COLOURS[1:], strict=False))
    figure, (axes,) = _axes(1, 4.4)
    for name in names:
        table, begin = tables[f"stages_{name}"], 0.0
        parts = dict(zip(table.column("stage"), table.column("ms"), strict=True))
        axes.barh(f"{name}, as one", parts.pop("whole step"), color="0.75")
        for stage, time in parts.items():
            axes.barh(f"{name}, in parts", time, left=begin, color=colours[stage])
            begin += time
    axes.invert_yaxis()
    axes.set_xlabel("time of a step [ms], compiled as one or in parts")
    canvas.legend_below(figure, colours)
    return figure


def _draw_sizes(tables: dict[str, Table]):
    figure, cells = canvas.grid(2, 2, (5.4, 3.2), 0.45)
    figure.suptitle("Medians of the turns; below the ratio of the two")
    for name, (axes, below) in zip(SIZES, cells, strict=True):
        table = tables[name]
        axis = next(iter(table.columns))
        sizes, heads = table.column(axis), [x for x in table.columns if x.endswith(", ms")]
        for head, colour in zip(heads, canvas.COLOURS[1:], strict=False):
            label = head.removesuffix(", ms")
            axes.plot(sizes, table.column(head), "o-", label=label, color=colour)
        ratio = np.divide(table.column(heads[-1]), table.column(heads[0]))
        below.plot(sizes, ratio, "o-", color=canvas.COLOURS[2])
        axes.set(ylabel="time of a step [ms]", yscale="log", xscale="log")
        below.set(xlabel=WORDS.get(axis, axis), ylabel="ratio", ylim=(1, None))
        canvas.readable_ticks(axes)
        axes.tick_params(labelbottom=False)
        below.set_xticks(sizes, sizes)
        below.minorticks_off()
        axes.legend()
    return figure


def _draw_weights(tables: dict[str, Table]):
    table = tables["weights"]
    heads = [head for head in table.columns if head.endswith(", mean")]
    positions = np.arange(len(table.rows))
    figure, (axes,) = _axes(1, 1.8 + 0.6 * len(positions))
    colours = {x.removesuffix(", mean"): c for x, c in zip(heads, canvas.COLOURS[1:], strict=False)}
    for number, (name, colour) in enumerate(colours.items()):
        mean, lowest = (np.array(table.column(f"{name}, {x}")) for x in ("mean", "lowest"))
        reach = [mean - lowest, 0 * mean]
        place = positions + 0.14 * (number - (len(heads) - 1) / 2)
        axes.errorbar(mean, place, xerr=reach, fmt="o", color=colour, linewidth=1)
    axes.set_yticks(positions, table.column("weights"))
    axes.invert_yaxis()
    axes.set_xlabel("cosine with the exact update: mean over the steps; lines to the lowest")
    axes.grid(axis="x", alpha=0.3)
    canvas.legend_below(figure, colours)
    return figure


# Plot -> what draws it, and the tables that it shows; it stands below the last of them.
PLOTS = {
    "training": (_draw_training, ("training",)),
    "stages": (_draw_stages, ("stages_equal", "stages_cagrad")),
    "sizes": (_draw_sizes, SIZES),
    "weights": (_draw_weights, ("weights",)),
}
