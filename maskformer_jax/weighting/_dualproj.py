"""DualProj: the mean gradient projected onto the cone without conflict (GEM, arXiv 1706.08840)."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, reciprocal, split
from maskformer_jax.weighting._losses import Weighting, solved
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._solvers import nonnegative


def weights(gramian: Gramian, *_, preference: Values) -> tuple[Vector, Float[Array, ""]]:
    """argmin {v.M v : v >= p}, for gradients of length 1 with bounds p_k |g_k|, scaled back."""
    unit = split(gramian)
    preference = jnp.asarray(preference, gramian.dtype)
    bounds = preference * unit.lengths
    largest = jnp.maximum(jnp.max(bounds), jnp.finfo(bounds.dtype).tiny)
    found = nonnegative(unit, bounds / largest, jnp.zeros_like(bounds), unit.present)
    return preference + found.values * largest * reciprocal(unit.lengths), found.residual


@method("gramian")
def dualproj(num_tasks: int, *, preference: Values | None = None, **options: Any) -> Weighting:
    """The preferred sum of the task gradients, projected onto the directions that harm no task.

    The projection of sum_k p_k g_k onto {d : g_j.d >= 0 for all j} is sum_k w_k g_k with
    w = argmin {v.M v : v >= p}.

    Args:
        num_tasks: number of tasks K.
        preference: p, positive; none: 1/K for each task, the mean gradient.

    State:
        The last weights, and `residual`: the largest relative violation of the conditions for a
        minimum, (M w)_k >= 0 with equality where w_k > p_k.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients; never against a task; without conflict it is the preferred sum.

    Differs from the paper: there the projected gradient is that of the current task and the cone
    is of earlier ones; here all tasks are alike, as in TorchJD, which adds to the diagonal of M.

    Source: Lopez-Paz and Ranzato, Gradient Episodic Memory for Continual Learning, Section 3,
    arXiv 1706.08840.
    """
    sizes = check.preference(num_tasks, preference, total=1.0)
    step = solved(num_tasks, partial(weights, preference=sizes))
    return from_gramian(num_tasks, *step, mean=preference is None, **options)
