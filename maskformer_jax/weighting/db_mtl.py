"""Dual balancing: gradients of log losses, all brought to the largest length (arXiv 2308.12029)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.weighting._combine import (
    check_losses,
    check_not_negative,
    check_num_tasks,
    check_option,
    check_preference,
    check_rows,
    is_number,
    weighted_sum,
)
from maskformer_jax.weighting._rows import (
    cast_like,
    move_average,
    row_norms,
    scale_rows,
    zero_rows,
)

EPS = 1e-8


class DBMTLState(NamedTuple):
    """State of dual balancing.

    Attributes:
        weights: the last factors of the averages m_k.
        averages: m_k, leaves `[K, ...]`.
        step: updates so far.
    """

    weights: Float[Array, " K"]
    averages: PyTree
    step: Int[Array, ""]


def own_inverse_loss(
    weights: Float[Array, " K"], state: PyTree, losses: Float[Array, " K"]
) -> Float[Array, " K"]:
    """A parameter that one task alone reaches gets the gradient of that task's log loss."""
    del weights, state
    return 1.0 / (losses + EPS)


def db_mtl(
    num_tasks: int,
    *,
    beta: float = 0.9,
    sigma: float = 0.0,
    preference: Sequence[float] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The sum of averaged log-loss gradients, each stretched to the length of the longest.

    h_k = g_k/(L_k + 1e-8) is the gradient of log L_k; b = beta/t^sigma, t from 1;
    m_k = h_k + b (m_k - h_k) from m_k = 0; the update is
    sum_k p_k (max_j |m_j| / (|m_k| + 1e-8)) m_k.

    Args:
        num_tasks: number of tasks K.
        beta: memory of the average, from 0 (none) to below 1.
        sigma: not negative; how fast the memory fades with the steps, 0: never.
        preference: positive factors p_k of the stretched gradients; none: ones.

    Returns:
        A transformation whose `update` requires `losses`, not negative. Family `gradient`.

    State:
        The last factors of m_k; m_k for every task and parameter; the number of updates.

    Raises:
        ValueError: an option breaks its rule, or `losses` are missing or negative.

    Laws: equivariant under permutations of the tasks.

    Differs from the paper: `preference`. The average starts at 0 and is not corrected for that, as
    in LibMTL, whose defaults these are: with beta 0.9 the first update is a tenth of the gradient's
    length. A parameter that one task alone reaches gets that task's g_k/(L_k + 1e-8).

    Source: Lin et al., Dual-Balancing for Multi-Task Learning, arXiv 2308.12029, Algorithm 1.
    """
    check_num_tasks(num_tasks)
    in_range = is_number(beta) and 0 <= beta < 1
    check_option(in_range, "beta", "be a number from 0 to below 1", beta)
    check_not_negative("sigma", sigma)
    factors = check_preference(num_tasks, preference)

    def init(params: PyTree) -> DBMTLState:
        return DBMTLState(
            weights=jnp.ones(num_tasks, jnp.float32),
            averages=zero_rows(num_tasks, params),
            step=jnp.zeros((), jnp.int32),
        )

    def update(
        task_grads: PyTree,
        state: DBMTLState,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        **extra,
    ) -> tuple[PyTree, DBMTLState]:
        del params, extra
        check_rows(num_tasks, task_grads)
        losses = check_losses("db_mtl", num_tasks, losses, lowest=0.0)
        step = state.step + 1
        memory = beta / step.astype(jnp.float32) ** sigma
        log_grads = scale_rows(task_grads, 1.0 / (losses + EPS))
        averages = move_average(state.averages, log_grads, 1.0 - memory)
        lengths = row_norms(averages)
        weights = jnp.asarray(factors, lengths.dtype) * lengths.max() / (lengths + EPS)
        update = cast_like(weighted_sum(averages, weights), task_grads)
        return update, DBMTLState(weights.astype(jnp.float32), averages, step)

    return optax.GradientTransformationExtraArgs(init, update)
