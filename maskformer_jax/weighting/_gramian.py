"""The Gramian of task gradients, and methods that need nothing else of them.

M = G G^T holds the inner products of the K task gradients. A method that is a function w(M) costs
K x K arithmetic once M is there, whatever the number of parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import check_rows, separate, sum_dtype, weighted_sum

# Longer rows are multiplied piece by piece: a product with so long an inner axis is slow on CPU.
PIECE = 65_536

Gramian = Float[Array, "K K"]
Weights = Callable[..., tuple[Float[Array, " K"], PyTree]]


class SolverState(NamedTuple):
    """State of a method whose weights solve a problem on the Gramian, and that remembers nothing.

    Attributes:
        weights: the last weights.
        residual: how far the solver was from the solution; each method says in which measure.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]


class GramianTransformation(optax.GradientTransformationExtraArgs):
    """An optax transformation that also exposes its weights as a function of the Gramian.

    Attributes:
        weights: `weights(gramian, state, losses=None) -> (weights, state)`, pure; `update` is built
            on it, and a Gramian from elsewhere may be given to either.
    """

    weights: Weights

    def __new__(cls, init: Callable, update: Callable, weights: Weights):
        transformation = super().__new__(cls, init, update)
        transformation.weights = weights
        return transformation


def inner_products(a: PyTree, b: PyTree) -> Float[Array, "K K"]:
    """a_i . b_j for two sets of task gradients with leaves `[K, ...]`, leaf by leaf.

    The Gramian is `inner_products(task_grads, task_grads)`. Sums are float32, or float64 where a
    leaf is float64.
    """
    return sum(jax.tree.leaves(jax.tree.map(_leaf_products, a, b)))


def _leaf_products(a: Float[Array, "K ..."], b: Float[Array, "K ..."]) -> Float[Array, "K K"]:
    num_tasks, dtype = a.shape[0], sum_dtype(a.dtype)
    a, b = a.reshape(num_tasks, -1), b.reshape(num_tasks, -1)

    def product(x: Array, y: Array) -> Array:
        return jnp.einsum("ip,jp->ij", x.astype(dtype), y.astype(dtype), precision="highest")

    pieces, rest = divmod(a.shape[1], PIECE)
    if pieces == 0 or (pieces == 1 and rest == 0):
        return product(a, b)

    def add(piece: Array, total: Array) -> Array:
        start, size = (0, piece * PIECE), (num_tasks, PIECE)
        x, y = (jax.lax.dynamic_slice(side, start, size) for side in (a, b))
        return total + product(x, y)

    tail = product(a[:, pieces * PIECE :], b[:, pieces * PIECE :])
    return jax.lax.fori_loop(0, pieces, add, tail)


def norms(gramian: Float[Array, "*G K K"]) -> Float[Array, "*G K"]:
    """Lengths of the task gradients, for one Gramian or several."""
    return jnp.sqrt(jnp.maximum(jnp.diagonal(gramian, axis1=-2, axis2=-1), 0.0))


def reciprocal(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """1/x, and 0 where x is not positive."""
    return jnp.where(values > 0, 1.0 / jnp.where(values > 0, values, 1.0), 0.0)


def cosines(gramian: Gramian) -> Gramian:
    """Cosines between the task gradients; rows and columns of a zero gradient are zero."""
    scale = reciprocal(norms(gramian))
    # One factor at a time: the product of two scales overflows where gradients are tiny.
    return jnp.clip(gramian * scale[:, None] * scale, -1.0, 1.0)


def pseudo_solve(matrix: Float[Array, "K K"], values: Float[Array, " K"]) -> Float[Array, " K"]:
    """Solution of smallest length of a symmetric system; null directions don't count.

    A direction is null where its eigenvalue is below K eps times the largest.
    """
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    lowest = eigenvalues[-1] * len(values) * jnp.finfo(matrix.dtype).eps
    inverse = jnp.where(eigenvalues > lowest, reciprocal(eigenvalues), 0.0)
    project = jnp.einsum("ji,j->i", vectors, values, precision="highest")
    return jnp.einsum("ij,j->i", vectors, inverse * project, precision="highest")


def from_gramian(
    num_tasks: int, initial: Callable[[], PyTree], weights: Weights
) -> GramianTransformation:
    """A method of family `gramian` from its weights.

    Args:
        num_tasks: number of tasks K.
        initial: makes the state before the first step.
        weights: `weights(gramian, state, losses=None) -> (weights, state)`. The weights keep the
            type of the Gramian, the state its own.

    Returns:
        A transformation whose `update` returns sum_k w_k g_k; given `gramian`, it uses that one.
    """

    def init(params: PyTree) -> PyTree:
        del params
        return separate(initial())

    def update(
        task_grads: PyTree,
        state: PyTree,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        gramian: Gramian | None = None,
        **extra,
    ) -> tuple[PyTree, PyTree]:
        del params, extra
        check_rows(num_tasks, task_grads)
        if gramian is None:
            gramian = inner_products(task_grads, task_grads)
        values, state = weights(gramian, state, losses)
        return weighted_sum(task_grads, values), state

    return GramianTransformation(init, update, weights)
