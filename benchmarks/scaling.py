"""What a training step costs, part by part: arithmetic, time against sizes, compilation, stages."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import optax

from benchmarks import arithmetic, compilation, stages
from benchmarks.arithmetic import capped, many_heads
from benchmarks.made import SAMPLE, Settings, at_least, chosen, overlay
from benchmarks.tables import Table
from benchmarks.training import CORES, EQUAL, ours
from benchmarks.turns import bind, medians
from maskformer_jax.build import build
from maskformer_jax.config import Config

METHODS = ("equal", "cagrad")
TIMES = {"equal, ms": ".1f", "cagrad, ms": ".1f", "ratio": ".2f"}


def run(
    parts: Sequence[str] | None = None,
    model: str = "maskformer_small",
    files: Sequence[str] = (f"sample={SAMPLE}",),
    batch_size: int = 500,
    repeats: int = 5,
    steps: int = 5,
) -> Iterator[dict[str, Table]]:
    """Cost of a step: arithmetic, sizes, compilation, stages.

    Args:
        parts: arithmetic, batch_size, tracks, width, tasks, compilation, stages
        files: FILE or LABEL=FILE; steps are timed on the first
    """
    at_least(1, batch_size=batch_size, repeats=repeats, steps=steps)
    settings = Settings(model, labelled(files), batch_size, repeats, steps)
    names = chosen(parts, PARTS, "part")
    bind(CORES)
    for part in names:
        yield {name: make(settings) for name, make in PARTS[part].items()}


def labelled(files: Sequence[str]) -> dict[str, str]:
    """Label -> file; a file without a label is its own."""
    pairs = [file.split("=", 1) if "=" in file else (file, file) for file in files]
    return dict(pairs)


def batch_size(settings: Settings) -> Table:
    """Steps of batches of several sizes, plain and with CAGrad."""
    make, sizes = _option(settings, "training.batch_size"), (100, 250, 500, 1000, 2000)
    rows = [[*row, 1e3 * row[0] / row[1]] for row in _rows(settings, sizes, make)]
    columns = {"jets of a batch": "d", **TIMES, "equal, jets/s": ",.0f"}
    return Table("Steps against the size of a batch, loading included", columns, rows)


def width(settings: Settings) -> Table:
    """Steps of networks of several widths, plain and with CAGrad."""
    make, rows = _option(settings, "model.embed_dim"), []
    for size, *times in _rows(settings, (32, 64, 128, 256), make):
        rows.append([size, optax.tree.size(build(make("equal", size)).params), *times])
    columns = {"embed_dim": "d", "parameters": ",d", **TIMES}
    return Table("Steps against the number of parameters, loading included", columns, rows)


def tracks(settings: Settings) -> Table:
    """Packed and padded steps against the most constituents of a jet that are read."""

    pack = {"packed": "true", "padded": "false"}

    def make(label: str, cap: int) -> Config:
        return capped(settings.config(EQUAL, f"--training.pack={pack[label]}"), cap)

    rows = _rows(settings, (10, 20, 30, 40), make, tuple(pack))
    columns = {"most tracks": "d", "packed, ms": ".1f", "padded, ms": ".1f", "ratio": ".2f"}
    return Table("Plain steps against the most tracks of a jet, loading included", columns, rows)


def tasks(settings: Settings) -> Table:
    """Steps of the trunk of the model with as many classifications, plain and with CAGrad."""

    def make(method: str, number: int) -> Config:
        return many_heads(settings.config(overlay(method)), number)

    title = "Steps of the trunk with K heads, each a classification, loading included"
    return Table(title, {"tasks": "d", **TIMES}, _rows(settings, (2, 4, 8, 16), make))


def _option(settings: Settings, name: str) -> Callable[[str, int], Config]:
    return lambda method, size: settings.config(overlay(method), f"--{name}={size}")


def _rows(
    settings: Settings,
    sizes: Sequence[int],
    make: Callable[[str, int], Config],
    labels: Sequence[str] = METHODS,
) -> list[list[float]]:
    """Each size, milliseconds of a step of the one and of the other training, and their ratio."""
    works = {}
    for size in sizes:
        for label in labels:
            training = ours(label, make(label, size))
            works[size, label] = lambda turn=training.turn: turn(settings.steps).seconds
    found = medians(works, settings.repeats)
    pairs = [(size, *(found[size, label] / settings.steps for label in labels)) for size in sizes]
    return [[size, 1e3 * first, 1e3 * second, second / first] for size, first, second in pairs]


# Part -> name of a table -> what makes it.
PARTS: dict[str, dict[str, Callable[[Settings], Table]]] = {
    "arithmetic": {
        "arithmetic": arithmetic.of_files,
        "methods": arithmetic.of_methods,
        "networks": arithmetic.of_networks,
    },
    "batch_size": {"batch_size": batch_size},
    "tracks": {"tracks": tracks},
    "width": {"width": width},
    "tasks": {"tasks": tasks},
    "compilation": {"compilation": compilation.first_steps},
    "stages": {f"stages_{name}": partial(stages.stages, name) for name in METHODS},
}
