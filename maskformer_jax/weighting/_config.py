"""Conflict-free update: the same cosine with every task gradient (ConFIG, arXiv 2408.11104)."""

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
    """w = v (1^T M v)/(v^T M v) with v = D^-1 C^+ p, lengths D and cosines C.

    All products are those of gradients of length 1, so that M may have any size.
    """
    wanted = jnp.asarray(preference, gramian.dtype)
    unit, lengths = cosines(gramian), norms(gramian)
    values = pinv_dot(unit, wanted)
    found = (unit * values).sum(1)
    # Where the gradients cancel in every direction that was wanted, rounding is left.
    meaningful = jnp.linalg.norm(found) > 1e-6 * jnp.linalg.norm(wanted)
    squared = jnp.where(meaningful, (values * found).sum(), 1.0)
    # |sum of the projections| of the gradients, over the length of each: w is v times v's share.
    longest = lengths.max()
    total = (lengths * reciprocal(longest) * found).sum() / squared
    return jnp.where(meaningful, values * total * (longest * reciprocal(lengths)), 0.0)


@method("gramian")
def config(num_tasks: int, *, preference: Values | None = None, **options: Any) -> Weighting:
    """The direction with the same cosine with every task gradient, as long as they agree with it.

    The direction is d = G_u^+ p, with the pseudo-inverse of the gradients of length 1, and the
    update is d/|d| times the sum of the projections g_k.d/|d|. In terms of the Gramian M = D C D:
    v = D^-1 C^+ p, w = v (1^T M v)/(v^T M v). Weights may be negative.

    Args:
        num_tasks: number of tasks K.
        preference: positive relative sizes p of the cosines; none: all the same.

    A gradient of length zero has weight 0.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients; the update goes up for no task, where the gradients are linearly independent.

    Differs from the paper: nothing; `preference` is the vector that the paper sets to ones.

    Source: Liu et al., arXiv 2408.11104, Section 3.
    """
    sizes = check.preference(num_tasks, preference)
    step = plain(num_tasks, partial(weights, preference=sizes))
    return from_gramian(num_tasks, *step, **options)
