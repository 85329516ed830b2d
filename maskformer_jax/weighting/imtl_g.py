"""Impartial learning on gradients: the update with equal projections on all of them (ICLR 2021)."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting._combine import (
    WeightsState,
    check_num_tasks,
    check_preference,
    ones_state,
)
from maskformer_jax.weighting._gramian import (
    Gramian,
    GramianTransformation,
    cosines,
    from_gramian,
    norms,
    pseudo_solve,
    reciprocal,
)


def weights(
    gramian: Gramian,
    state: WeightsState,
    losses: Float[Array, " K"] | None = None,
    *,
    preference: Sequence[float],
) -> tuple[Float[Array, " K"], WeightsState]:
    """Weights with sum 1 whose update has projections proportional to `preference` (Eq. 7).

    Solved for unit gradients and scaled back, which is exact and does not depend on their lengths.
    """
    del state, losses
    unit = pseudo_solve(cosines(gramian), jnp.asarray(preference, gramian.dtype))
    values = unit * reciprocal(norms(gramian))
    total, size = values.sum(), jnp.abs(values).sum()
    # Weights of both signs may cancel; their sum is then rounding, and no direction is left.
    meaningful = jnp.abs(total) > 1e-6 * size
    values = jnp.where(meaningful, values / jnp.where(meaningful, total, 1.0), 0.0)
    return values, WeightsState(values.astype(jnp.float32))


def imtl_g(num_tasks: int, *, preference: Sequence[float] | None = None) -> GramianTransformation:
    """The combination of gradients that has the same projection on each of them.

    w = M^+ d / (1^T M^+ d) with the Gramian M = G G^T and the lengths d = sqrt(diag M), so that
    u.g_k/|g_k| is the same for all k and the weights add up to 1. Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        preference: positive relative sizes of the projections; none: all the same.

    Returns:
        A transformation of family `gramian`: task gradients `[K, ...]` in, `sum_k w_k g_k` out.

    State:
        The last weights.

    Raises:
        ValueError: `num_tasks` is not positive, or `preference` breaks its rule.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients. Where the weights add up to nothing the update is zero.

    Differs from the paper: `preference`; the pseudo-inverse, where the paper's inverse need not
    exist; and the gradients are those with respect to parameters, not to the shared representation.

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, Eq. 6 and 7.
    """
    check_num_tasks(num_tasks)
    sizes = check_preference(num_tasks, preference)

    return from_gramian(num_tasks, ones_state(num_tasks), partial(weights, preference=sizes))
