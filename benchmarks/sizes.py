"""Seconds of a training step against the size of one thing at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import optax

from benchmarks.arithmetic import EQUAL, capped, many_heads
from benchmarks.tables import Table
from benchmarks.training import CAGRAD, ours
from maskformer_jax.build import build
from maskformer_jax.config import Config

BATCH_SIZES = (100, 250, 500, 1000, 2000)
CAPS = (10, 20, 30, 40)
WIDTHS = (32, 64, 128, 256)
TASKS = (2, 4, 8, 16)
TIMES = {"equal, ms": ".1f", "cagrad, ms": ".1f", "ratio": ".2f"}

Work = Callable[[], float]
# The configuration with further options of train.py.
Given = Callable[..., Config]


def batch_size(given: Given, repeats: int, steps: int) -> Table:
    """Steps of batches of several sizes, plain and with CAGrad."""
    found = _pairs(_option(given, "training.batch_size"), BATCH_SIZES, repeats, steps)
    rows = [[size, *found[size], size / found[size][0] * 1e3] for size in BATCH_SIZES]
    columns = {"jets of a batch": "d", **TIMES, "equal, jets/s": ",.0f"}
    return Table("Steps against the size of a batch, loading included", columns, rows)


def width(given: Given, repeats: int, steps: int) -> Table:
    """Steps of networks of several widths, plain and with CAGrad."""
    found = _pairs(_option(given, "model.embed_dim"), WIDTHS, repeats, steps)
    rows = []
    for size in WIDTHS:
        params = build(given(f"--model.embed_dim={size}")).params
        rows.append([size, optax.tree.size(params), *found[size]])
    columns = {"embed_dim": "d", "parameters": ",d", **TIMES}
    return Table("Steps against the number of parameters, loading included", columns, rows)


def tracks(given: Given, repeats: int, steps: int) -> Table:
    """Packed and padded steps against the most constituents of a jet that are read."""
    works = {}
    for cap in CAPS:
        for pack in ("true", "false"):
            config = capped(given(EQUAL, f"--training.pack={pack}"), cap)
            works[cap, pack] = _steps(config, steps)
    found = medians(works, repeats)
    rows = []
    for cap in CAPS:
        packed, padded = (found[cap, pack] / steps * 1e3 for pack in ("true", "false"))
        rows.append([cap, packed, padded, padded / packed])
    columns = {"most tracks": "d", "packed, ms": ".1f", "padded, ms": ".1f", "ratio": ".2f"}
    return Table("Plain steps against the most tracks of a jet, loading included", columns, rows)


def tasks(given: Given, repeats: int, steps: int) -> Table:
    """Steps of the trunk of the model with as many classifications, plain and with CAGrad."""

    def heads(method: str, number: int) -> Config:
        return many_heads(given(method), number)

    found = _pairs(heads, TASKS, repeats, steps)
    title = "Steps of the trunk with K heads, each a classification, loading included"
    return Table(title, {"tasks": "d", **TIMES}, [[number, *found[number]] for number in TASKS])


def medians(works: dict, repeats: int) -> dict:
    """Median seconds of each, from rounds that run everything once; the first one compiles."""
    rounds = [{label: work() for label, work in works.items()} for _ in range(repeats + 1)][1:]
    return {label: float(np.median([found[label] for found in rounds])) for label in works}


def _option(given: Given, name: str) -> Callable[[str, int], Config]:
    return lambda method, size: given(method, f"--{name}={size}")


def _pairs(
    make: Callable[[str, int], Config], sizes: Sequence[int], repeats: int, steps: int
) -> dict[int, list[float]]:
    """Size -> milliseconds of a plain step and of one with CAGrad, and their ratio."""
    works = {}
    for size in sizes:
        for name, method in (("equal", EQUAL), ("cagrad", CAGRAD)):
            works[size, name] = _steps(make(method, size), steps)
    found = medians(works, repeats)
    pairs = {size: [found[size, name] / steps for name in ("equal", "cagrad")] for size in sizes}
    return {size: [1e3 * a, 1e3 * b, b / a] for size, (a, b) in pairs.items()}


def _steps(config: Config, steps: int) -> Work:
    """Steps of a training, loading included."""
    made = ours(config.weighting.name, config)
    return lambda: made.turn(steps).seconds
