"""Solvers of the problems on directions of task gradients, with loops that are bounded.

Each function can be traced, batched and given singular matrices. The active set of the quadratic
problems stays accurate in float32, since it works on a root S of the cosine matrix, S^T S = C, by
QR: the condition number of S is the square root of that of C. K is the number of tasks.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.weighting._gramian import FEW, Gramian, Unit, Vector, dot, reciprocal, root_of
from maskformer_jax.weighting._pivoting import Problem, Solution, pivoted
from maskformer_jax.weighting._rows import Active


def within_simplex(values: Vector, active: Bool[Array, " K"]) -> tuple[Vector, Callable]:
    """What the active tasks have of a point of the simplex, as one of their own, and the way back.

    The way back leaves the others as they are.
    """
    total = values.sum(where=active)
    own = jnp.where(active, values, 0.0) * reciprocal(total)
    equal = active / jnp.maximum(active.sum(), 1)
    return jnp.where(total > 0, own, equal), lambda found: jnp.where(active, found, values)


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


def _solve_free(root: Gramian, offset: Vector, problem: Problem, free: Bool[Array, " K"]) -> _Trial:
    """Solution of the problem with given free entries, were their signs free too; h = S x."""
    num_tasks, bounds, radius = len(free), problem.bounds, problem.radius
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
@jax.jit
def _active_set(
    root: Gramian, offset: Vector, problem: Problem, start: Vector, done: Bool[Array, ""]
) -> Solution:
    """Lawson and Hanson's active set, starting with those entries free that are positive there.

    A step goes to the solution on the free entries, or as far as entries stay positive: those that
    don't leave. At a solution the entry with the steepest descent comes in, until there is none.
    """
    allowed, eps = problem.allowed, jnp.finfo(root.dtype).eps

    def step(search: _Search) -> _Search:
        point, free = search.point, search.free
        trial = _solve_free(root, offset, problem, free)
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

    none, zero = jnp.zeros_like(allowed), jnp.zeros((), root.dtype)
    first = _Search(
        point=start,
        free=start > 0,
        entered=none,
        barred=none,
        solution=Solution(start, zero, zero),
        done=done,
        count=jnp.asarray(0),
    )
    limit = 6 * len(allowed)
    end = jax.lax.while_loop(lambda s: ~s.done & (s.count < limit), step, first)
    return end.solution


def nonnegative(unit: Unit, given: Vector, bounds: Vector, allowed: Bool[Array, " K"]) -> Solution:
    """The z >= 0 that minimises 1/2 |S (x + z)|^2 - a.z, where `allowed`; 0 elsewhere.

    d = S (x + z) is then the point closest to S x with S_k.d >= a_k for all allowed k.

    Args:
        unit: with the directions S.
        given: x.
        bounds: a.
        allowed: which entries may be positive.
    """
    linear = dot(unit.cosines, given)
    return _search(unit, given, Problem(unit.cosines, linear, bounds, None, allowed))


def cone(
    unit: Unit,
    given: Vector,
    bounds: Vector,
    radius: Float[Array, ""] | float,
    allowed: Bool[Array, " K"],
) -> Solution:
    """The z >= 0 with |S z| = radius whose S (x + z) has the largest t with S_k.S (x + z) >= t a_k.

    y = z / a.z minimises y.S^T S x + radius |S y| over y >= 0 with a.y = 1, with value t: the point
    of smallest norm among the S_k / a_k where x is zero.

    Args:
        unit: with the directions S.
        given: x.
        bounds: a, positive where allowed.
        radius: positive.
        allowed: which entries may be positive.
    """
    linear = dot(unit.cosines, given)
    return _search(unit, given, Problem(unit.cosines, linear, bounds, radius, allowed))


def _search(unit: Unit, given: Vector, problem: Problem) -> Solution:
    """The active set, for many tasks from where pivoting ends, if that is not the solution."""

    def exact(start: Vector, done: Bool[Array, ""]) -> Solution:
        root = root_of(unit)
        return _active_set(root, dot(root, given), problem, start, done)

    bounds, allowed = problem.bounds, problem.allowed
    everything = allowed / jnp.maximum(dot(bounds, allowed.astype(bounds.dtype)), 1.0)
    if len(given) <= FEW:
        return exact(everything, jnp.asarray(False))
    near, found = pivoted(problem)
    start = near.values
    if problem.radius is not None:
        total = dot(bounds, start)
        start = jnp.where(total > 0, start * reciprocal(total), everything)
    start = jnp.where(jnp.isfinite(start).all(), start, everything)

    def go_on() -> Solution:
        after = exact(start, found)
        return jax.tree.map(lambda x, y: jnp.where(found, x, y), near, after)

    return jax.lax.cond(found, lambda: near, go_on)


def project_simplex(values: Vector, active: Active = None) -> Vector:
    """The nearest point with entries that are not negative and add up to 1.

    A common shift of the values does not move it, nor does where values lie that are more than 1
    below the largest: values of any size stay exact. Tasks that are not active get 0.
    """
    active = jnp.ones(len(values), bool) if active is None else active
    largest = values.max(where=active, initial=-jnp.inf)
    near = jnp.where(active, jnp.maximum(values - largest, -1.0), -1.0)
    found = optax.projections.projection_simplex(near).astype(values.dtype)
    return jnp.where(active, found, 0.0)
