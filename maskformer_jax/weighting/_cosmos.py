"""COSMOS: weighted sum of the losses, kept near the ray of the weights (arXiv 2103.13392)."""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._losses import Given, Weighting, from_losses, plain
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import active_share

# Below this length losses have no direction.
SHORTEST = 1e-12


def cosmos_weights(
    losses: Float[Array, " K"], given: Given, *, lam: Number, ray: Values, mean: bool
) -> Float[Array, " K"]:
    """w = r - lam d cos(r, L)/dL."""
    r = jnp.asarray(ray, losses.dtype)
    r, losses = jnp.where(given.active, jnp.stack([r, losses]), 0.0)
    r = r * active_share(given.active) if mean else r
    length = jnp.linalg.norm(losses)
    has_direction = length > SHORTEST
    per_length = jnp.where(has_direction, 1.0 / jnp.where(has_direction, length, 1.0), 0.0)
    unit_r, unit_losses = r / jnp.linalg.norm(r), losses * per_length
    across = unit_r - jnp.sum(unit_r * unit_losses) * unit_losses
    return r - lam * across * per_length


@method("loss", weights_follow_losses=True, per_loss={"weights": "values"})
def cosmos(num_tasks: int, *, lam: Number, weights: Values | None = None) -> Weighting:
    """Weighted sum of the losses less lam times the cosine between losses and weights.

    S = r.L - lam cos(r, L), so w = r - lam (r/(|r| |L|) - (r.L) L/(|r| |L|^3)): the second term
    turns the losses towards the ray r and vanishes on it. Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        lam: not negative; 0 is the weighted sum alone, a large one counts the direction most.
        weights: r, not negative and not all zero; none: 1/K for all tasks.

    State:
        The last weights. Losses whose length is below 1e-12 have no direction: then w = r.

    Laws: linear in the gradients; equivariant when tasks and weights are permuted together.

    Differs from the paper: r is fixed, where the paper draws it anew at each step and gives it to
    the model as an input.

    Source: Ruchte and Grabocka, Scalable Pareto Front Approximation, arXiv 2103.13392.
    """
    lam = check.not_negative("lam", lam)
    ray = check.ray(num_tasks, weights)
    how = {"lam": lam, "ray": ray, "mean": weights is None}
    step = plain(num_tasks, partial(cosmos_weights, **how))
    return from_losses("cosmos", num_tasks, *step)
