"""Trimmed mean: the mean of each entry's gradients without the extremes (ICML 2018)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import (
    WeightsState,
    check_num_tasks,
    check_option,
    check_rows,
    sum_dtype,
)


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


def trimmed_mean(num_tasks: int, *, trim: int) -> optax.GradientTransformationExtraArgs:
    """For each entry of the parameters the mean of the gradients between the extremes.

    With the K values of an entry in order, the b smallest and b largest are dropped and the rest
    averaged, so that b tasks alone, whatever their gradients, cannot carry the update away.

    Args:
        num_tasks: number of tasks K, at least 2 b + 1.
        trim: b, an integer of at least 0. 0: the mean; (K - 1)/2: the median.

    Returns:
        A transformation: task gradients `[K, ...]` in, their trimmed mean out. Family `gradient`.

    State:
        Weights of 1/K, which never change: which task counts differs from entry to entry.

    Raises:
        ValueError: `num_tasks` is not positive, or `trim` breaks its rule.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor.

    Differs from the paper: the rows are tasks, where the paper's are machines that compute the
    same gradient, some of which are faulty.

    Source: Yin et al., Byzantine-Robust Distributed Learning, ICML 2018, arXiv 1803.01498,
    Definition 2.
    """
    check_num_tasks(num_tasks)
    is_count = isinstance(trim, int) and not isinstance(trim, bool) and trim >= 0
    rule = f"be an integer of at least 0 with 2 `trim` + 1 <= {num_tasks}, the number of tasks"
    check_option(is_count and 2 * trim + 1 <= num_tasks, "trim", rule, trim)

    def init(params: PyTree) -> WeightsState:
        del params
        return WeightsState(jnp.full(num_tasks, 1.0 / num_tasks, jnp.float32))

    def combine(leaf: Float[Array, "K ..."]) -> Float[Array, "..."]:
        rows = in_order(leaf.astype(sum_dtype(leaf.dtype)))
        total = sum(rows[trim : num_tasks - trim])
        return (total / (num_tasks - 2 * trim)).astype(leaf.dtype)

    def update(
        task_grads: PyTree, state: WeightsState, params: PyTree | None = None, **extra
    ) -> tuple[PyTree, WeightsState]:
        del params, extra
        check_rows(num_tasks, task_grads)
        return jax.tree.map(combine, task_grads), state

    return optax.GradientTransformationExtraArgs(init, update)
