"""Seconds of every weighting method, Gramian and combination included, and its rounding error.

With `--peers` TorchJD's methods run on the same matrices, call by call in turn with ours.
"""

import json
import math
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from benchmarks.made import chosen
from benchmarks.peer_process import peer
from benchmarks.settings import is_random, options
from maskformer_jax.errors import InputError
from maskformer_jax.weighting import METHODS

LAYER = ((128, 128), (128,), (128, 256), (256,))
COLUMNS = {
    "seconds": ("ms", 1e3, 9, ".3f"),
    "to_equal": ("/equal", 1, 8, ".2f"),
    "to_floor": ("/floor", 1, 8, ".2f"),
    "float64": ("float64", 1, 9, ".0e"),
    "peer_seconds": ("TorchJD ms", 1e3, 12, ".3f"),
    "peer_ratio": ("ratio", 1, 8, ".3f"),
    "peer_difference": ("difference", 1, 12, ".0e"),
}


def run(
    tasks: Sequence[int],
    parameters: int,
    methods: Sequence[str] | None,
    *,
    repeats: int,
    peers: bool,
    peer_python: str | None,
    output: str | None,
) -> str:
    """A table per number of tasks, and all of its numbers as JSON.

    Args:
        tasks: numbers of tasks.
        parameters: length of a task gradient.
        methods: names; none: all. `equal` always comes along.
        repeats: calls of each method, of which the median counts.
        peers: whether TorchJD's methods run as well.
        peer_python: interpreter that has torch and torchjd; none: this one.
        output: JSON file; none: no file.
    """
    if min(*tasks, parameters, repeats) < 1:
        given = list(tasks), parameters, repeats
        raise InputError(
            f"`--tasks`, `--parameters` and `--repeats` must be at least 1; got {given}"
        )
    names = list(dict.fromkeys(["equal", *chosen(methods)]))
    with peer(peer_python) if peers else nullcontext() as ask:
        found = [measure(number, parameters, names, repeats, ask) for number in tasks]
    about = {"device": jax.devices()[0].device_kind, "machine": platform.platform(), "runs": found}
    if output:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(json.dumps(about, indent=1) + "\n")
    return "\n\n".join(map(table, found))


def measure(
    num_tasks: int, parameters: int, names: Sequence[str], repeats: int, ask: Callable | None
) -> dict[str, Any]:
    """Times and rounding errors of the methods for one number of tasks."""
    given = inputs(num_tasks, parameters)
    # The gradients can be read no faster than this, and are read twice: for the Gramian and for
    # the sum.
    readers = {"array": reader(jnp.asarray(given["grads"])), "tree": reader(split(given["grads"]))}
    calls, left_out, differences = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        if ask:
            for field, array in given.items():
                np.save(f"{folder}/{field}.npy", array)
            ask("load", folder)
        for name in names:
            try:
                calls[name], update = prepare(name, num_tasks, given)
            except ValueError as error:
                left_out[name] = str(error)
                continue
            fixed = not is_random(name, num_tasks)
            differences[name] = {"float64": rounding(name, given, update) if fixed else None}
            if ask:
                theirs = theirs_of(name, ask, folder) if fixed else None
                error = None if theirs is None else relative(update, theirs)
                differences[name]["peer_difference"] = error
        times = interleaved(calls, readers, repeats, ask)
    return {
        "tasks": num_tasks,
        "parameters": parameters,
        "read_seconds": {kind: times[f"read {kind}"] for kind in readers},
        "rows": [row(name, times, differences[name]) for name in calls],
        "left_out": left_out,
    }


def interleaved(
    calls: dict[str, Callable[[], float]],
    readers: dict[str, Callable[[], float]],
    repeats: int,
    ask: Callable | None,
) -> dict[str, float]:
    """Median seconds of rounds that run everything once, so that all share the disturbances."""
    works = {f"read {kind}": read for kind, read in readers.items()}
    for name, call in calls.items():
        works[name] = call
        if ask and ask("make", name, exact=False) is True and isinstance(ask("run", name), float):
            works[f"TorchJD {name}"] = partial(ask, "run", name)
    # The first round warms the caches.
    rounds = [{name: work() for name, work in works.items()} for _ in range(repeats + 1)][1:]
    return {name: float(np.median([times[name] for times in rounds])) for name in works}


def row(name: str, times: dict[str, float], differences: dict[str, float | None]) -> dict:
    """What is known about a method; the floor is two readings of the gradients."""
    floor = 2 * min(times["read array"], times["read tree"])
    found = {"method": name, "family": METHODS[name].family, "seconds": times[name]}
    found |= {"to_equal": times[name] / times["equal"], "to_floor": times[name] / floor}
    if f"TorchJD {name}" in times:
        theirs = times[f"TorchJD {name}"]
        found |= {"peer_seconds": theirs, "peer_ratio": times[name] / theirs}
    return found | differences


