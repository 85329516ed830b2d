"""Training steps compiled many at a time, and then measured one by one."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.devices import copied
from benchmarks.made import load, loader_of, weighted
from benchmarks.training import loaded
from maskformer_jax.build import Model, build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, TrainLoader
from maskformer_jax.errors import InputError
from maskformer_jax.training import loop
from maskformer_jax.weighting import METHODS

TURNS, BATCHES = 3, 2
TOTAL_STEPS = 10_000  # only the learning rate depends on it


class Case(NamedTuple):
    """A training that is measured.

    Attributes:
        model: YAML file or name.
        method: weighting.
        dtype: of the arithmetic.
        batch_size: jets of a batch.
        loading: whether it is measured with the loader as well.
    """

    model: str
    method: str
    dtype: str
    batch_size: int
    loading: bool


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
        self._trainer = cache(self._build)
        self._loader = cache(self._open)
        self._operations: dict[tuple, float] = {}

    def measure(self, cases: Sequence[Case], deadline: float, threads: int) -> list[dict[str, Any]]:
        """Numbers of every training that was begun before the deadline.

        All steps are compiled first, so that no compilation disturbs a measurement. A training
        that fails, for want of memory perhaps, has the reason instead of numbers.

        Args:
            cases: the trainings.
            deadline: by `time.perf_counter`.
            threads: steps that are compiled at the same time.
        """
        rows, begun = [], []
        with ThreadPoolExecutor(threads) as pool:
            for case in cases:
                if time.perf_counter() < deadline:
                    begun.append((case, self._prepare(case, pool)))
        while begun:
            case, prepared = begun.pop(0)
            try:
                numbers = self._numbers(case, prepared)
            except jax.errors.JaxRuntimeError as error:
                numbers = {"failed": str(error).splitlines()[0]}
            finally:
                prepared.batches.close()
            rows.append(case._asdict() | numbers)
        return rows

    def _config(self, model: str, method: str, dtype: str, batch_size: int) -> Config:
        options = [*weighted(load(model), method), f"--model.compute_dtype={dtype}"]
        return load(model, *options, file=self._file, batch_size=batch_size)

    def _build(self, model: str, method: str, dtype: str) -> loop.Trainer:
        config = self._config(model, method, dtype, batch_size=2)
        # Op by op on the host, where a small operation needs no compilation of its own.
        with jax.default_device(jax.devices("cpu")[0]):
            return loop.build(config, build(config), TOTAL_STEPS)

    def _open(self, model: str, batch_size: int, two_batches: bool) -> TrainLoader:
        config = self._config(model, "modo" if two_batches else "equal", "float32", batch_size)
        built: Model = build(config)
        jets = JetFile(self._file, built.schema).num_jets
        if jets < batch_size:
            raise InputError(
                f"`--batch_sizes` must be at most the {jets} jets of {self._file}; got {batch_size}"
            )
        # Whole batches only, since a part of a batch takes as long as all of it.
        data = replace(config.data, train_jets=jets // batch_size * batch_size)
        return loader_of(replace(config, data=data), built)

    def _prepare(self, case: Case, pool: ThreadPoolExecutor) -> Prepared:
        entry, accelerator = METHODS[case.method], jax.devices()[0]
        trainer = self._trainer(case.model, case.method, case.dtype)
        halves = 2 if "task_grads_2" in entry.needs else 1
        batches = self._loader(case.model, case.batch_size, halves == 2).iterator()
        first, state = next(batches), copied(trainer.state, accelerator)
        lowered = trainer.step.lower(state, *jax.device_put(first, accelerator))
        layout = self._loader(case.model, case.batch_size, halves == 2).layout
        parts, rows = first[0].jet_valid.shape[0], layout.rows
        # What a method does with the gradients is a thousandth of the operations.
        key = (case.model, entry.family, entry.needs, layout.jets)
        if key not in self._operations:
            # Loops over parts would be counted as if each had one turn.
            one = jax.tree.map(lambda x: x[:: parts // halves], first)
            cost = trainer.step.lower(trainer.state, *one).cost_analysis()
            self._operations[key] = cost["flops"] / rows
        compiled = pool.submit(lowered.compile)
        return Prepared(compiled, state, batches, self._operations[key] * rows)

    def _numbers(self, case: Case, prepared: Prepared) -> dict[str, Any]:
        step, state = prepared.step.result(), prepared.state
        given = [next(prepared.batches) for _ in range(BATCHES)]
        jets = [int(batch.jet_valid.sum()) for batch, _ in given]
        halves = 2 if "task_grads_2" in METHODS[case.method].needs else 1
        used = np.mean([batch.jet_valid.any(axis=1).sum() for batch, _ in given]) / halves
        placed = jax.device_put(given, jax.devices()[0])
        state, _ = _turn(step, state, placed, 1)
        state, once = _turn(step, state, placed, BATCHES)
        number = BATCHES * max(round(self._seconds / once), 1)
        times = []
        for _ in range(TURNS):
            state, seconds = _turn(step, state, placed, number)
            times.append(seconds / number)
        seconds = float(np.median(times))
        rates = {"jets_per_second": float(np.mean(jets)) / seconds, "step_seconds": times}
        if case.loading:
            state, turn, _ = loaded(step, state, prepared.batches, number)
            rates["loaded_jets_per_second"] = turn.jets / turn.seconds
            rates["waiting"] = turn.waiting / turn.seconds
        memory = step.memory_analysis()
        held = memory.argument_size_in_bytes + memory.output_size_in_bytes
        held += memory.temp_size_in_bytes - memory.alias_size_in_bytes
        stats = jax.devices()[0].memory_stats() or {}
        return rates | {
            "finite": bool(state.finite),
            "bytes": held,
            "peak_bytes_in_use": stats.get("peak_bytes_in_use"),
            "operations": prepared.operations * float(used),
            "operations_per_second": prepared.operations * float(used) / seconds,
        }


def _turn(
    step: Callable[..., tuple], state: Any, batches: Sequence[tuple], number: int
) -> tuple[Any, float]:
    """Steps on batches that are on the device; the state after them, and the seconds."""
    begin = time.perf_counter()
    for index in range(number):
        state, _ = step(state, *batches[index % len(batches)])
    jax.block_until_ready(state)
    return state, time.perf_counter() - begin
