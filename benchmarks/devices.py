"""The accelerator: how fast it trains, and whether it computes right.

Steps are compiled many at a time, and then measured one by one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from benchmarks.export import FAST_TO_COMPILE, difference, tiny
from benchmarks.made import Made, load, timed, weighted
from benchmarks.training import loaded
from maskformer_jax.build import build
from maskformer_jax.data import JetFile, TrainLoader
from maskformer_jax.errors import check
from maskformer_jax.training import loop
from maskformer_jax.weighting import METHODS

STEPS = 2
DIFFERENCES = ("update", "weights", "losses")
TURNS, BATCHES = 3, 2
TOTAL_STEPS = 10_000  # only the learning rate depends on it

# Measures what was prepared.
Numbers = Callable[[], dict[str, Any]]


def copied(tree: PyTree, device: jax.Device) -> PyTree:
    """A copy on a device; a step takes the memory of the state that it is given."""
    return jax.tree.map(lambda x: jnp.copy(jax.device_put(x, device)), tree)


class Case(NamedTuple):
    """Something that a part of the benchmark measures; the model is a YAML file or a name."""

    part: str
    model: str
    method: str
    dtype: str
    batch_size: int


def prepare(case: Case, pool: ThreadPoolExecutor, *, file: str, seconds: float) -> Numbers:
    """Begins to compile a step; what is returned measures rates and memory.

    Args:
        case: trainings on the jets of one file share what they can.
        pool: that compiles.
        file: training file.
        seconds: of a turn, about.
    """
    accelerator = jax.devices()[0]
    trainer = _trainer(file, case.model, case.method, case.dtype)
    two = "task_grads_2" in METHODS[case.method].needs
    loader = _loader(file, case.model, case.batch_size, "modo" if two else "equal")
    batches = loader.iterator()
    first, state = next(batches), copied(trainer.state, accelerator)
    compiled = pool.submit(trainer.step.lower(state, *jax.device_put(first, accelerator)).compile)

    def numbers() -> dict[str, Any]:
        nonlocal state
        step = compiled.result()
        with closing(batches):
            given = [next(batches) for _ in range(BATCHES)]
            jets = np.mean([batch.jet_valid.sum() for batch, _ in given])
            placed = cycle(jax.device_put(given, jax.devices()[0]))
            _, state = timed(_several, step, state, placed, BATCHES)
            once, state = timed(_several, step, state, placed, BATCHES)
            number, times = BATCHES * max(round(seconds / once), 1), []
            for _ in range(TURNS):
                took, state = timed(_several, step, state, placed, number)
                times.append(took / number)
            rates = {"jets_per_second": float(jets / np.median(times)), "step_seconds": times}
            if case.part == "sizes":
                state, turn = loaded(step, state, batches, number)
                rates["loaded_jets_per_second"] = turn.rate
                rates["waiting"] = turn.waiting / turn.seconds
            memory = step.memory_analysis()
            held = memory.argument_size_in_bytes + memory.output_size_in_bytes
            stats = jax.devices()[0].memory_stats() or {}
            return rates | {
                "finite": bool(state.finite),
                "bytes": held + memory.temp_size_in_bytes - memory.alias_size_in_bytes,
                "peak_bytes_in_use": stats.get("peak_bytes_in_use"),
            }

    return numbers


@cache
def _trainer(file: str, model: str, method: str, dtype: str) -> loop.Trainer:
    options = [*weighted(load(model), method), f"--model.compute_dtype={dtype}"]
    config = load(model, *options, file=file, batch_size=2)
    # Op by op on the host, where a small operation needs no compilation of its own.
    with jax.default_device(jax.devices("cpu")[0]):
        return loop.build(config, build(config), TOTAL_STEPS)


@cache
def _loader(file: str, model: str, batch_size: int, method: str) -> TrainLoader:
    """That of all methods that get as many batches."""
    config = load(model, *weighted(load(model), method), file=file, batch_size=batch_size)
    jets = JetFile(file, build(config).schema).num_jets
    check(jets >= batch_size, "--batch_sizes", f"be at most the {jets} jets of {file}", batch_size)
    # Whole batches only, since a part of a batch takes as long as all of it.
    data = replace(config.data, train_jets=jets // batch_size * batch_size)
    return Made(replace(config, data=data)).loader


def _several(step: Callable[..., tuple], state: Any, batches: Iterator[tuple], number: int) -> Any:
    """The state after steps on batches that are on the device."""
    for _ in range(number):
        state, _ = step(state, *next(batches))
    return state


def compare(case: Case, pool: ThreadPoolExecutor, *, file: str) -> Numbers:
    """Begins to compile a tiny network's step for the default device and for the CPU.

    What is returned makes two steps on each, in float32 with products in full precision, from the
    same state and batch. It gives |a - b|/|b| between the two: of the combined gradient as the
    optimiser remembers it, of the weights, of the losses.
    """
    cpu, sides = jax.devices("cpu")[0], []
    with jax.default_device(cpu):
        made = tiny(case.model, file, case.method)
        arguments = (made.trainer.state, *made.batch())
    for device in (jax.devices()[0], cpu):
        placed = copied(arguments, device)
        options = FAST_TO_COMPILE if device.platform == "cpu" else None
        with jax.default_matmul_precision("highest"):
            lowered = made.trainer.step.lower(*placed)
        sides.append((pool.submit(lowered.compile, options), placed))

    def numbers() -> dict[str, float]:
        pairs = zip(*(_run(*side) for side in sides), strict=True)
        return dict(zip(DIFFERENCES, (difference([a], [b]) for a, b in pairs), strict=True))

    return numbers


def _run(compiled: Any, arguments: PyTree) -> tuple[PyTree, jax.Array, jax.Array]:
    state, *batch = arguments
    for _ in range(STEPS):
        state, metrics = compiled.result()(state, *batch)
    momentum = optax.tree.get(state.optimiser_state, "mu")
    return jax.device_get((momentum, metrics.weights, metrics.losses))
