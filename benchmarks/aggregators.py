"""Seconds of every weighting method, Gramian and combination included.

With `--peers` TorchJD's methods run on the same matrices, call by call in turn with ours.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import cycle
from statistics import geometric_mean

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.made import at_least, chosen, timed
from benchmarks.peer_process import Ask, FailedError, peer
from benchmarks.settings import options
from benchmarks.tables import Table
from benchmarks.turns import load_warning, rounds, spread
from maskformer_jax.weighting import METHODS

LAYER = ((128, 128), (128,), (128, 256), (256,))
COLUMNS = {"method": "", "ms": ".3f", "least": ".3f", "most": ".3f", "/equal": ".2f"}
COLUMNS |= {"TorchJD ms": ".3f", "ratio": ".3f"}


def run(
    tasks: Sequence[int] = (2, 4, 6, 16),
    parameters: int = 1_800_000,
    methods: Sequence[str] | None = None,
    repeats: int = 15,
    peers: bool = False,
    peer_python: str | None = None,
) -> Iterator[dict[str, Table]]:
    """Seconds of every weighting method.

    Args:
        parameters: length of a gradient
        methods: weightings; `equal` always comes along
    """
    at_least(1, tasks=tasks, parameters=parameters, repeats=repeats)
    names = list(dict.fromkeys(["equal", *chosen(methods)]))
    with peer(peer_python, "peers") if peers else nullcontext() as ask:
        for number in tasks:
            yield {f"aggregators_{number}": measure(number, parameters, names, repeats, ask)}


def measure(
    num_tasks: int, parameters: int, names: Sequence[str], repeats: int, ask: Ask | None
) -> Table:
    """Times of the methods for one number of tasks."""
    given = inputs(num_tasks, parameters)
    works, ours, notes = {}, [], load_warning()
    with tempfile.TemporaryDirectory() as folder:
        if ask:
            for field, array in given.items():
                np.save(f"{folder}/{field}.npy", array)
            ask("load", folder)
        for name in names:
            try:
                works[name] = prepare(name, num_tasks, given)
            except ValueError as error:
                notes.append(f"{name} left out: {error}")
                continue
            ours.append(name)
            # TorchJD may not have the method, or can't run it on these matrices.
            with suppress(FailedError):
                if ask and ask("make", name) and ask("run", name) > 0:
                    works[f"TorchJD {name}"] = partial(ask, "run", name)
        spreads = {label: spread(x) for label, x in rounds(works, repeats).items()}
    rows, ratios = [], []
    for name in ours:
        shown = [1e3 * seconds for seconds in spreads[name]]
        theirs = [1e3 * seconds for seconds in spreads.get(f"TorchJD {name}", ())[:1]]
        ratios += [shown[0] / median for median in theirs]
        compared = [*theirs, ratios[-1]] if theirs else [None, None]
        rows.append([name, *shown, spreads[name][0] / spreads["equal"][0], *compared])
    if ratios:
        mean = f"{len(ratios)} methods: {geometric_mean(ratios):.3f}"
        notes.append(f"geometric mean of our time over TorchJD's, {mean}")
    return Table(f"{num_tasks} tasks, {parameters:,} parameters", COLUMNS, rows, notes)


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


def split(matrix: np.ndarray) -> list[jax.Array]:
    """Columns of [K, P] as the weights and biases of layers; the last leaf takes what is left."""
    leaves, shapes = [], cycle(LAYER)
    while matrix.size:
        shape = next(shapes)
        part, matrix = np.split(matrix, [math.prod(shape)], axis=1)
        is_whole = part.shape[1] == math.prod(shape)
        leaves.append(jnp.asarray(part.reshape(-1, *shape) if is_whole else part))
    return leaves


def prepare(name: str, num_tasks: int, given: dict[str, np.ndarray]) -> Callable[[], float]:
    """A function that runs the next step and returns its seconds."""
    method = METHODS[name](num_tasks, **options(name, num_tasks))
    grads, seconds = split(given["grads"]), split(given["grads_2"])
    params = jax.tree.map(lambda leaf: leaf[0], grads)
    known = {"losses_after": jnp.asarray(given["losses_after"]), "task_grads_2": seconds}
    extra = {need: known[need] for need in METHODS[name].needs}
    extra["losses"] = jnp.asarray(given["losses"])

    update = partial(jax.jit(method.update), **extra)
    _, state = update(grads, method.init(params), params)

    def call() -> float:
        nonlocal state
        took, (_, state) = timed(update, grads, state, params)
        return took

    return call
