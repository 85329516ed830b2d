"""Curvature of the total loss along an update, in the direction of its gradient (Eq. 3.6)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.gradients import Parts, SumsOf, micro_batches


class Curvature(NamedTuple):
    """Second derivatives along a gradient g on the way from one point to the next.

    Attributes:
        along: g . H g at evenly spaced points, the two ends included.
        mean: their integral by the trapezoid rule, H(L; before, after) of Eq. 3.6.
        squared_norm: g . g; `mean` divided by it is the mean curvature in the direction of g.
    """

    along: Float[Array, " P"]
    mean: Float[Array, ""]
    squared_norm: Float[Array, ""]


def along_update(
    sums_of: SumsOf,
    before: PyTree,
    after: PyTree,
    weights: Float[Array, " K"],
    parts: Parts,
    *,
    points: int,
) -> Curvature:
    """Curvature of L = sum_k w_k L_k, averaged over the way from `before` to `after`.

    H(L; theta, theta') = integral over a in [0, 1] of g . H(theta + a (theta' - theta)) g with
    g the gradient of L at theta. High values mean that a step along g promises more than it keeps.
    Each point costs one Hessian-vector product, forward over reverse. The matching of queries to
    hadrons is found anew at every point; within a loss it is constant.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        before: parameters theta, at which the gradient is taken.
        after: parameters theta'.
        weights: of the losses, for all parameters.
        parts: the batch.
        points: of the trapezoid rule, at least 2.

    Source: Yu et al. 2020, arXiv 2001.06782, Definition 3.
    """
    gradient_of, times_hessian = _derivatives(sums_of, before, weights, parts)
    gradient = gradient_of(before)

    def at(fraction: Float[Array, ""]) -> Float[Array, ""]:
        between = jax.tree.map(lambda x, y: x + fraction.astype(x.dtype) * (y - x), before, after)
        return optax.tree.vdot(gradient, times_hessian(between, gradient))

    along = jax.lax.map(at, jnp.linspace(0.0, 1.0, points))
    mean = jnp.trapezoid(along, dx=1 / (points - 1))
    return Curvature(along, mean, optax.tree.vdot(gradient, gradient))


def _derivatives(
    sums_of: SumsOf, params: PyTree, weights: Float[Array, " K"], parts: Parts
) -> tuple[Callable[[PyTree], PyTree], Callable[[PyTree, PyTree], PyTree]]:
    """Gradient of the total loss, and its Hessian times a vector, at any parameters."""
    counts_of_batch = micro_batches.counts_before(sums_of, params, parts)

    def gradient_of_part(params: PyTree, part: PyTree) -> PyTree:
        def loss(params: PyTree) -> Float[Array, ""]:
            sums = micro_batches.stacked_of(sums_of, params)(part)
            slopes = micro_batches.cotangents(counts_of_batch(sums.count))
            return (weights * slopes * sums.total).sum()

        return jax.grad(loss)(params)

    def gradient_of(params: PyTree) -> PyTree:
        return micro_batches.add_up(lambda part: gradient_of_part(params, part), parts)

    def times_hessian(params: PyTree, vector: PyTree) -> PyTree:
        def of_part(part: PyTree) -> PyTree:
            return jax.jvp(lambda p: gradient_of_part(p, part), (params,), (vector,))[1]

        return micro_batches.add_up(of_part, parts)

    return gradient_of, times_hessian
