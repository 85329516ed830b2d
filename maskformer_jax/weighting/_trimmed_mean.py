"""Trimmed mean: the mean of each entry's gradients without the extremes (ICML 2018)."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._losses import Weighting, WeightsState, equal_weights
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import wide

# Unrolled for more rows, the exchanges take long to compile.
UNROLLED = 16


def without_extremes(
    values: Float[Array, "K ..."], trim: int
) -> Float[Array, "kept ..."] | list[Float[Array, "..."]]:
    """The K values of every entry without the `trim` smallest and largest."""
    number = len(values)
    if number <= UNROLLED:
        return in_order(values)[trim : number - trim]

    def exchange(_, rows: Array) -> Array:
        """Neighbours from the first and from the second row on."""
        for first in (0, 1):
            last = first + 2 * ((number - first) // 2)
            a, b = rows[first:last:2], rows[first + 1 : last : 2]
            pairs = jnp.stack([jnp.minimum(a, b), jnp.maximum(a, b)], axis=1)
            pairs = pairs.reshape(last - first, *rows.shape[1:])
            rows = jnp.concatenate([rows[:first], pairs, rows[last:]])
        return rows

    return jax.lax.fori_loop(0, (number + 1) // 2, exchange, values)[trim : number - trim]


def in_order(values: Float[Array, "K ..."]) -> list[Float[Array, "..."]]:
    """The K values of every entry from the smallest to the largest.

    By exchanging neighbours in K rounds, all entries at once: on CPU some 70 times as fast as a
    compiled sort of so short an axis.
    """
    rows = list(values)
    for number in range(len(rows)):
        for i in range(number % 2, len(rows) - 1, 2):
            smaller, larger = jnp.minimum(rows[i], rows[i + 1]), jnp.maximum(rows[i], rows[i + 1])
            rows[i], rows[i + 1] = smaller, larger
    return rows


@method("gradient", without=("preference",))
def trimmed_mean(num_tasks: int, *, trim: int, **options: Any) -> Weighting:
    """For each entry of the parameters the mean of the gradients between the extremes.

    With the K values of an entry in order, the b smallest and b largest are dropped and the rest
    averaged, so that b tasks alone, whatever their gradients, cannot carry the update away.

    Args:
        num_tasks: number of tasks K, at least 2 b + 1.
        trim: b, an integer of at least 0. 0: the mean; (K - 1)/2: the median.

    State:
        Weights of 1/K, which never change: which task counts differs from entry to entry.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor.

    Differs from the paper: the rows are tasks, where the paper's are machines that compute the
    same gradient, some of which are faulty.

    Source: Yin et al., Byzantine-Robust Distributed Learning, ICML 2018, arXiv 1803.01498,
    Definition 2.
    """
    rule = f"be an integer of at least 0 with 2 `trim` + 1 <= {num_tasks}, the number of tasks"
    found = check.index(trim)
    fits = found is not None and found >= 0 and 2 * found + 1 <= num_tasks
    check.option(fits, "trim", rule, trim)
    trim = found

    def combine(task_grads: PyTree, state: WeightsState, *_) -> tuple[PyTree, WeightsState]:
        def mean(leaf: Float[Array, "K ..."]) -> Float[Array, "..."]:
            total = sum(without_extremes(leaf, trim))
            return total / (num_tasks - 2 * trim)

        return jax.tree.map(mean, wide(task_grads)), state

    return from_gradients(num_tasks, equal_weights(num_tasks), combine, some=False, **options)
