"""What methods share that need the task gradients themselves: lengths, averages, a second batch."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import check_rows, sum_dtype


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


def wide(tree: PyTree) -> PyTree:
    """`tree` in the type of sums over it."""
    return jax.tree.map(lambda x: x.astype(sum_dtype(x.dtype)), tree)


def cast_like(update: PyTree, task_grads: PyTree) -> PyTree:
    """`update` in the types of the gradients."""
    return jax.tree.map(lambda u, g: u.astype(g.dtype), update, task_grads)


def move_average(average: PyTree, task_grads: PyTree, rate: Float[Array, ""]) -> PyTree:
    """y + rate (g - y), in the type of the average y."""
    return jax.tree.map(
        lambda y, g: (y + rate * (g.astype(y.dtype) - y)).astype(y.dtype), average, task_grads
    )


def row_norms(task_grads: PyTree) -> Float[Array, " K"]:
    """Lengths of the task gradients."""
    rows = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(wide(task_grads))]
    return jnp.sqrt(sum(jnp.sum(row * row, axis=1) for row in rows))


def project_simplex(values: Float[Array, " K"]) -> Float[Array, " K"]:
    """The nearest point with entries that are not negative and add up to 1.

    A common shift of the values does not move it, nor does where values lie that are more than 1
    below the largest: values of any size stay exact.
    """
    near = jnp.maximum(values - values.max(), -1.0)
    return optax.projections.projection_simplex(near).astype(values.dtype)


def check_second(name: str, num_tasks: int, task_grads: PyTree, second: PyTree | None) -> None:
    """Raises ValueError unless `task_grads_2` holds gradients of the same form as `task_grads`."""
    rule = (
        f"`task_grads_2` must be given to {name}: gradients on an independent batch, of the same "
        "form as `task_grads`; got "
    )
    if second is None:
        raise ValueError(f"{rule}None")
    if jax.tree.structure(second) != jax.tree.structure(task_grads):
        raise ValueError(f"{rule}{jax.tree.structure(second)}")
    check_rows(num_tasks, second, "task_grads_2")
    for a, b in zip(jax.tree.leaves(task_grads), jax.tree.leaves(second), strict=True):
        if a.shape != b.shape:
            raise ValueError(f"{rule}a leaf of shape {b.shape} in place of {a.shape}")
