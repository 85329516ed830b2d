"""CAGrad: the mean gradient, corrected for the task that it serves worst (arXiv 2110.14048)."""

from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, dot, reciprocal, split
from maskformer_jax.weighting._losses import Weighting
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._solvers import cone, solved

RESCALE = {"none": lambda c: 1.0, "1+c2": lambda c: 1.0 + c**2, "1+c": lambda c: 1.0 + c}


def weights(gramian: Gramian, *, c: float, factor: float) -> tuple[Vector, Float[Array, ""]]:
    """(1/K + sqrt(phi) u / |g_u|) / r with the u of the paper's dual problem (Eq. 4).

    In units of |g_0| and of the lengths of the gradients it reads: z >= 0 with |sum z_k g_k/|g_k||
    = c, such that the smallest product of a gradient with the update is as large as possible.
    """
    mean = jnp.full(len(gramian), 1 / len(gramian), gramian.dtype)
    if c == 0:
        return mean / factor, jnp.zeros(())
    extra, residual = _towards_the_worst(gramian, c)
    return (mean + extra) / factor, residual


def _towards_the_worst(gramian: Gramian, c: float) -> tuple[Vector, Float[Array, ""]]:
    """sqrt(phi) u / |g_u|, and the residual of the solver."""
    unit = split(gramian)
    mean = dot(unit.root, unit.lengths) / len(gramian)
    size = jnp.sqrt(dot(mean, mean))
    least = jnp.min(jnp.where(unit.present, unit.lengths, jnp.inf))
    bounds = jnp.where(unit.present, least * reciprocal(unit.lengths), 0.0)
    found = cone(unit.root, mean * reciprocal(size), bounds, c, unit.present)

    # |g_u| over the longest gradient; u has sum 1.
    z = found.values
    product = dot(z, dot(unit.cosines, z))
    inverse = reciprocal(unit.lengths)
    length = jnp.sqrt(jnp.maximum(product, 0.0)) * reciprocal(jnp.sum(z * inverse))
    trace = jnp.sqrt(jnp.sum(unit.lengths**2))
    # With a gradient of zero u may sit there, at the value 0.
    there = ~unit.present.all() & (found.level >= 0)
    dropped = (length <= 1e-6 * trace) | there
    return jnp.where(dropped, 0.0, z * size * inverse), jnp.where(dropped, 0.0, found.residual)


@method("gramian")
def cagrad(
    num_tasks: int,
    *,
    c: float = 0.5,
    rescale: Literal["none", "1+c2", "1+c"] = "none",
    **options: Any,
) -> Weighting:
    """The mean gradient g_0, corrected in favour of the task that it serves worst.

    Of all d with |d - g_0| <= c |g_0| the one whose smallest product with a task gradient is
    largest: d = g_0 + sqrt(phi) g_u / |g_u| with phi = c^2 |g_0|^2, g_u = sum_k u_k g_k and
    u = argmin g_u.g_0 + sqrt(phi) |g_u| over the simplex. The update is d / r.

    Args:
        num_tasks: number of tasks K.
        c: radius of the ball, not negative: 0 gives the mean; below 1 the mean loss goes down; the
            larger, the closer to the direction of MGDA.
        rescale: r = 1 (`none`), 1 + c^2 (`1+c2`) or 1 + c (`1+c`).
        **options: `SharedOptions`.

    Returns:
        A transformation of family `gramian`: task gradients `[K, ...]` in, `sum_k w_k g_k` out,
        with w_k = (1/K + sqrt(phi) u_k / |g_u|) / r. A single task has the weight (1 + c) / r.

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
    check.not_negative("c", c, "be a number that is not negative")
    check.one_of("rescale", rescale, tuple(RESCALE))
    step = solved(num_tasks, partial(weights, c=float(c), factor=RESCALE[rescale](c)))
    return from_gramian(num_tasks, *step, **options)
