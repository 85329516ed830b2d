"""Training steps compiled many at a time, and then measured one by one."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.devices import Case, copied
from benchmarks.made import Made, load, weighted
from benchmarks.training import loaded
from benchmarks.turns import timed
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, TrainLoader
from maskformer_jax.errors import check
from maskformer_jax.training import loop
from maskformer_jax.weighting import METHODS

TURNS, BATCHES = 3, 2
TOTAL_STEPS = 10_000  # only the learning rate depends on it


class Prepared(NamedTuple):
    """A training whose step is being compiled.

    Attributes:
        step: the compiled step.
        state: before the first step.
        batches: of the loader, on the host.
        operations: of a step on a batch of one part.
    """

    step: Future
    state: Any
    batches: Iterator[tuple]
    operations: float


class Steps:
    """Trainings on the jets of one file, which share what they can."""

    def __init__(self, file: str, seconds: float):
        """Reads nothing yet.

        Args:
            file: training file.
            seconds: of a turn, about.
        """
        self._file, self._seconds = file, seconds
        self._trainer, self._loader = cache(self._build), cache(self._open)
        self._operations: dict[tuple, float] = {}

    def prepare(self, case: Case, pool: ThreadPoolExecutor) -> Prepared:
        """A step that is being compiled."""
        entry, accelerator = METHODS[case.method], jax.devices()[0]
        trainer = self._trainer(case.model, case.method, case.dtype)
        loader = self._loader(case.model, case.batch_size, case.halves)
        batches = loader.iterator()
        first, state = next(batches), copied(trainer.state, accelerator)
        lowered = trainer.step.lower(state, *jax.device_put(first, accelerator))
        # What a method does with the gradients is a thousandth of the operations.
        key = (case.model, entry.family, entry.needs, loader.layout.jets)
        if key not in self._operations:
            # Loops over parts would be counted as if each had one turn.
            parts = first[0].jet_valid.shape[0]
            one = jax.tree.map(lambda x: x[:: parts // case.halves], first)
            cost = trainer.step.lower(trainer.state, *one).cost_analysis()
            self._operations[key] = cost["flops"] / loader.layout.rows
        operations = self._operations[key] * loader.layout.rows
        return Prepared(pool.submit(lowered.compile), state, batches, operations)

    def numbers(self, case: Case, prepared: Prepared) -> dict[str, Any]:
        """Rates, memory and operations."""
        with closing(prepared.batches):
            return self._numbers(case, prepared)

    def _numbers(self, case: Case, prepared: Prepared) -> dict[str, Any]:
        step, state = prepared.step.result(), prepared.state
        given = [next(prepared.batches) for _ in range(BATCHES)]
        jets = np.mean([batch.jet_valid.sum() for batch, _ in given])
        used = np.mean([batch.jet_valid.any(axis=1).sum() for batch, _ in given]) / case.halves
        placed = cycle(jax.device_put(given, jax.devices()[0]))
        _, state = timed(_several, step, state, placed, BATCHES)
        once, state = timed(_several, step, state, placed, BATCHES)
        number, times = BATCHES * max(round(self._seconds / once), 1), []
        for _ in range(TURNS):
            took, state = timed(_several, step, state, placed, number)
            times.append(took / number)
        seconds, operations = float(np.median(times)), prepared.operations * float(used)
        rates = {"jets_per_second": float(jets) / seconds, "step_seconds": times}
        if case.part == "sizes":
            state, turn = loaded(step, state, prepared.batches, number)
            rates["loaded_jets_per_second"] = turn.rate
            rates["waiting"] = turn.waiting / turn.seconds
        memory = step.memory_analysis()
        held = memory.argument_size_in_bytes + memory.output_size_in_bytes
        stats = jax.devices()[0].memory_stats() or {}
        return rates | {
            "finite": bool(state.finite),
            "bytes": held + memory.temp_size_in_bytes - memory.alias_size_in_bytes,
            "peak_bytes_in_use": stats.get("peak_bytes_in_use"),
            "operations": operations,
            "operations_per_second": operations / seconds,
        }

    def _config(self, model: str, method: str, dtype: str, batch_size: int) -> Config:
        options = [*weighted(load(model), method), f"--model.compute_dtype={dtype}"]
        return load(model, *options, file=self._file, batch_size=batch_size)

    def _build(self, model: str, method: str, dtype: str) -> loop.Trainer:
        config = self._config(model, method, dtype, batch_size=2)
        # Op by op on the host, where a small operation needs no compilation of its own.
        with jax.default_device(jax.devices("cpu")[0]):
            return loop.build(config, build(config), TOTAL_STEPS)

    def _open(self, model: str, batch_size: int, halves: int) -> TrainLoader:
        config = self._config(model, "modo" if halves == 2 else "equal", "float32", batch_size)
        jets = JetFile(self._file, build(config).schema).num_jets
        rule = f"be at most the {jets} jets of {self._file}"
        check(jets >= batch_size, "--batch_sizes", rule, batch_size)
        # Whole batches only, since a part of a batch takes as long as all of it.
        data = replace(config.data, train_jets=jets // batch_size * batch_size)
        return Made(replace(config, data=data)).loader


def _several(step: Callable[..., tuple], state: Any, batches: Iterator[tuple], number: int) -> Any:
    """The state after steps on batches that are on the device."""
    for _ in range(number):
        state, _ = step(state, *next(batches))
    return state
