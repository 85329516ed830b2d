"""Solvers of the problems on directions of task gradients, with loops that are bounded.

Each function can be traced, batched and given singular matrices. The active set of the quadratic
problems stays accurate in float32, since it works on a root S of the cosine matrix, S^T S = C, by
QR: the condition number of S is the square root of that of C. K is the number of tasks.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.weighting._gramian import Gramian, Vector, dot, exact_product, reciprocal
from maskformer_jax.weighting._losses import Weights


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


@partial(jax.jit, static_argnames="fairness")
def bargain(
    matrix: Gramian, alone: Vector, fairness: float = 1.0
) -> tuple[Vector, Float[Array, ""]]:
    """The y > 0 with (C y)_k = s_k (s_k / y_k)^(1/alpha), by damped Newton.

    It is the minimum of the convex 1/2 y.C y - sum_k s_k^(1 + 1/alpha) y_k^(1 - 1/alpha) /
    (1 - 1/alpha), a logarithm at alpha = 1, and exists unless a combination of the gradients with
    weights that are not negative is zero. It then runs off, and is stopped where y is such a
    combination up to rounding. A y_k too small for float32 ends at 1e-30 s_k, and its equation
    doesn't count.

    Args:
        matrix: C, inner products of gradients that are 1/2 to 1 long.
        alone: s, positive: the solution of a task of length 1 without others.
        fairness: alpha, positive.

    Returns:
        y, and the largest relative error of the equations.
    """
    eps = jnp.finfo(matrix.dtype).eps
    power, ridge = 1 - 1 / fairness, 2 * len(alone) * eps
    order = max(1.0, (1 + 1 / fairness) / 2)
    # With logarithms Newton's steps don't depend on how far the solution is; others take longer.
    limit = 50 if fairness == 1 else 400
    lowest = 1e-30 * alone

    def pull(y: Vector) -> Vector:
        return alone * alone * (y / alone) ** power

    def gain(y: Vector) -> Vector:
        return y * exact_product(matrix, y[:, None])[:, 0]

    def step(carry):
        y, previous, _, count = carry
        target, gains = pull(y), gain(y)
        size = jnp.sqrt((1 + ridge) * y * y + target / fairness)
        # Relative steps, and a unit diagonal: the condition does not depend on the scales.
        hessian = matrix * (y / size)[:, None] * (y / size) + jnp.diag(
            (ridge * y * y + target / fairness) / size**2
        )
        slope = (target - gains - 0.5 * eps * y * y) / size
        relative = cho_solve(cho_factor(hessian), slope) / size
        relative = jnp.where((y <= lowest) & (relative < 0), 0.0, relative)
        largest = order * jnp.max(jnp.abs(relative))
        whole = largest < 0.25
        # Whole steps get shorter until they are rounding, whose size depends on the Gramian.
        settled = whole & ((largest >= previous) | (largest < 4 * eps))
        vanishing = jnp.sum(gains) < eps * jnp.sum(y) ** 2
        y = jnp.maximum(y * (1 + relative * jnp.where(whole, 1.0, 1 / (1 + largest))), lowest)
        return y, jnp.where(whole, largest, jnp.inf), settled | vanishing, count + 1

    together = jnp.maximum(dot(alone, dot(matrix, alone)), eps * dot(alone, alone))
    start = alone * (dot(alone, alone) / together) ** (fairness / (1 + fairness))
    carry = (start, jnp.full((), jnp.inf, start.dtype), jnp.asarray(False), jnp.asarray(0))
    y, _, _, _ = jax.lax.while_loop(lambda c: ~c[2] & (c[3] < limit), step, carry)
    errors = jnp.abs(gain(y) / pull(y) - 1)
    return y, jnp.max(jnp.where(y > lowest, errors, 0.0))


def project_simplex(values: Vector) -> Vector:
    """The nearest point with entries that are not negative and add up to 1.

    A common shift of the values does not move it, nor does where values lie that are more than 1
    below the largest: values of any size stay exact.
    """
    near = jnp.maximum(values - values.max(), -1.0)
    return optax.projections.projection_simplex(near).astype(values.dtype)
