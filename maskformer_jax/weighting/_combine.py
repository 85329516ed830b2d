"""What every method shares: its entry in the table, and the weighted sum of task gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


@dataclass(frozen=True)
class Method:
    """A weighting method: its factory, and what it needs from the gradients.

    Attributes:
        factory: `factory(num_tasks, **options)` returns an optax transformation whose `update`
            takes leaves `[K, ...]` and returns leaves `[...]`.
        family: `loss` needs the losses alone, `gramian` the inner products of the task gradients,
            `gradient` the task gradients themselves.
    """

    factory: Callable[..., optax.GradientTransformationExtraArgs]
    family: Literal["loss", "gramian", "gradient"]

    def __call__(self, num_tasks: int, **options) -> optax.GradientTransformationExtraArgs:
        return self.factory(num_tasks, **options)


def check_num_tasks(num_tasks: int) -> None:
    """Raises ValueError unless `num_tasks` is a positive integer."""
    if not isinstance(num_tasks, int) or isinstance(num_tasks, bool) or num_tasks < 1:
        raise ValueError(f"`num_tasks` must be a positive integer; got {num_tasks!r}")


def weighted_sum(task_grads: PyTree, weights: Float[Array, " K"]) -> PyTree:
    """sum_k w_k g_k of leaves `[K, ...]`: summed in float32 at least, returned in their own type.

    Raises:
        ValueError: a leaf has no leading task axis of length K.
    """

    def combine(leaf: Array) -> Array:
        if leaf.ndim == 0 or leaf.shape[0] != weights.shape[0]:
            raise ValueError(
                f"`task_grads` must have a leading task axis of length {weights.shape[0]}; "
                f"got a leaf of shape {leaf.shape}"
            )
        dtype = jnp.promote_types(leaf.dtype, jnp.float32)
        total = jnp.tensordot(
            weights.astype(dtype), leaf.astype(dtype), axes=1, precision="highest"
        )
        return total.astype(leaf.dtype)

    return jax.tree.map(combine, task_grads)
