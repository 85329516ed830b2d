"""GradDrop: of the gradients of an entry those of one sign, which is drawn (arXiv 2010.06808)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, UInt32

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Seed, Values
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._losses import Weighting, ones
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import sum_dtype


class GradDropState(NamedTuple):
    """State of GradDrop.

    Attributes:
        weights: ones; tasks have no weights of their own here.
        key: random key of the next update.
    """

    weights: Float[Array, " K"]
    key: UInt32[Array, "2"]


def drop_signs(grads: Float[Array, "K ..."], leak: Values, key: Array) -> Array:
    """Sum over tasks of the gradients that survive, for one leaf.

    Task by task: a compiled sum over a short leading axis is slow on CPU.
    """
    rows = list(grads.astype(sum_dtype(grads.dtype)))
    gains, falls = ([limit(row, 0.0) for row in rows] for limit in (jnp.maximum, jnp.minimum))
    size = sum(gains) - sum(falls)
    purity = sum(gains) / jnp.where(size > 0, size, 1.0)
    # Never 0, as never 1: an entry on whose sign all tasks agree is always kept.
    lowest = jnp.finfo(jnp.float32).tiny
    draw = jax.random.uniform(key, size.shape, jnp.float32, minval=lowest)
    passing = sum(part * row for part, row in zip(leak, rows, strict=True))
    up, down = (
        sum((1.0 - part) * row for part, row in zip(leak, side, strict=True))
        for side in (gains, falls)
    )
    kept = jnp.where(purity > draw, up, jnp.where(purity < draw, down, 0.0))
    return (passing + kept).astype(grads.dtype)


@method("gradient", per_loss={"leak": "values"})
def graddrop(
    num_tasks: int, *, leak: Number | Values = 0.0, seed: Seed = 0, **options: Any
) -> Weighting:
    """For each entry of the parameters the sum of the gradients of one sign, which is drawn.

    With the positive sign purity P = (1 + sum_k g_k / sum_k |g_k|) / 2 of an entry and one U from
    (0, 1) that all tasks share, g_k is kept if P > U and g_k > 0, or P < U and g_k < 0; the update
    is sum_k (leak_k + (1 - leak_k) keep_k) g_k. With one leak for all tasks its expectation is the
    plain sum.

    Args:
        num_tasks: number of tasks K.
        leak: from 0 to 1, one number or one per task: the part of a gradient that always passes.
            0 is full dropping, 1 the plain sum.
        seed: of the draws, from 0 to 2^32 - 1, or a key.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor.

    Differs from the paper: acts on the gradients with respect to parameters, where the paper masks
    those with respect to a shared representation, multiplied by its sign and summed over the batch.

    Source: Chen et al., Just Pick a Sign, arXiv 2010.06808, Section 3 and Algorithm 1.
    """
    leaks = check.number_or_values(num_tasks, "leak", leak)
    fits = check.is_traced(leaks) or (min(leaks) >= 0 and max(leaks) <= 1)
    check.option(fits, "leak", "lie between 0 and 1", leak)
    key = check.key(seed)

    def combine(task_grads: PyTree, state: GradDropState, *_) -> tuple[PyTree, GradDropState]:
        leaves, structure = jax.tree.flatten(task_grads)
        following, *keys = jax.random.split(state.key, len(leaves) + 1)
        sums = [drop_signs(leaf, leaks, k) for leaf, k in zip(leaves, keys, strict=True)]
        return jax.tree.unflatten(structure, sums), state._replace(key=following)

    return from_gradients(
        num_tasks, lambda _: GradDropState(ones(num_tasks), key), combine, **options
    )
