"""The active set that solves the quadratic problems on directions of task gradients.

It stays accurate in float32, since it works on a root S of the cosine matrix, S^T S = C, by QR: the
condition number of S is the square root of that of C. K is the number of tasks; the loop is
bounded, so each function can be traced, batched and given singular matrices.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.weighting._directions import Vector, dot
from maskformer_jax.weighting._gramian import Gramian, SolverState, reciprocal


def solver_state(num_tasks: int) -> Callable[[], SolverState]:
    """Makes the state of a method that solves a problem and remembers nothing."""
    return lambda: SolverState(jnp.ones(num_tasks, jnp.float32), jnp.zeros((), jnp.float32))


class Solution(NamedTuple):
    """Where an active set ended.

    Attributes:
        values: z >= 0.
        level: t of the problem.
        residual: how far the worst slope is below zero, over the terms it is a sum of.
    """

    values: Vector
    level: Float[Array, ""]
    residual: Float[Array, ""]


class _Trial(NamedTuple):
    """The solution with given free entries: where to go, and the slopes there.

    Attributes:
        goal: the point, or, where nothing bounds the problem, a direction of unbounded decrease.
        bounded: whether `goal` is a point.
        values: its multiple z that solves the problem.
        level: t of the problem.
        slopes: derivative by each entry, over the terms it is a sum of.
    """

    goal: Vector
    bounded: Bool[Array, ""]
    values: Vector
    level: Float[Array, ""]
    slopes: Vector


class _Search(NamedTuple):
    """State of the active set: entries that are not `free` are zero; `entered` is the last one."""

    point: Vector
    free: Bool[Array, " K"]
    entered: Bool[Array, " K"]
    barred: Bool[Array, " K"]
    solution: Solution
    done: Bool[Array, ""]
    count: Int[Array, ""]


def _solve_free(
    root: Gramian, offset: Vector, bounds: Vector, radius: float | None, free: Bool[Array, " K"]
) -> _Trial:
    """Solution of `nonnegative` or `cone` with given free entries, were their signs free too."""
    num_tasks = len(free)
    upper = jnp.concatenate([root * free, offset[:, None]], axis=1)
    lower = jnp.pad(jnp.diag(1.0 - free), ((0, 0), (0, 1)))
    # The last column of the triangle is Q^T h: no need for Q.
    triangle = jnp.linalg.qr(jnp.concatenate([upper, lower]), mode="r")
    r, q = triangle[:num_tasks, :num_tasks], triangle[:num_tasks, num_tasks] * free
    p = solve_triangular(r, bounds * free, trans="T")
    if radius is None:
        level, bounded = jnp.ones((), root.dtype), jnp.asarray(True)
        z = solve_triangular(r, p - q) * free
        goal = z
    else:
        # |t p - q| = radius has its larger root where t p - q is `rest` along p.
        length = jnp.sqrt(dot(p, p))
        axis = p * reciprocal(length)
        along = dot(axis, q)
        across = q - along * axis
        rest = radius**2 - dot(across, across)
        level = (along + jnp.sqrt(jnp.maximum(rest, 0.0))) * reciprocal(length)
        z = solve_triangular(r, jnp.sqrt(jnp.maximum(rest, 0.0)) * axis - across) * free
        total = dot(bounds, z)
        bounded = (rest > 0) & (total > 0)
        goal = jnp.where(bounded, z * reciprocal(total), z)
    slopes = dot(root.T, offset + dot(root, z)) - level * bounds
    size = jnp.sqrt(dot(offset, offset)) + jnp.max(jnp.abs(z)) + jnp.abs(level) * bounds
    slopes = slopes * reciprocal(size)
    return _Trial(goal, bounded, z, level, slopes)


# Compiled once, so that calls outside of `jit` don't trace the loop each time.
@partial(jax.jit, static_argnames="radius")
def _active_set(
    root: Gramian,
    offset: Vector,
    bounds: Vector,
    radius: float | None,
    allowed: Bool[Array, " K"],
) -> Solution:
    """Lawson and Hanson's active set, starting with every allowed entry free.

    A step goes to the solution on the free entries, or as far as entries stay positive: those that
    don't leave. At a solution the entry with the steepest descent comes in, until there is none.
    """
    eps = jnp.finfo(root.dtype).eps

    def step(search: _Search) -> _Search:
        point, free = search.point, search.free
        trial = _solve_free(root, offset, bounds, radius, free)
        move = jnp.where(trial.bounded, trial.goal - point, trial.goal) * free
        blocking = free & jnp.where(trial.bounded, trial.goal <= 0, trial.goal < 0)
        ratios = jnp.where(blocking, point * reciprocal(-move), jnp.inf)
        shortest = jnp.min(ratios)
        leaving = blocking & (ratios <= shortest)
        whole = trial.bounded & ~blocking.any()
        fraction = jnp.where(shortest < jnp.inf, shortest, 0.0)
        point = jnp.maximum(jnp.where(leaving, 0.0, point + fraction * move), 0.0)

        slopes = jnp.where(allowed & ~free & ~search.barred, trial.slopes, jnp.inf)
        entering = (jnp.arange(len(slopes)) == jnp.argmin(slopes)) & (slopes < -2 * eps) & whole
        violations = jnp.where(free, jnp.abs(trial.slopes), jnp.maximum(-trial.slopes, 0.0))
        residual = jnp.max(jnp.where(allowed, violations, 0.0))
        # One that comes in and has to leave at once would do so for ever: rounding, stay away.
        barred = search.barred | (leaving & search.entered)
        return _Search(
            point=jnp.where(whole, trial.goal, point),
            free=(free & ~leaving) | entering,
            entered=entering,
            barred=barred & ~(whole & search.entered.any()),
            solution=Solution(trial.values, trial.level, residual),
            done=whole & ~entering.any(),
            count=search.count + 1,
        )

    none = jnp.zeros_like(allowed)
    start = allowed / jnp.maximum(dot(bounds, allowed.astype(root.dtype)), 1.0)
    zero = jnp.zeros((), root.dtype)
    first = _Search(
        point=start,
        free=allowed,
        entered=none,
        barred=none,
        solution=Solution(start, zero, zero),
        done=jnp.asarray(False),
        count=jnp.asarray(0),
    )
    limit = 6 * len(allowed)
    end = jax.lax.while_loop(lambda s: ~s.done & (s.count < limit), step, first)
    return end.solution


def nonnegative(
    root: Gramian, offset: Vector, bounds: Vector, allowed: Bool[Array, " K"]
) -> Solution:
    """The z >= 0 that minimises 1/2 |h + S z|^2 - a.z, where `allowed`; 0 elsewhere.

    d = h + S z is then the point closest to h with S_k.d >= a_k for all allowed k.

    Args:
        root: S, from `split`.
        offset: h.
        bounds: a.
        allowed: which entries may be positive.
    """
    return _active_set(root, offset, bounds, None, allowed)


def cone(
    root: Gramian, offset: Vector, bounds: Vector, radius: float, allowed: Bool[Array, " K"]
) -> Solution:
    """The z >= 0 with |S z| = radius whose h + S z has the largest t with S_k.(h + S z) >= t a_k.

    y = z / a.z minimises y.S^T h + radius |S y| over y >= 0 with a.y = 1, with value t: the point
    of smallest norm among the S_k / a_k where h is zero.

    Args:
        root: S, from `split`.
        offset: h.
        bounds: a, positive where allowed.
        radius: positive.
        allowed: which entries may be positive.
    """
    return _active_set(root, offset, bounds, radius, allowed)