def table(run: dict[str, Any]) -> str:
    """The numbers of one number of tasks, readable."""
    read = run["read_seconds"]
    rate = run["tasks"] * run["parameters"] * 4e-9 / min(read.values())
    kind = "one array" if read["array"] <= read["tree"] else "the tree"
    lines = [
        f"{run['tasks']} tasks, {run['parameters']:,} parameters; floor: reading the gradients "
        f"twice at {rate:.1f} GB/s (sum over {kind})",
        f"{'method':14}" + "".join(f"{head:>{width}}" for head, _, width, _ in COLUMNS.values()),
    ]
    for values in run["rows"]:
        cells = [f"{values['method']:14}"]
        for field, (_, factor, width, form) in COLUMNS.items():
            value = values.get(field)
            cells.append(f"{'-':>{width}}" if value is None else f"{value * factor:{width}{form}}")
        lines.append("".join(cells))
    lines += [f"{name:14} left out: {reason}" for name, reason in run["left_out"].items()]
    ratios = [values["peer_ratio"] for values in run["rows"] if "peer_ratio" in values]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        lines.append(
            f"geometric mean of our time over TorchJD's, {len(ratios)} methods: {mean:.3f}"
        )
    return "\n".join(lines)


def reader(tree: PyTree) -> Callable[[], float]:
    """A function that reads every number of the tree, and returns its seconds."""
    total = jax.jit(lambda tree: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(tree)))

    def read() -> float:
        begin = time.perf_counter()
        jax.block_until_ready(total(tree))
        return time.perf_counter() - begin

    return read


def inputs(num_tasks: int, parameters: int) -> dict[str, np.ndarray]:
    """Task gradients [K, P] with cosines of either sign, and losses, by argument of `update`."""
    generator = np.random.default_rng(num_tasks)

    def gradients() -> np.ndarray:
        mixing = generator.normal(size=(num_tasks, num_tasks)) + 0.5 * np.eye(num_tasks)
        noise = generator.standard_normal((num_tasks, parameters), np.float32)
        return mixing.astype(np.float32) @ noise / np.float32(np.sqrt(parameters))

    losses = generator.uniform(0.1, 3.0, num_tasks)
    arrays = gradients(), gradients(), losses, 0.9 * losses
    names = ("grads", "grads_2", "losses", "losses_after")
    return {name: x.astype(np.float32) for name, x in zip(names, arrays, strict=True)}


def split(matrix: np.ndarray) -> list[list[jax.Array]]:
    """Columns of [K, P] as the weights and biases of layers; the last leaf takes what is left."""
    layers, start = [], 0
    while start < matrix.shape[1]:
        layer = []
        for shape in LAYER:
            part = matrix[:, start : start + math.prod(shape)]
            start += part.shape[1]
            if part.shape[1] == math.prod(shape):
                part = part.reshape(len(matrix), *shape)
            layer += [jnp.asarray(part)] if part.size else []
        layers.append(layer)
    return layers


def prepare(
    name: str, num_tasks: int, given: dict[str, np.ndarray]
) -> tuple[Callable[[], float], np.ndarray]:
    """A function that runs the next step and returns its seconds, and the first update."""
    method = METHODS[name](num_tasks, **options(name, num_tasks))
    grads, seconds = split(given["grads"]), split(given["grads_2"])
    params = jax.tree.map(lambda leaf: leaf[0], grads)
    known = {"losses_after": jnp.asarray(given["losses_after"]), "task_grads_2": seconds}
    extra = {need: known[need] for need in METHODS[name].needs}
    extra["losses"] = jnp.asarray(given["losses"])

    update = jax.jit(method.update)
    first, state = update(grads, method.init(params), params, **extra)

    def call() -> float:
        nonlocal state
        begin = time.perf_counter()
        _, state = jax.block_until_ready(update(grads, state, params, **extra))
        return time.perf_counter() - begin

    return call, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(first)])


def rounding(name: str, given: dict[str, np.ndarray], update: np.ndarray) -> float:
    """Difference of the first update from the same one computed in float64."""
    with jax.enable_x64(True):
        wide = {field: array.astype(np.float64) for field, array in given.items()}
        return relative(update, prepare(name, len(given["losses"]), wide)[1])


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Length of the difference relative to that of `expected`."""
    length = np.linalg.norm(expected.astype(np.float64))
    return float(np.linalg.norm(found - expected.astype(np.float64)) / length)


def theirs_of(name: str, ask: Callable, folder: str) -> np.ndarray | None:
    """TorchJD's first update, with settings that solve the method's problem; none: it has none."""
    if ask("make", name, exact=True) is not True or not isinstance(ask("run", name), float):
        return None
    ask("save", f"{folder}/update.npy")
    return np.load(f"{folder}/update.npy")
