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

from maskformer_jax.weighting._gramian import Gramian, Vector, dot, reciprocal
from maskformer_jax.weighting._losses import Weights
from maskformer_jax.weighting._rows import Active


class SolverState(NamedTuple):
    """State of a method whose weights solve a problem on the Gramian, and that remembers nothing.

    Attributes:
        weights: the last weights.
        residual: how far the solver was from the solution; each method says in which measure.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]


def solver_state(num_tasks: int) -> Callable[[], SolverState]:
    """Makes the state of a method that solves a problem and remembers nothing."""
    return lambda: SolverState(jnp.ones(num_tasks, jnp.float32), jnp.zeros((), jnp.float32))


def solved(num_tasks: int, solve: Callable) -> tuple[Callable[[], SolverState], Weights]:
    """`solve(gramian) -> (w, residual)` as a method: its first state, and its step."""

    def step(gramian: Gramian, state: SolverState, *_) -> tuple[Vector, SolverState]:
        found = SolverState(*solve(gramian))
        return found.weights, found

    return solver_state(num_tasks), step


def within_simplex(values: Vector, active: Active) -> tuple[Vector, Callable[[Vector], Vector]]:
    """What the active tasks have of a point of the simplex, as one of their own, and the way back.

    The way back leaves the others as they are.
    """
    if active is None:
        return values * reciprocal(values.sum()), lambda found: found
    total = values.sum(where=active)
    own = jnp.where(active, values, 0.0) * reciprocal(total)
    equal = active / jnp.maximum(active.sum(), 1)
    return jnp.where(total > 0, own, equal), lambda found: jnp.where(active, found, values)


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
    root: Gramian,
    offset: Vector,
    bounds: Vector,
    radius: Float[Array, ""] | float | None,
    free: Bool[Array, " K"],
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
@jax.jit
def _active_set(
    root: Gramian,
    offset: Vector,
    bounds: Vector,
    radius: Float[Array, ""] | float | None,
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
    root: Gramian,
    offset: Vector,
    bounds: Vector,
    radius: Float[Array, ""] | float,
    allowed: Bool[Array, " K"],
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


def project_simplex(values: Vector, active: Active = None) -> Vector:
    """The nearest point with entries that are not negative and add up to 1.

    A common shift of the values does not move it, nor does where values lie that are more than 1
    below the largest: values of any size stay exact. Tasks that are not active get 0.
    """
    largest = values.max(where=active, initial=-jnp.inf)
    near = jnp.maximum(values - largest, -1.0)
    near = near if active is None else jnp.where(active, near, -1.0)
    found = optax.projections.projection_simplex(near).astype(values.dtype)
    return found if active is None else jnp.where(active, found, 0.0)
