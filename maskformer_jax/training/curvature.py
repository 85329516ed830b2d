"""Curvature of the total loss along an update, in the direction of its gradient (Eq. 3.6)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.gradients import Parts, SumsOf, micro_batches


def along_update(
    sums_of: SumsOf,
    before: PyTree,
    after: PyTree,
    weights: Float[Array, " K"],
    gradients: PyTree,
    parts: Parts,
    *,
    points: int,
) -> dict[str, Array]:
    """Curvature of L = sum_k w_k L_k, averaged over the way from `before` to `after`.

    H(L; theta, theta') = integral over a in [0, 1] of g . H(theta + a (theta' - theta)) g with
    g the gradient of L at theta. High values mean that a step along g promises more than it keeps.
    Each point costs one Hessian-vector product, forward over reverse. The matching of queries to
    hadrons is found anew at every point; within a loss it is constant.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        before: parameters theta, at which the gradients are taken.
        after: parameters theta'.
        weights: of the losses, for all parameters.
        gradients: of the losses, leaves `[K, ...]`.
        parts: the batch.
        points: of the trapezoid rule, at least 2.

    Returns:
        `along`, g . H g at evenly spaced points `[P]`, the two ends included; `mean`, their
        integral by the trapezoid rule, H(L; before, after) of Eq. 3.6; `in_direction`, `mean`
        divided by g . g, the mean curvature in the direction of g.

    Source: Yu et al. 2020, arXiv 2001.06782, Definition 3.
    """
    gradient = jax.tree.map(lambda x: jnp.tensordot(weights.astype(x.dtype), x, 1), gradients)
    way = optax.tree.sub(after, before)
    counts_of_batch = micro_batches.counts_before(sums_of, before, parts)

    def at(fraction: Float[Array, ""]) -> Float[Array, ""]:
        point = optax.tree.add_scale(before, fraction, way)

        def of_part(part: PyTree) -> Float[Array, ""]:
            def loss(length: Float[Array, ""]) -> Float[Array, ""]:
                params = optax.tree.add_scale(point, length, gradient)
                sums = micro_batches.stacked_of(sums_of, params)(part)
                slopes = micro_batches.cotangents(counts_of_batch(sums.count))
                return (weights * slopes * sums.total).sum()

            zero = jnp.zeros_like(fraction)
            return jax.jvp(jax.grad(loss), (zero,), (zero + 1,))[1]

        return micro_batches.add_up(of_part, parts)

    along = jax.lax.map(at, jnp.linspace(0.0, 1.0, points))
    mean = jnp.trapezoid(along, dx=1 / (points - 1))
    in_direction = mean / optax.tree.vdot(gradient, gradient)
    return {"mean": mean, "along": along, "in_direction": in_direction}
