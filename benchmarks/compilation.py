"""Trainings that start in processes of their own: their first step, and several devices."""

import tempfile
from collections.abc import Sequence

import numpy as np

from benchmarks.arithmetic import EQUAL
from benchmarks.fresh import Started, measure
from benchmarks.tables import Table
from benchmarks.training import CAGRAD, VARIANTS

DEVICES = (1, 2, 4)
STARTS = {
    "equal, padded": VARIANTS["equal, padded"],
    "equal": (EQUAL,),
    "cagrad": (CAGRAD,),
    "cagrad, every 10": VARIANTS["cagrad, every 10"],
}


def first_steps(options: Sequence[str], repeats: int) -> Table:
    """Seconds until the first step runs: nothing compiled before, and from the cache."""
    found: dict[str, list[tuple[Started, Started]]] = {label: [] for label in STARTS}
    for _ in range(repeats):
        for label, more in STARTS.items():
            with tempfile.TemporaryDirectory() as cache:
                pair = [measure([*options, *more], 1, cache=cache) for _ in range(2)]
            found[label].append(tuple(pair))
    padded = np.array([_total(cold) for cold, _ in found["equal, padded"]])
    rows = []
    for label, pairs in found.items():
        cold = np.array([_total(first) for first, _ in pairs])
        rows.append(
            [
                label,
                float(np.median([first.trace for first, _ in pairs])),
                float(np.median([first.compilation for first, _ in pairs])),
                float(np.median(cold)),
                float(np.median([_total(second) for _, second in pairs])),
                float(np.median(cold / padded)),
            ]
        )
    columns = {"method": "", "trace, s": ".2f", "compilation, s": ".2f", "cold, s": ".2f"}
    columns |= {"with the cache, s": ".2f", "cold, to padded": ".2f"}
    return Table("From the start of tracing to the first step", columns, rows)


def devices(options: Sequence[str], repeats: int, steps: int) -> Table:
    """Steps on batches that devices of the host share, which all use the same cores."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        found: dict[tuple[str, int], list[float]] = {}
        for _ in range(repeats):
            for label in ("equal", "cagrad"):
                for number in DEVICES:
                    # The first step has pages and caches to fill.
                    more = [*options, *STARTS[label]]
                    seconds = measure(more, steps + 1, cache=cache, devices=number).steps[1:]
                    found.setdefault((label, number), []).append(float(np.median(seconds)))
    times = {key: float(np.median(seconds)) for key, seconds in found.items()}
    for label in ("equal", "cagrad"):
        for number in DEVICES:
            one = times[label, 1]
            rows.append([label, number, 1e3 * times[label, number], times[label, number] / one])
    columns = {"method": "", "devices": "d", "ms": ".1f", "to one device": ".2f"}
    return Table("Steps on one batch that several forced host devices share", columns, rows)


def _total(started: Started) -> float:
    return started.trace + started.compilation
