"""Impartial learning on gradients: the update with equal projections on all of them (ICLR 2021)."""

from functools import partial
from typing import Any

import jax.numpy as jnp

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, cosines, norms, pinv_dot, reciprocal
from maskformer_jax.weighting._losses import Weighting, plain
from maskformer_jax.weighting._method import method


def weights(gramian: Gramian, *_, preference: Values) -> Vector:
    """Weights with sum 1 whose update has projections proportional to `preference` (Eq. 7).

    Solved for unit gradients and scaled back, which is exact and does not depend on their lengths.
    """
    unit = pinv_dot(cosines(gramian), jnp.asarray(preference, gramian.dtype))
    values = unit * reciprocal(norms(gramian))
    total, size = values.sum(), jnp.abs(values).sum()
    # Weights of both signs may cancel; their sum is then rounding, and no direction is left.
    meaningful = jnp.abs(total) > 1e-6 * size
    return jnp.where(meaningful, values / jnp.where(meaningful, total, 1.0), 0.0)


@method("gramian")
def imtl_g(num_tasks: int, *, preference: Values | None = None, **options: Any) -> Weighting:
    """The combination of gradients that has the same projection on each of them.

    w = v / (1^T v) with v = D^-1 C^+ 1, the lengths D and the cosines C of the gradients, so that
    u.g_k/|g_k| is the same for all k and the weights add up to 1. Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        preference: positive relative sizes of the projections; none: all the same.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients. Where the weights add up to nothing the update is zero.

    Differs from the paper: `preference`; the pseudo-inverse, where the paper's inverse need not
    exist: that of the cosines, for which lengths don't matter. M^+ d of the Gramian M and the
    lengths d is the same for independent gradients, and another combination for dependent ones.
    The gradients are those with respect to parameters, not to the shared representation.

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, Eq. 6 and 7.
    """
    sizes = check.preference(num_tasks, preference)
    step = plain(num_tasks, partial(weights, preference=sizes))
    return from_gramian(num_tasks, *step, **options)
