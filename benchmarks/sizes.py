"""Seconds of a training step against the size of one thing at a time."""

import itertools
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from benchmarks.arithmetic import EQUAL, capped
from benchmarks.tables import Table
from benchmarks.training import CAGRAD, ours
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.gradients import LossSums, Parts, Weighting, weighted_gradient
from maskformer_jax.weighting import METHODS

BATCH_SIZES = (100, 250, 500, 1000, 2000)
CAPS = (10, 20, 30, 40)
WIDTHS = (32, 64, 128, 256)
TASKS = (2, 4, 8, 16)
# The synthetic network with as many heads as there are tasks.
EXAMPLES, INPUTS, TRUNK, LAYERS, HEAD = 4096, 32, 256, 4, 64
TIMES = {"equal, ms": ".1f", "cagrad, ms": ".1f", "ratio": ".2f"}

Work = Callable[[], float]
# The configuration with further options of train.py.
Given = Callable[..., Config]


def batch_size(given: Given, repeats: int, steps: int) -> Table:
    """Steps of batches of several sizes, plain and with CAGrad."""
    found = _pairs(given, "training.batch_size", BATCH_SIZES, repeats, steps)
    rows = [[size, *found[size], size / found[size][0] * 1e3] for size in BATCH_SIZES]
    columns = {"jets of a batch": "d", **TIMES, "equal, jets/s": ",.0f"}
    return Table("Steps against the size of a batch, loading included", columns, rows)


def width(given: Given, repeats: int, steps: int) -> Table:
    """Steps of networks of several widths, plain and with CAGrad."""
    found = _pairs(given, "model.embed_dim", WIDTHS, repeats, steps)
    rows = []
    for size in WIDTHS:
        params = build(given(f"--model.embed_dim={size}")).params
        rows.append([size, optax.tree.size(params), *found[size]])
    columns = {"embed_dim": "d", "parameters": ",d", **TIMES}
    return Table("Steps against the number of parameters, loading included", columns, rows)


def tracks(given: Given, repeats: int, steps: int) -> Table:
    """Packed and padded steps against the most constituents of a jet that are read."""
    works = {}
    for cap in CAPS:
        for pack in ("true", "false"):
            config = capped(given(EQUAL, f"--training.pack={pack}"), cap)
            works[cap, pack] = _steps(config, steps)
    found = medians(works, repeats)
    rows = []
    for cap in CAPS:
        packed, padded = (found[cap, pack] / steps * 1e3 for pack in ("true", "false"))
        rows.append([cap, packed, padded, padded / packed])
    columns = {"most tracks": "d", "packed, ms": ".1f", "padded, ms": ".1f", "ratio": ".2f"}
    return Table("Plain steps against the most tracks of a jet, loading included", columns, rows)


def tasks(repeats: int, steps: int) -> Table:
    """Gradients and their combination for a trunk with K heads, which is made for this."""
    works = {}
    for number in TASKS:
        for name in ("equal", "cagrad"):
            works[number, name] = synthetic(name, number, steps)
    found = medians(works, repeats)
    rows = []
    for number in TASKS:
        plain, full = (found[number, name] / steps * 1e3 for name in ("equal", "cagrad"))
        rows.append([number, plain, full, full / plain])
    title = (
        f"Losses, gradients and combination for {EXAMPLES} examples, a trunk of {LAYERS} layers of "
        f"width {TRUNK} and K heads with a hidden layer of width {HEAD}; no optimiser"
    )
    return Table(title, {"tasks": "d", **TIMES}, rows)


def synthetic(name: str, num_tasks: int, steps: int) -> Work:
    """Some gradients of a trunk with that many heads, combined by a method."""
    entry = METHODS[name]
    params, sums_of, is_shared = trunk_and_heads(num_tasks)
    method = entry(num_tasks, **({"shared": is_shared} if entry.family != "loss" else {}))
    weighting = Weighting(method, scalarise=entry.family == "loss")
    inputs = np.random.default_rng(0).standard_normal((1, EXAMPLES, INPUTS), np.float32)
    parts = Parts(jnp.asarray(inputs), jnp.array(1))

    @jax.jit
    def update(params: PyTree, state: PyTree, parts: Parts) -> PyTree:
        return weighted_gradient(sums_of, params, weighting, state, parts)

    state = method.init(params)

    def work() -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            jax.block_until_ready(update(params, state, parts))
        return time.perf_counter() - begin

    return work


def trunk_and_heads(
    num_tasks: int,
) -> tuple[PyTree, Callable[[PyTree, jax.Array], list[LossSums]], PyTree]:
    """Parameters, losses one by one, and which parameters all tasks share."""
    generator = np.random.default_rng(0)

    def weights(inputs: int, outputs: int) -> jax.Array:
        drawn = generator.standard_normal((inputs, outputs), np.float32)
        return jnp.asarray(drawn * np.float32(np.sqrt(2 / inputs)))

    sides = [INPUTS, *LAYERS * [TRUNK]]
    params = {
        "trunk": [weights(*pair) for pair in itertools.pairwise(sides)],
        "heads": [[weights(TRUNK, HEAD), weights(HEAD, 1)] for _ in range(num_tasks)],
    }

    def sums_of(params: PyTree, inputs: jax.Array) -> list[LossSums]:
        hidden = inputs
        for matrix in params["trunk"]:
            hidden = jax.nn.relu(hidden @ matrix)
        outputs = [jax.nn.relu(hidden @ first) @ last for first, last in params["heads"]]
        # Targets that differ from task to task, so that gradients do.
        targets = [inputs[:, task % INPUTS, None] for task in range(num_tasks)]
        count = jnp.asarray(float(len(inputs)))
        pairs = zip(outputs, targets, strict=True)
        return [LossSums(((output - target) ** 2).sum(), count) for output, target in pairs]

    is_shared = {
        name: jax.tree.map(lambda _, n=name: n == "trunk", params[name]) for name in params
    }
    return params, sums_of, is_shared


def medians(works: dict, repeats: int) -> dict:
    """Median seconds of each, from rounds that run everything once; the first one compiles."""
    rounds = [{label: work() for label, work in works.items()} for _ in range(repeats + 1)][1:]
    return {label: float(np.median([found[label] for found in rounds])) for label in works}


def _pairs(
    given: Given, option: str, sizes: Sequence[int], repeats: int, steps: int
) -> dict[int, list[float]]:
    """Size -> milliseconds of a plain step and of one with CAGrad, and their ratio."""
    works = {}
    for size in sizes:
        for name, method in (("equal", EQUAL), ("cagrad", CAGRAD)):
            works[size, name] = _steps(given(method, f"--{option}={size}"), steps)
    found = medians(works, repeats)
    pairs = {size: [found[size, name] / steps for name in ("equal", "cagrad")] for size in sizes}
    return {size: [1e3 * a, 1e3 * b, b / a] for size, (a, b) in pairs.items()}


def _steps(config: Config, steps: int) -> Work:
    """Steps of a training, loading included."""
    made = ours(config.weighting.name, config)
    return lambda: made.turn(steps).seconds
