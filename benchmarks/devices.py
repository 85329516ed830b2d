"""The accelerator: how fast it multiplies matrices, and whether it computes right."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from benchmarks.export import FAST_TO_COMPILE, difference, tiny
from benchmarks.turns import rounds, timed

PRODUCTS, ROUNDS = 10, 5
STEPS = 2


class Differences(NamedTuple):
    """Between the default device and the CPU after two steps, |a - b|/|b|.

    Attributes:
        update: of the combined gradient, as the optimiser remembers it.
        weights: of the task weights.
        losses: of the losses.
    """

    update: float
    weights: float
    losses: float


def matrix_peak(dtype: str, width: int) -> float:
    """Operations per second of the product of two random square matrices.

    The precision is the one that the network gets: JAX's default, which lets an NVIDIA device
    round float32 factors to TF32.

    Args:
        dtype: of the matrices and their product.
        width: rows of a matrix; 8192 fills the largest devices.
    """
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (width, width), dtype) for key in keys)
    product = jax.jit(jnp.matmul)

    def several() -> list[jax.Array]:
        return [product(a, b) for _ in range(PRODUCTS)]

    (found,) = rounds({dtype: lambda: timed(several)[0]}, ROUNDS).values()
    return 2 * width**3 * PRODUCTS / min(found)


def copied(tree: PyTree, device: jax.Device) -> PyTree:
    """A copy on a device; a step takes the memory of the state that it is given."""
    return jax.tree.map(lambda x: jnp.copy(jax.device_put(x, device)), tree)


def compare(
    model: str, file: str, methods: Sequence[str], deadline: float, threads: int
) -> dict[str, Differences | str]:
    """Steps of a tiny network with every method on the default device and on the CPU.

    Both compute in float32 with products in full precision, from the same state and batch.

    Args:
        model: YAML file or name.
        file: training file.
        methods: names.
        deadline: no method is begun after this moment of `time.perf_counter`.
        threads: programs that are compiled at the same time.

    Returns:
        Those methods that were begun in time, or why one could not be compared.
    """
    found = {}
    with ThreadPoolExecutor(threads) as pool, jax.default_matmul_precision("highest"):
        for start in range(0, len(methods), threads):
            begun = {}
            for name in methods[start : start + threads]:
                if time.perf_counter() < deadline:
                    begun[name] = _both(model, file, name, pool)
            for name, sides in begun.items():
                try:
                    pairs = zip(*(_run(*side) for side in sides), strict=True)
                    found[name] = Differences(*(difference([a], [b]) for a, b in pairs))
                except jax.errors.JaxRuntimeError as error:
                    found[name] = str(error).splitlines()[0]
    return found


def _both(model: str, file: str, name: str, pool: ThreadPoolExecutor) -> list[tuple]:
    """What `_run` needs for the default device and for the CPU."""
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        made = tiny(model, file, name)
        arguments = (made.trainer.state, *made.batch())
    sides = []
    for device in (jax.devices()[0], cpu):
        placed = copied(arguments, device)
        options = FAST_TO_COMPILE if device.platform == "cpu" else None
        lowered = made.trainer.step.lower(*placed)
        sides.append((pool.submit(partial(lowered.compile, options)), placed))
    return sides


def _run(compiled: Any, arguments: PyTree) -> tuple[PyTree, jax.Array, jax.Array]:
    state, *batch = arguments
    for _ in range(STEPS):
        state, metrics = compiled.result()(state, *batch)
    momentum = optax.tree.get(state.optimiser_state, "mu")
    return jax.device_get((momentum, metrics.weights, metrics.losses))
