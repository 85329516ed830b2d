"""COSMOS: weighted sum of the losses, kept near the ray of the weights (arXiv 2103.13392)."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from maskformer_jax.weighting._combine import (
    WeightsState,
    check_not_negative,
    check_num_tasks,
    check_shares,
    from_losses,
    ones_state,
)

# Below this length losses have no direction.
SHORTEST = 1e-12


def cosmos_weights(
    losses: Float[Array, " K"],
    state: WeightsState,
    *,
    lam: float,
    ray: Sequence[float],
    **extra,
) -> tuple[Float[Array, " K"], WeightsState]:
    """w = r - lam d cos(r, L)/dL."""
    del state, extra
    r = jnp.asarray(ray, losses.dtype)
    length = jnp.linalg.norm(losses)
    has_direction = length > SHORTEST
    per_length = jnp.where(has_direction, 1.0 / jnp.where(has_direction, length, 1.0), 0.0)
    unit_r, unit_losses = r / jnp.linalg.norm(r), losses * per_length
    across = unit_r - jnp.sum(unit_r * unit_losses) * unit_losses
    values = r - lam * across * per_length
    return values, WeightsState(values.astype(jnp.float32))


def cosmos(
    num_tasks: int, *, lam: float, weights: Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
    """Weighted sum of the losses less lam times the cosine between losses and weights.

    S = r.L - lam cos(r, L), so w = r - lam (r/(|r| |L|) - (r.L) L/(|r| |L|^3)): the second term
    turns the losses towards the ray r and vanishes on it. Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        lam: not negative; 0 is the weighted sum alone, a large one counts the direction most.
        weights: r, not negative and not all zero; none: 1/K for all tasks.

    Returns:
        A transformation that takes task gradients `[K, ...]` and returns `sum_k w_k g_k`. Family
        `loss`: its `update` requires `losses`.

    State:
        The last weights. Losses whose length is below 1e-12 have no direction: then w = r.

    Raises:
        ValueError: `num_tasks` is not positive, or an option breaks its rule.

    Laws: linear in the gradients; equivariant when tasks and weights are permuted together.

    Differs from the paper: r is fixed, where the paper draws it anew at each step and gives it to
    the model as an input.

    Source: Ruchte and Grabocka, Scalable Pareto Front Approximation, arXiv 2103.13392.
    """
    check_num_tasks(num_tasks)
    check_not_negative("lam", lam)
    given = [1.0 / num_tasks] * num_tasks if weights is None else weights
    ray = check_shares(num_tasks, "weights", given)
    scalarisation = partial(cosmos_weights, lam=lam, ray=ray)
    return from_losses("cosmos", num_tasks, ones_state(num_tasks), scalarisation)
