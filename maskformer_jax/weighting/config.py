"""Conflict-free update: the same cosine with every task gradient (ConFIG, arXiv 2408.11104)."""

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
    """w = v (1^T M v)/(v^T M v) with v = D^-1 C^+ p, lengths D and cosines C.

    All products are those of gradients of length 1, so that M may have any size.
    """
    del state, losses
    wanted = jnp.asarray(preference, gramian.dtype)
    unit, lengths = cosines(gramian), norms(gramian)
    values = pseudo_solve(unit, wanted)
    found = (unit * values).sum(1)
    # Where the gradients cancel in every direction that was wanted, rounding is left.
    meaningful = jnp.linalg.norm(found) > 1e-6 * jnp.linalg.norm(wanted)
    squared = jnp.where(meaningful, (values * found).sum(), 1.0)
    # |sum of the projections| of the gradients, over the length of each: w is v times v's share.
    longest = lengths.max()
    total = (lengths * reciprocal(longest) * found).sum() / squared
    values = jnp.where(meaningful, values * total * (longest * reciprocal(lengths)), 0.0)
    return values, WeightsState(values.astype(jnp.float32))


def config(num_tasks: int, *, preference: Sequence[float] | None = None) -> GramianTransformation:
    """The direction with the same cosine with every task gradient, as long as they agree with it.

    The direction is d = G_u^+ p, with the pseudo-inverse of the gradients of length 1, and the
    update is d/|d| times the sum of the projections g_k.d/|d|. In terms of the Gramian M = D C D:
    v = D^-1 C^+ p, w = v (1^T M v)/(v^T M v). Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        preference: positive relative sizes p of the cosines; none: all the same.

    Returns:
        A transformation of family `gramian`: task gradients `[K, ...]` in, `sum_k w_k g_k` out. A
        gradient of length zero has weight 0.

    State:
        The last weights.

    Raises:
        ValueError: `num_tasks` is not positive, or `preference` breaks its rule.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients; the update goes up for no task, where the gradients are linearly independent.

    Differs from the paper: nothing; `preference` is the vector that the paper sets to ones.

    Source: Liu et al., arXiv 2408.11104, Section 3.
    """
    check_num_tasks(num_tasks)
    sizes = check_preference(num_tasks, preference)

    return from_gramian(num_tasks, ones_state(num_tasks), partial(weights, preference=sizes))
