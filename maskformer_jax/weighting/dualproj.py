"""DualProj: the mean gradient projected onto the cone without conflict (GEM, arXiv 1706.08840)."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting._combine import check_num_tasks, check_preference
from maskformer_jax.weighting._directions import split
from maskformer_jax.weighting._gramian import (
    Gramian,
    GramianTransformation,
    SolverState,
    from_gramian,
    reciprocal,
)
from maskformer_jax.weighting._solvers import nonnegative, solver_state


def weights(
    gramian: Gramian,
    state: SolverState,
    losses: Float[Array, " K"] | None = None,
    *,
    preference: Sequence[float],
) -> tuple[Float[Array, " K"], SolverState]:
    """argmin {v.M v : v >= p}, for gradients of length 1 with bounds p_k |g_k|, scaled back."""
    del state, losses
    unit = split(gramian)
    preference = jnp.asarray(preference, gramian.dtype)
    bounds = preference * unit.lengths
    largest = jnp.maximum(jnp.max(bounds), jnp.finfo(bounds.dtype).tiny)
    offset = jnp.matmul(unit.root, bounds / largest, precision="highest")
    found = nonnegative(unit.root, offset, jnp.zeros_like(offset), unit.present)
    values = preference + found.values * largest * reciprocal(unit.lengths)
    return values, SolverState(values.astype(jnp.float32), found.residual.astype(jnp.float32))


def dualproj(num_tasks: int, *, preference: Sequence[float] | None = None) -> GramianTransformation:
    """The preferred sum of the task gradients, projected onto the directions that harm no task.

    The projection of sum_k p_k g_k onto {d : g_j.d >= 0 for all j} is sum_k w_k g_k with
    w = argmin {v.M v : v >= p}.

    Args:
        num_tasks: number of tasks K.
        preference: p, positive; none: 1/K for each task, the mean gradient.

    Returns:
        A transformation of family `gramian`: task gradients `[K, ...]` in, `sum_k w_k g_k` out.

    State:
        The last weights, and `residual`: the largest relative violation of the conditions for a
        minimum, (M w)_k >= 0 with equality where w_k > p_k.

    Raises:
        ValueError: `num_tasks` is not positive, or `preference` breaks its rule.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients; never against a task; without conflict it is the preferred sum.

    Differs from the paper: there the projected gradient is that of the current task and the cone
    is of earlier ones; here all tasks are alike, as in TorchJD, which adds to the diagonal of M.

    Source: Lopez-Paz and Ranzato, Gradient Episodic Memory for Continual Learning, Section 3,
    arXiv 1706.08840.
    """
    check_num_tasks(num_tasks)
    sizes = check_preference(num_tasks, preference, 1 / num_tasks)

    return from_gramian(num_tasks, solver_state(num_tasks), partial(weights, preference=sizes))
