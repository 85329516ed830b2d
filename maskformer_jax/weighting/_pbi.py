"""Penalty-based boundary intersection: along a ray, and not away from it (Zhang and Li 2007)."""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gramian import reciprocal
from maskformer_jax.weighting._losses import Given, Weighting, from_losses, plain
from maskformer_jax.weighting._method import method

# Rounds off the length |p| at 0: sqrt(|p|^2 + EPS) has a derivative there.
EPS = 1e-12


def pbi_weights(
    losses: Float[Array, " K"], given: Given, *, theta: Number, ray: Values, reference: Values
) -> Float[Array, " K"]:
    """w = q + theta p/sqrt(|p|^2 + EPS), p being the part of L - z across the unit ray q."""
    ray = jnp.asarray(ray, losses.dtype)
    distance = losses - jnp.asarray(reference, losses.dtype)
    ray, distance = jnp.where(given.active, jnp.stack([ray, distance]), 0.0)
    # None of the active tasks may be on the ray.
    q = ray * reciprocal(jnp.linalg.norm(ray))
    across = distance - jnp.sum(distance * q) * q
    return q + theta * across / jnp.sqrt(jnp.sum(across**2) + EPS)


@method("loss", weights_follow_losses=True, per_loss={"weights": "values", "reference": "values"})
def pbi(
    num_tasks: int,
    *,
    theta: Number = 5.0,
    weights: Values | None = None,
    reference: Values | Number = 0.0,
) -> Weighting:
    """How far the losses are along a ray, plus theta times how far they are from it.

    With q = r/|r| and f = L - z: S = d_1 + theta |p|, d_1 = f.q, p = f - d_1 q, so
    w = q + theta p/|p|. Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        theta: not negative; 0 is a weighted sum, a large one goes to the ray first.
        weights: the ray r, not negative and not all zero; none: 1/K for all tasks. A larger value
            leaves its task a larger loss.
        reference: ideal losses z, where the ray starts; one number or one per task.

    Laws: linear in the gradients; equivariant when tasks and options are permuted together.

    Differs from the paper: sqrt(|p|^2 + 1e-12) for |p|, whose derivative exists on the ray.

    Source: Zhang and Li, MOEA/D, IEEE Trans. Evol. Comput. 11 (2007) 712, section on boundary
    intersection.
    """
    theta = check.not_negative("theta", theta)
    ray = check.ray(num_tasks, weights)
    origin = check.number_or_values(num_tasks, "reference", reference)
    how = {"theta": theta, "ray": ray, "reference": origin}
    step = plain(num_tasks, partial(pbi_weights, **how))
    return from_losses("pbi", num_tasks, *step)
