"""Task gradients as trees with leaves `[K, ...]`: sums, lengths, products, averages."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

# Longer rows are multiplied piece by piece: a product with so long an inner axis is slow on CPU.
PIECE = 65_536


def check_rows(num_tasks: int, task_grads: PyTree, argument: str = "task_grads") -> None:
    """Raises ValueError where a leaf has no leading task axis of length `num_tasks`."""
    for leaf in jax.tree.leaves(task_grads):
        if leaf.ndim == 0 or leaf.shape[0] != num_tasks:
            raise ValueError(
                f"`{argument}` must have a leading task axis of length {num_tasks}; "
                f"got a leaf of shape {leaf.shape}"
            )


def check_second(name: str, task_grads: PyTree, second: PyTree | None) -> None:
    """Raises ValueError unless the method's `task_grads_2` has the form of `task_grads`."""
    rule = (
        f"`task_grads_2` must be given to {name}: gradients on an independent batch, of the same "
        "form as `task_grads`; got "
    )
    if second is None:
        raise ValueError(f"{rule}None")
    if jax.tree.structure(second) != jax.tree.structure(task_grads):
        raise ValueError(f"{rule}{jax.tree.structure(second)}")
    for a, b in zip(jax.tree.leaves(task_grads), jax.tree.leaves(second), strict=True):
        if a.shape != b.shape:
            raise ValueError(f"{rule}a leaf of shape {b.shape} in place of {a.shape}")


def sum_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """Type of sums over values of `dtype`: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def wide(tree: PyTree) -> PyTree:
    """`tree` in the type of sums over it."""
    return jax.tree.map(lambda x: x.astype(sum_dtype(x.dtype)), tree)


def cast_like(tree: PyTree, other: PyTree) -> PyTree:
    """`tree` in the types of `other`."""
    return jax.tree.map(lambda x, y: x.astype(y.dtype), tree, other)


def zero_rows(num_tasks: int, params: PyTree) -> PyTree:
    """Zeros `[K, ...]` for each parameter, in the type of sums over it."""
    return jax.tree.map(lambda x: jnp.zeros((num_tasks, *x.shape), sum_dtype(x.dtype)), params)


def scale_rows(task_grads: PyTree, factors: Float[Array, " K"]) -> PyTree:
    """c_k g_k in the type of sums over the gradients."""

    def scale(leaf: Array) -> Array:
        dtype = sum_dtype(leaf.dtype)
        column = factors.astype(dtype).reshape(-1, *[1] * (leaf.ndim - 1))
        return leaf.astype(dtype) * column

    return jax.tree.map(scale, task_grads)


def weighted_sum(task_grads: PyTree, weights: Float[Array, " K"]) -> PyTree:
    """sum_k w_k g_k of leaves `[K, ...]`: summed in float32 at least, returned in their own type.

    Raises:
        ValueError: a leaf has no leading task axis of length K.
    """
    check_rows(weights.shape[0], task_grads)

    def combine(leaf: Array) -> Array:
        dtype = sum_dtype(leaf.dtype)
        factors, rows = weights.astype(dtype), leaf.astype(dtype)
        return jnp.tensordot(factors, rows, axes=1, precision="highest").astype(leaf.dtype)

    return jax.tree.map(combine, task_grads)


def weighted_sum_of_two(first: PyTree, second: PyTree, weights: Float[Array, " K"]) -> PyTree:
    """sum_k w_k (g_k + h_k) of the gradients on two batches, in the type of sums."""
    sums = (weighted_sum(wide(rows), weights) for rows in (first, second))
    return jax.tree.map(jnp.add, *sums)


def move_average(average: PyTree, task_grads: PyTree, rate: Float[Array, ""]) -> PyTree:
    """y + rate (g - y), in the type of the average y."""
    return jax.tree.map(
        lambda y, g: (y + rate * (g.astype(y.dtype) - y)).astype(y.dtype), average, task_grads
    )


def row_norms(task_grads: PyTree) -> Float[Array, " K"]:
    """Lengths of the task gradients."""
    rows = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(wide(task_grads))]
    return jnp.sqrt(sum(jnp.sum(row * row, axis=1) for row in rows))


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
