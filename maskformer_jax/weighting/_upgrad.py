"""UPGrad: each task gradient projected onto the cone without conflict (arXiv 2406.16232)."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import FEW, Gramian, Vector, dot, reciprocal, split
from maskformer_jax.weighting._losses import Weighting, solved
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._pivoting import Problem, pivoted, polished
from maskformer_jax.weighting._solvers import nonnegative

# For each of more tasks an exact solution costs too much: pivoting, and what polishes it, do.
SEVERAL = 32


def weights(gramian: Gramian, *_, preference: Values) -> tuple[Vector, Float[Array, ""]]:
    """sum_k argmin {v.M v : v >= p_k e_k}.

    For gradients of length 1 the k-th term is p_k |g_k| (e_k + z), so lengths only scale back.
    """
    unit = split(gramian)
    preference = jnp.asarray(preference, gramian.dtype)

    def project(of_one: tuple[Vector, Vector]) -> tuple[Vector, Float[Array, ""]]:
        alone, product = of_one
        zeros = jnp.zeros_like(alone)
        if len(gramian) <= SEVERAL:
            found = nonnegative(unit, alone, zeros, unit.present)
            return found.values, found.residual
        problem = Problem(unit.cosines, product, zeros, None, unit.present)
        near, good = pivoted(problem)
        there = near.values, near.residual
        return jax.lax.cond(good, lambda: there, lambda: polished(problem, near.values))

    identity = jnp.eye(len(gramian), dtype=gramian.dtype)
    # Many problems one after the other: each takes steps of its own, by faster routines on CPU.
    of_all = jax.vmap(project) if len(gramian) <= FEW else partial(jax.lax.map, project)
    values, residuals = of_all((identity, unit.cosines))
    added = dot(preference * unit.lengths, values)
    return preference + added * reciprocal(unit.lengths), residuals.max()


@method("gramian")
def upgrad(num_tasks: int, *, preference: Values | None = None, **options: Any) -> Weighting:
    """The sum of the task gradients, each projected onto the directions that harm no task.

    The projection of g_k onto {d : g_j.d >= 0 for all j} is sum_j v_j g_j with
    v = argmin {v.M v : v >= e_k}; the update is the sum over k of p_k times it.

    Args:
        num_tasks: number of tasks K.
        preference: p, positive; none: 1/K for each task.

    State:
        The last weights, and `residual`: the largest relative violation, over the K problems, of
        the conditions for a minimum, (M v)_j >= 0 with equality where v_j > p_k [j = k].

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients; never against a task; without conflict the sum of the p_k g_k; a factor of one
    gradient changes only the length of its own projection.

    Differs from the paper: the problems are solved exactly, for gradients of length 1 and then
    scaled back; of more than 32 tasks that depend on each other, to a residual of 1e-5. TorchJD
    first adds to the diagonal of M and normalises it, which moves the result.

    Source: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, Section 2 and
    Proposition 1, arXiv 2406.16232.
    """
    sizes = check.preference(num_tasks, preference, total=1.0)
    step = solved(num_tasks, partial(weights, preference=sizes))
    return from_gramian(num_tasks, *step, mean=preference is None, **options)
