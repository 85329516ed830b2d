"""CAGrad: the mean gradient, corrected for the task that it serves worst (arXiv 2110.14048)."""

from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, dot, length, reciprocal, split
from maskformer_jax.weighting._losses import Given, Weighting, solved
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._solvers import cone

RESCALE = {"none": lambda c: 1.0, "1+c2": lambda c: 1.0 + c**2, "1+c": lambda c: 1.0 + c}


def weights(
    gramian: Gramian, given: Given, *, c: Number, factor: Number, preference: Values
) -> tuple[Vector, Float[Array, ""]]:
    """(p_k/K + sqrt(phi) u / |g_u|) / r with the u of the paper's dual problem (Eq. 4).

    In units of |g_0| and of the lengths of the gradients it reads: z >= 0 with |sum z_k g_k/|g_k||
    = c, such that the smallest g_k.d/p_k of the update d is as large as possible.
    """
    mean = jnp.asarray(preference, gramian.dtype) / len(gramian)
    if not check.is_traced(c) and c == 0:
        return mean / factor, jnp.zeros(())
    extra, residual = _towards_the_worst(gramian, c, mean, given.active)
    # A radius that is traced may be zero too.
    return (mean + jnp.where(c > 0, extra, 0.0)) / factor, jnp.where(c > 0, residual, 0.0)


def _towards_the_worst(
    gramian: Gramian, c: Number, mean: Vector, active: Bool[Array, " K"]
) -> tuple[Vector, Float[Array, ""]]:
    """sqrt(phi) u / |g_u|, and the residual of the solver."""
    unit = split(gramian)
    start = unit.lengths * mean
    size = length(unit, start)
    wanted = mean * reciprocal(unit.lengths)
    bounds = wanted * reciprocal(jnp.max(wanted))
    radius = jnp.maximum(jnp.asarray(c, size.dtype), 1e-6)
    found = cone(unit, start * reciprocal(size), bounds, radius, unit.present)

    # |g_u| over the longest gradient; u has sum 1.
    z = found.values
    product = dot(z, dot(unit.cosines, z))
    inverse = reciprocal(unit.lengths)
    shortest = jnp.sqrt(jnp.maximum(product, 0.0)) * reciprocal(jnp.sum(z * inverse))
    trace = jnp.sqrt(jnp.sum(unit.lengths**2))
    # With a gradient of zero u may sit there, at the value 0.
    there = (active & ~unit.present).any() & (found.level >= 0)
    dropped = (shortest <= 1e-6 * trace) | there
    return jnp.where(dropped, 0.0, z * size * inverse), jnp.where(dropped, 0.0, found.residual)


@method("gramian")
def cagrad(
    num_tasks: int,
    *,
    c: Number = 0.5,
    rescale: Literal["none", "1+c2", "1+c"] = "none",
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """The mean gradient g_0, corrected in favour of the task that it serves worst.

    Of all d with |d - g_0| <= c |g_0| the one whose smallest product with a task gradient is
    largest: d = g_0 + sqrt(phi) g_u / |g_u| with phi = c^2 |g_0|^2, g_u = sum_k u_k g_k and
    u = argmin g_u.g_0 + sqrt(phi) |g_u| over the simplex. The update is d / r. With a preference p
    g_0 is sum_k p_k g_k / K, and g_k.d / p_k counts in place of g_k.d.

    Args:
        num_tasks: number of tasks K.
        c: radius of the ball, not negative: 0 gives the mean; below 1 the mean loss goes down; the
            larger, the closer to the direction of MGDA.
        rescale: r = 1 (`none`), 1 + c^2 (`1+c2`) or 1 + c (`1+c`).
        preference: p, positive; none: ones.

    The weights are w_k = (p_k/K + sqrt(phi) u_k / |g_u|) / r; that of a single task is (1 + c) / r.

    State:
        The last weights, and `residual`: the largest relative violation of the conditions for a
        minimum, the same g_k.d where u_k > 0 and no smaller one elsewhere.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients. Not invariant under factors of single gradients: g_0 is their plain mean.

    Differs from the paper: an active set finds the exact u, and where |g_u| is at most 1e-6 sqrt(tr
    M) the second term, which has no direction then, is dropped. LibMTL divides by 1 + c^2.

    Source: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, Algorithm 1,
    arXiv 2110.14048.
    """
    c = check.not_negative("c", c, "be a number that is not negative")
    check.one_of("rescale", rescale, tuple(RESCALE))
    sizes = check.preference(num_tasks, preference)
    how = {"c": c, "factor": RESCALE[rescale](c), "preference": sizes}
    return from_gramian(
        num_tasks, *solved(num_tasks, partial(weights, **how)), mean=True, **options
    )
