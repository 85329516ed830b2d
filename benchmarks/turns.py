"""How works take turns, so that they can be compared: on the same cores, with nothing left over.

Imports neither JAX nor PyTorch: both sides of a comparison read this file.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

PAUSE = 0.01  # seconds; a process that works less than a tenth of it is at rest
LONGEST = 5.0  # seconds; what still works after that, an accelerator's driver perhaps, never rests

Label, Result = TypeVar("Label"), TypeVar("Result")


class Turn(NamedTuple):
    """Some steps of a training.

    Attributes:
        jets: in their batches.
        seconds: that they took.
        waiting: seconds of them until the batches were there. The device may work meanwhile, so
            it was idle for no more than that.
    """

    jets: int
    seconds: float
    waiting: float

    @property
    def rate(self) -> float:
        """Jets per second."""
        return self.jets / self.seconds


def turn(
    batches: Iterator[Any], step: Callable[[Any], int], number: int, end: Callable[[], float]
) -> Turn:
    """Steps on the next batches.

    Args:
        batches: of a loader.
        step: makes one; the jets in its batch.
        number: of steps.
        end: waits for the device, and tells since when it is at rest, by `perf_counter`.
    """
    begin, jets, waiting = time.perf_counter(), 0, 0.0
    for _ in range(number):
        asked = time.perf_counter()
        batch = next(batches)
        waiting += time.perf_counter() - asked
        jets += step(batch)
    return Turn(jets, end() - begin, waiting)


def rounds(
    works: Mapping[Label, Callable[[], Result]], repeats: int, warm: int = 1
) -> dict[Label, list[Result]]:
    """Results of each work, from rounds that run all of them, which share the disturbances so.

    Args:
        works: by label, in their order.
        repeats: rounds that count.
        warm: rounds before them, which compile and fill the caches.
    """
    found = [{label: work() for label, work in works.items()} for _ in range(warm + repeats)]
    return {label: [results[label] for results in found[warm:]] for label in works}


def load_warning() -> list[str]:
    """A line for a table if other programs keep the cores busy: its times are too long then."""
    busy, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    text = (
        f"{busy:.1f} programs wanted the {cores} cores at the start: times are too long, and vary"
    )
    return [text] if busy > 0.5 * cores else []


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the least and the most of the values."""
    return float(np.median(values)), float(min(values)), float(max(values))


def bind(cores: int) -> None:
    """Leaves this process, and those that it starts, that many cores, where the system can do it.

    Call it before the first use of JAX, whose threads keep the cores that they started with.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def end_of_work() -> float:
    """Waits until no thread of this process works, and tells since when, by `perf_counter`.

    A loader reads ahead. This lets the turn that it belongs to pay for it, rather than the next.
    """
    begin = time.perf_counter()
    while True:
        moment, used = time.perf_counter(), time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - used < PAUSE / 10:
            return moment
        if moment - begin > LONGEST:
            return begin
