"""Puts what was measured into docs/performance.md: tables between two marks each, and plots."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.tables import Table, load, markdown
from maskformer_jax.errors import InputError

MARKS = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
SIZES = ("batch_size", "tracks", "width", "tasks")


def run(runs: str = "runs", docs: str = "docs/performance.md") -> Iterator[dict[str, Table]]:
    """Tables and plots of docs/performance.md, from the JSON files.

    Args:
        runs: folder of the JSON files
        docs: Markdown file with the marks, which is filled in
    """
    folder, page = Path(runs), Path(docs)
    if not page.is_file():
        raise InputError(f"{page}: no such file")
    tables: dict[str, Table] = {}
    for name in ("scaling", "weights", "training"):
        tables |= load(str(folder / f"{name}.json"))
    before = page.read_text()
    names = [name for _, name, _ in MARKS.findall(before) if name in tables]
    drawn = draw(tables, page.with_suffix(""))
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


def draw(tables: dict[str, Table], folder: Path) -> list[str]:
    """Plots of the tables that there are, and their names."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [name for name, (_, shown) in PLOTS.items() if tables.keys() >= set(shown)]
    for name in drawn:
        PLOTS[name][0](tables).savefig(folder / f"{name}.png", dpi=100)
    return drawn


def _axes(columns: int = 1, width: float = 7.0, height: float = 3.5):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _draw_training(tables: dict[str, Table]):
    figure, (axes,) = _axes()
    table = tables["training"]
    rates, labels = table.column("jets/s"), table.column("training")
    low, high = (np.abs(np.subtract(table.column(x), rates)) for x in ("least", "most"))
    axes.barh(labels, rates, xerr=[low, high], color="tab:blue")
    axes.invert_yaxis()
    axes.set_xlabel("jets/s, median of the turns; lines: all of them")
    return figure


def _draw_stages(tables: dict[str, Table]):
    figure, (axes,) = _axes(height=2.5)
    labels = tables["stages_cagrad"].column("stage")[:-1]
    colours = {label: f"C{number}" for number, label in enumerate(labels)}
    for name in ("equal", "cagrad"):
        table, begin = tables[f"stages_{name}"], 0.0
        for stage, time in zip(table.column("stage"), table.column("ms"), strict=True):
            if stage in colours:
                label = stage if name == "cagrad" else None
                axes.barh(name, time, left=begin, color=colours[stage], label=label)
                begin += time
    axes.set_xlabel("ms of a step")
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _draw_sizes(tables: dict[str, Table]):
    figure, several = _axes(len(SIZES), width=12.0, height=3.0)
    for axes, name in zip(several, SIZES, strict=True):
        table = tables[name]
        axis = next(iter(table.columns))
        sizes = table.column(axis)
        for head in table.columns:
            if head.endswith(", ms"):
                axes.plot(sizes, table.column(head), "o-", label=head)
        axes.set(xlabel=axis, xscale="log", xticks=sizes, xticklabels=sizes)
        axes.minorticks_off()
        axes.set_yscale("log")
        axes.legend(fontsize="small")
    return figure


def _draw_weights(tables: dict[str, Table]):
    figure, (axes,) = _axes()
    table = tables["weights"]
    heads = [head for head in table.columns if head.endswith(", mean")]
    positions = np.arange(len(table.rows))
    for number, head in enumerate(heads):
        name = head.removesuffix(", mean")
        axes.plot(table.column(head), positions + 0.1 * number, "o", label=name, color=f"C{number}")
    axes.set_yticks(positions, table.column("weights"))
    axes.invert_yaxis()
    axes.set_xlabel("cosine with the exact update, mean over the steps")
    axes.legend(fontsize="small")
    axes.grid(axis="x")
    return figure


# Plot -> what draws it, and the tables that it shows; it stands below the last of them.
PLOTS = {
    "training": (_draw_training, ("training",)),
    "stages": (_draw_stages, ("stages_equal", "stages_cagrad")),
    "sizes": (_draw_sizes, SIZES),
    "weights": (_draw_weights, ("weights",)),
}
