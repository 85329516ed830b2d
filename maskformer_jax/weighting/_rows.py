"""Task gradients as trees with leaves `[K, ...]`: sums, lengths, products, averages."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

# Which tasks take part in an update; none: all.
Active = Bool[Array, " K"] | None

# Longer rows are multiplied piece by piece: a product with so long an inner axis is slow on CPU.
PIECE = 65_536


def check_rows(num_tasks: int, task_grads: PyTree, argument: str = "task_grads") -> None:
    """Raises ValueError where a leaf has no leading task axis of length `num_tasks`."""
    for leaf in jax.tree.leaves(task_grads):
        if leaf.ndim == 0 or leaf.shape[0] != num_tasks:
            raise ValueError(
                f"`{argument}` must have a leading task axis of length {num_tasks}; got a leaf of "
                f"shape {leaf.shape} (if optax.MultiSteps is around it: take `accumulate`)"
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


def column(values: Shaped[Array, " K"], leaf: Array) -> Shaped[Array, "K ..."]:
    """One value per task, to be broadcast against a leaf `[K, ...]`."""
    return values.reshape(-1, *[1] * (leaf.ndim - 1))


def mask_rows(tree: PyTree, active: Bool[Array, " K"]) -> PyTree:
    """Rows, with zeros for tasks that are not active, whatever was there."""
    return jax.tree.map(lambda x: jnp.where(column(active, x), x, jnp.zeros((), x.dtype)), tree)


def keep_rows(after: Any, before: Any, active: Bool[Array, " K"]) -> Any:
    """A state in which nothing moved that belongs to tasks that are not active."""

    def keep(new: Array, old: Array) -> Array:
        of_tasks = jnp.issubdtype(new.dtype, jnp.floating) and new.shape[:1] == active.shape
        return jnp.where(column(active, new), new, old) if of_tasks else new

    return jax.tree.map(keep, after, before)


def active_share(active: Bool[Array, " K"]) -> Float[Array, ""]:
    """K over the number of active tasks: a default of 1/K becomes one of 1/K' by it."""
    return len(active) / jnp.maximum(active.sum(), 1).astype(jnp.float32)


@jax.custom_jvp
def without_derivative(tree: PyTree) -> PyTree:
    """`tree` as it is; to differentiate what follows from it is an error, and never NaN."""
    return tree


@without_derivative.defjvp
def _refuse(primals: tuple, tangents: tuple) -> None:
    del primals, tangents
    raise TypeError(
        "weights that follow from gradients have no derivative here; to hold them constant, find "
        "the state first, with method.weigh or method.update of jax.lax.stop_gradient(task_grads), "
        "and add the gradients up with its `weights`"
    )


def wide(tree: PyTree) -> PyTree:
    """`tree` in the type of sums over it."""
    return jax.tree.map(lambda x: x.astype(sum_dtype(x.dtype)), tree)


def cast_like(tree: PyTree, other: PyTree) -> PyTree:
    """`tree` in the types of `other`."""
    return jax.tree.map(lambda x, y: x.astype(y.dtype), tree, other)


def zero_rows(num_tasks: int, params: PyTree) -> PyTree:
    """Zeros `[K, ...]` for each parameter, in the type of sums over it, shared as it is."""

    def rows(x: Array) -> Array:
        zeros = jnp.zeros_like(x, sum_dtype(x.dtype))
        return jnp.broadcast_to(zeros, (num_tasks, *x.shape))

    return jax.tree.map(rows, params)


def scale_rows(task_grads: PyTree, factors: Float[Array, " K"]) -> PyTree:
    """c_k g_k in the type of sums over the gradients."""

    def scale(leaf: Array) -> Array:
        dtype = sum_dtype(leaf.dtype)
        return leaf.astype(dtype) * column(factors.astype(dtype), leaf)

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
    return jnp.sqrt(sum(sum_entries(leaf * leaf) for leaf in jax.tree.leaves(wide(task_grads))))


def sum_entries(leaf: Float[Array, "K ..."]) -> Float[Array, " K"]:
    """Sums over all axes but that of the tasks: each device over what it holds."""
    return jnp.sum(leaf, axis=range(1, leaf.ndim))


def inner_products(a: PyTree, b: PyTree) -> Float[Array, "K K"]:
    """a_i . b_j for two sets of task gradients with leaves `[K, ...]`, leaf by leaf.

    The Gramian is `inner_products(task_grads, task_grads)`. Sums are float32, or float64 where a
    leaf is float64.
    """
    return sum(jax.tree.leaves(jax.tree.map(_leaf_products, a, b)))


def _out(leaf: Array) -> dict[str, Any]:
    """A product of what an explicit mesh shares is asked for on all of its devices."""
    sharding = getattr(jax.typeof(leaf), "sharding", None) if hasattr(jax, "typeof") else None
    spec = getattr(sharding, "spec", ())
    shares = any(axis is not None for axis in spec)
    return {"out_sharding": jax.sharding.PartitionSpec()} if shares else {}


def _leaf_products(a: Float[Array, "K ..."], b: Float[Array, "K ..."]) -> Float[Array, "K K"]:
    num_tasks, dtype = a.shape[0], sum_dtype(a.dtype)

    def product(x: Array, y: Array) -> Array:
        """Over all axes as they are, so that what devices share is multiplied where it lies."""
        kept = list(range(1, x.ndim))
        return jax.lax.dot_general(
            x.astype(dtype),
            y.astype(dtype),
            ((kept, kept), ([], [])),
            precision="highest",
            **_out(x),
        )

    if jax.device_count() > 1:
        return product(a, b)
    a, b = a.reshape(num_tasks, -1), b.reshape(num_tasks, -1)
    pieces, rest = divmod(a.shape[1], PIECE)
    if pieces == 0 or (pieces == 1 and rest == 0):
        return product(a, b)

    def add(piece: Array, total: Array) -> Array:
        start, size = (0, piece * PIECE), (num_tasks, PIECE)
        x, y = (jax.lax.dynamic_slice(side, start, size) for side in (a, b))
        return total + product(x, y)

    tail = product(a[:, pieces * PIECE :], b[:, pieces * PIECE :])
    return jax.lax.fori_loop(0, pieces, add, tail)
