"""Seconds of a training step against the size of one thing at a time."""

from collections.abc import Callable, Sequence

import optax

from benchmarks.arithmetic import capped, many_heads
from benchmarks.made import Settings, overlay
from benchmarks.tables import Table
from benchmarks.training import EQUAL, ours
from benchmarks.turns import medians
from maskformer_jax.build import build
from maskformer_jax.config import Config

METHODS = ("equal", "cagrad")
TIMES = {"equal, ms": ".1f", "cagrad, ms": ".1f", "ratio": ".2f"}


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

    def make(label: str, cap: int) -> Config:
        return capped(settings.config(EQUAL, f"--training.pack={label == 'packed'}"), cap)

    rows = _rows(settings, (10, 20, 30, 40), make, ("packed", "padded"))
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
