"""The first step of a training, which starts in a process of its own."""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from benchmarks.made import Made, Settings
from benchmarks.peer_process import process
from benchmarks.serving import serve
from benchmarks.tables import Table
from benchmarks.training import CAGRAD, EQUAL, VARIANTS
from benchmarks.turns import rounds
from maskformer_jax import config as configuration
from maskformer_jax.training.compilation import use_cache

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
    """

    trace: float
    compilation: float
    total: float


def first_steps(settings: Settings) -> Table:
    """Seconds until the first step runs: nothing compiled before, and from the cache."""

    def pair(more: Sequence[str]) -> list[Started]:
        with tempfile.TemporaryDirectory() as cache:
            return [measure(settings.options(*more), cache) for _ in range(2)]

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


def measure(options: Sequence[str], cache: str) -> Started:
    """A start in a process of its own.

    Args:
        options: of train.py.
        cache: folder of compiled programs.

    Raises:
        InputError: it failed.
    """
    with process("compilation", JAX_COMPILATION_CACHE_DIR=cache) as ask:
        return Started(*ask("start", list(options)))


class Starter:
    """What that process does."""

    def start(self, options: Sequence[str]) -> Started:
        """Traces and compiles the step for the first batch."""
        use_cache()
        made = Made(configuration.load(options))
        given = jax.device_put((made.trainer.state, *made.batch()))
        begin = time.perf_counter()
        lowered = made.trainer.step.lower(*given)
        traced = time.perf_counter()
        lowered.compile()
        compiled = time.perf_counter()
        return Started(traced - begin, compiled - traced, compiled - begin)


if __name__ == "__main__":
    serve(Starter())
