"""Dual balancing: gradients of log losses, all brought to the largest length (arXiv 2308.12029)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting import _rows
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._losses import Given, Weighting, ones
from maskformer_jax.weighting._method import method

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


@method("gradient")
def db_mtl(
    num_tasks: int,
    *,
    beta: Number = 0.9,
    sigma: Number = 0.0,
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """The sum of averaged log-loss gradients, each stretched to the length of the longest.

    h_k = g_k/(L_k + 1e-8) is the gradient of log L_k; b = beta/t^sigma, t from 1;
    m_k = h_k + b (m_k - h_k) from m_k = 0; the update is
    sum_k p_k (max_j |m_j| / (|m_k| + 1e-8)) m_k.

    Args:
        num_tasks: number of tasks K.
        beta: memory of the average, from 0 (none) to below 1.
        sigma: not negative; how fast the memory fades with the steps, 0: never.
        preference: positive factors p_k of the stretched gradients; none: ones.

    Raises:
        ValueError: `losses` are missing or negative.

    Laws: equivariant under permutations of the tasks.

    Differs from the paper: `preference`. The average starts at 0 and is not corrected for that, as
    in LibMTL, whose defaults these are: with beta 0.9 the first update is a tenth of the gradient's
    length. A parameter that one task alone reaches gets that task's g_k/(L_k + 1e-8).

    Source: Lin et al., Dual-Balancing for Multi-Task Learning, arXiv 2308.12029, Algorithm 1.
    """
    beta = check.below_one("beta", beta)
    sigma = check.not_negative("sigma", sigma)
    factors = check.preference(num_tasks, preference)

    def initial(params: PyTree) -> DBMTLState:
        averages, step = _rows.zero_rows(num_tasks, params), jnp.zeros((), jnp.int32)
        return DBMTLState(ones(num_tasks), averages, step)

    def combine(task_grads: PyTree, state: DBMTLState, given: Given) -> tuple[PyTree, DBMTLState]:
        losses = check.losses("db_mtl", num_tasks, given.losses, lowest=0.0)
        step = state.step + 1
        memory = beta / step.astype(jnp.float32) ** sigma
        log_grads = _rows.scale_rows(task_grads, 1.0 / (losses + EPS))
        averages = _rows.move_average(state.averages, log_grads, 1.0 - memory)
        lengths = _rows.row_norms(averages)
        largest = lengths.max(where=given.active, initial=0.0)
        weights = jnp.asarray(factors, lengths.dtype) * largest / (lengths + EPS)
        weights = jnp.where(given.active, weights, 0.0)
        return _rows.weighted_sum(averages, weights), DBMTLState(weights, averages, step)

    return from_gradients(num_tasks, initial, combine, own=own_inverse_loss, **options)
