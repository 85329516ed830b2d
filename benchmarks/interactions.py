"""What recording the tasks' gradients costs, in steps of the training beside which it happens.

Times are those of all cores that the process used, so that other programs hardly change them.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.made import Made, chosen, load
from benchmarks.tables import Table, keep, text
from maskformer_jax.config import Config
from maskformer_jax.training.compilation import use_cache
from maskformer_jax.training.config import WeightingConfig
from maskformer_jax.training.interactions import Recorder

DEFAULT = ("equal", "cagrad")
EVERY = 100


class Turns(NamedTuple):
    """CPU seconds of a method, one after the other in every turn.

    Attributes:
        plain: of a step.
        recorded: of a step that is recorded.
        curved: of one that is recorded with the curvature.
        first: of the first record, which is compiled, and of the first curvature.
    """

    plain: list[float]
    recorded: list[float]
    curved: list[float]
    first: tuple[float, float]


def run(
    model: str,
    file: str,
    methods: Sequence[str] | None,
    *,
    points: int,
    turns: int,
    output: str | None,
) -> str:
    """A row per method: CPU time of a step, and what a record costs in steps.

    Args:
        model: YAML file or name.
        file: training file.
        methods: names of weightings; none: `DEFAULT`.
        points: of the curvature's trapezoid rule.
        turns: the median counts.
        output: JSON file; none: no file.
    """
    use_cache()
    rows = []
    for name in chosen(methods or DEFAULT):
        found = measure(load(model, file=file), name, points, turns)
        plain = np.array(found.plain)
        record, curvature = (
            float(np.median((np.array(x) - plain) / plain)) for x in (found.recorded, found.curved)
        )
        milliseconds = 1e3 * float(np.median(plain))
        rows.append([name, milliseconds, record, 100 * record / EVERY, curvature, *found.first])
    columns = {"method": "", "step, CPU ms": ".0f", "record, steps": ".2f"}
    columns |= {f"every {EVERY}th, %": ".2f", f"with curvature ({points} points), steps": ".1f"}
    columns |= {"first record, CPU s": ".0f", "first curvature, CPU s": ".0f"}
    table = Table("Cost of records of the task interactions", columns, rows)
    if output:
        keep(output, {"interactions": table})
    return text(table)


def measure(config: Config, method: str, points: int, turns: int) -> Turns:
    """Takes turns of the three kinds of steps, in one training.

    Args:
        config: of the training.
        method: weighting.
        points: of the curvature.
        turns: to take, after one that compiles.
    """
    settings = replace(config.training, record_interactions=1, record_curvature=points)
    made = Made(replace(config, weighting=WeightingConfig(name=method), training=settings))
    trainer, batch = made.trainer, made.batch()
    without = trainer.measures._replace(curvature=None)
    seconds: list[list[float]] = [[], [], []]
    with tempfile.TemporaryDirectory() as folder:
        kinds = [
            Recorder(trainer.step, measures, trainer.losses, Path(folder), 0, 1).step
            for measures in (None, without, trainer.measures)
        ]
        state, number = trainer.state, 0
        for _ in range(turns + 1):
            for make, times in zip(kinds, seconds, strict=True):
                number += 1
                state, took = _timed(make, number, state, batch)
                times.append(took)
    first = (seconds[1][0], seconds[2][0])
    return Turns(*(times[1:] for times in seconds), first)


def _timed(make: Callable, number: int, state: Any, batch: Any) -> tuple[Any, float]:
    before = time.process_time()
    state, _ = jax.block_until_ready(make(number, state, *batch))
    return state, time.process_time() - before
