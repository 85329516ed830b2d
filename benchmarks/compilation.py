"""Trainings that start in processes of their own: their first step, and several devices."""

import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks.made import Made, Settings, overlay
from benchmarks.peer_process import process
from benchmarks.serving import serve
from benchmarks.tables import Table
from benchmarks.training import CAGRAD, EQUAL, VARIANTS
from benchmarks.turns import medians, rounds, timed
from maskformer_jax import config as configuration
from maskformer_jax.training.compilation import use_cache

DEVICES = (1, 2, 4)
PADDED = "equal, padded"
STARTS = {
    PADDED: VARIANTS[PADDED],
    "equal": (EQUAL,),
    "cagrad": (CAGRAD,),
    "cagrad, every 10": VARIANTS["cagrad, every 10"],
}


class Started(NamedTuple):
    """Seconds of a training's start.

    Attributes:
        trace: from Python to the program that is compiled.
        compilation: of that program, or its way from the cache.
        total: until the first step runs.
        steps: of every step after that, on the first batch.
    """

    trace: float
    compilation: float
    total: float
    steps: list[float]


def first_steps(settings: Settings) -> Table:
    """Seconds until the first step runs: nothing compiled before, and from the cache."""

    def pair(more: Sequence[str]) -> list[Started]:
        with tempfile.TemporaryDirectory() as cache:
            return [measure(settings.options(*more), 1, cache=cache) for _ in range(2)]

    works = {label: partial(pair, more) for label, more in STARTS.items()}
    found, rows = rounds(works, settings.repeats, warm=0), []
    for label, pairs in found.items():
        seconds = [
            (cold.trace, cold.compilation, cold.total, warm.total, cold.total / padded.total)
            for (cold, warm), (padded, _) in zip(pairs, found[PADDED], strict=True)
        ]
        rows.append([label, *np.median(seconds, axis=0).tolist()])
    columns = {"method": "", "trace, s": ".2f", "compilation, s": ".2f", "cold, s": ".2f"}
    columns |= {"with the cache, s": ".2f", "cold, to padded": ".2f"}
    return Table("From the start of tracing to the first step", columns, rows)


def devices(settings: Settings) -> Table:
    """Steps on batches that devices of the host share, which all use the same cores."""

    def step(label: str, number: int, cache: str) -> float:
        options = settings.options(overlay(label))
        # The first step has pages and caches to fill.
        found = measure(options, settings.steps + 1, cache=cache, devices=number).steps[1:]
        return float(np.median(found))

    with tempfile.TemporaryDirectory() as cache:
        cases = product(("equal", "cagrad"), DEVICES)
        works = {case: partial(step, *case, cache) for case in cases}
        times = medians(works, settings.repeats, warm=0)
    rows = [[label, n, 1e3 * x, x / times[label, 1]] for (label, n), x in times.items()]
    columns = {"method": "", "devices": "d", "ms": ".1f", "to one device": ".2f"}
    return Table("Steps on one batch that several forced host devices share", columns, rows)


def measure(options: Sequence[str], steps: int, *, cache: str, devices: int = 1) -> Started:
    """A start in a process of its own.

    Args:
        options: of train.py.
        steps: to make.
        cache: folder of compiled programs.
        devices: forced devices of the host, which share each batch.

    Raises:
        InputError: it failed.
    """
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {"XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": cache}
    with process("compilation", **environment) as ask:
        return Started(*ask("start", [*options, f"--training.devices={devices}"], steps))


class Starter:
    """What that process does."""

    def start(self, options: Sequence[str], steps: int) -> Started:
        """Traces, compiles and runs the step on the first batch."""
        use_cache()
        config = configuration.load(options)
        made = Made(config)
        mesh = jax.make_mesh((config.training.devices,), ("data",), axis_types=(AxisType.Auto,))
        state = jax.device_put(made.trainer.state, NamedSharding(mesh, PartitionSpec()))
        placed = jax.device_put(made.batch(), NamedSharding(mesh, PartitionSpec(None, "data")))
        begin = time.perf_counter()
        lowered = made.trainer.step.lower(state, *placed)
        traced = time.perf_counter()
        step = lowered.compile()
        compiled, seconds = time.perf_counter(), []
        for _ in range(steps):
            took, (state, _) = timed(step, state, *placed)
            seconds.append(took)
        return Started(traced - begin, compiled - traced, compiled - begin, seconds)


if __name__ == "__main__":
    serve(Starter())
