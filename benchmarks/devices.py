"""The accelerator: how fast it multiplies matrices, and whether it computes right."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from benchmarks.export import FAST_TO_COMPILE, difference, tiny
from benchmarks.turns import rounds, timed
from maskformer_jax.weighting import METHODS

PRODUCTS, ROUNDS = 10, 5
STEPS = 2
DIFFERENCES = ("update", "weights", "losses")


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


class Case(NamedTuple):
    """Something that is measured.

    Attributes:
        part: of the benchmark.
        model: YAML file or name.
        method: weighting.
        dtype: of the arithmetic.
        batch_size: jets of a batch.
    """

    part: str
    model: str
    method: str
    dtype: str
    batch_size: int

    @property
    def halves(self) -> int:
        """Batches that a step gets."""
        return 2 if "task_grads_2" in METHODS[self.method].needs else 1


class Correctness:
    """Two steps of a tiny network on the default device and on the CPU.

    Both compute in float32 with products in full precision, from the same state and batch.
    """

    def __init__(self, file: str):
        """Keeps the name of the training file."""
        self._file = file

    def prepare(self, case: Case, pool: ThreadPoolExecutor) -> list[tuple]:
        """Programs that are being compiled for the default device and for the CPU."""
        cpu, sides = jax.devices("cpu")[0], []
        with jax.default_device(cpu):
            made = tiny(case.model, self._file, case.method)
            arguments = (made.trainer.state, *made.batch())
        for device in (jax.devices()[0], cpu):
            placed = copied(arguments, device)
            options = FAST_TO_COMPILE if device.platform == "cpu" else None
            with jax.default_matmul_precision("highest"):
                lowered = made.trainer.step.lower(*placed)
            sides.append((pool.submit(partial(lowered.compile, options)), placed))
        return sides

    def numbers(self, case: Case, prepared: list[tuple]) -> dict[str, float]:
        """Between the two, |a - b|/|b|: of the combined gradient, of the weights, of the losses.

        The gradient is taken as the optimiser remembers it.
        """
        pairs = zip(*(_run(*side) for side in prepared), strict=True)
        apart = (difference([a], [b]) for a, b in pairs)
        return dict(zip(DIFFERENCES, apart, strict=True))


def _run(compiled: Any, arguments: PyTree) -> tuple[PyTree, jax.Array, jax.Array]:
    state, *batch = arguments
    for _ in range(STEPS):
        state, metrics = compiled.result()(state, *batch)
    momentum = optax.tree.get(state.optimiser_state, "mu")
    return jax.device_get((momentum, metrics.weights, metrics.losses))
