"""What recording the tasks' gradients costs, in steps of the training beside which it happens.

Times are those of all cores that the process used, so that other programs hardly change them.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.made import SAMPLE, Made, chosen, load, overlay
from benchmarks.tables import Table
from benchmarks.turns import rounds, timed
from maskformer_jax.config import Config
from maskformer_jax.training.interactions import Recorder

EVERY = 100


def run(
    model: str = "quickstart",
    file: str = SAMPLE,
    methods: Sequence[str] = ("equal", "cagrad"),
    points: int = 3,
    repeats: int = 15,
) -> Iterator[dict[str, Table]]:
    """Cost of recording the losses' gradients.

    Args:
        points: of the curvature's trapezoid rule
    """
    rows = []
    for name in chosen(methods):
        options = overlay(name), "--training.record_interactions=1"
        curved = f"--training.record_curvature={points}"
        found = np.array(measure(load(model, *options, curved, file=file), repeats))
        plain, *recorded = found[:, 1:]
        record, curvature = (float(np.median(x / plain - 1)) for x in recorded)
        milliseconds = 1e3 * float(np.median(plain))
        first = found[1:, 0].tolist()
        rows.append([name, milliseconds, record, 100 * record / EVERY, curvature, *first])
    columns = {"method": "", "step, CPU ms": ".0f", "record, steps": ".2f"}
    columns |= {f"every {EVERY}th, %": ".2f", f"with curvature ({points} points), steps": ".1f"}
    columns |= {"first record, CPU s": ".0f", "first curvature, CPU s": ".0f"}
    yield {"interactions": Table("Cost of records of the task interactions", columns, rows)}


def measure(config: Config, repeats: int) -> list[list[float]]:
    """CPU seconds of steps of one training in turn: plain, recorded, and with the curvature.

    Args:
        config: of the training, which records both.
        repeats: turns, after one that compiles and comes first in each list.
    """
    made = Made(config)
    trainer, batch = made.trainer, made.batch()
    without, numbers = trainer.measures._replace(curvature=None), itertools.count(1)
    with tempfile.TemporaryDirectory() as folder:
        state = trainer.state

        def turn(make: Callable) -> float:
            nonlocal state
            arguments = next(numbers), state, *batch
            seconds, (state, _) = timed(make, *arguments, clock=time.process_time)
            return seconds

        works = {}
        for measures in (None, without, trainer.measures):
            recorder = Recorder(trainer.step, measures, trainer.losses, Path(folder), 0, 1)
            works[len(works)] = partial(turn, recorder.step)
        return list(rounds(works, 1 + repeats, warm=0).values())
