"""Quadratic problems of many tasks, in few steps of K^3: block pivoting, and what polishes it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.weighting._gramian import Gramian, Vector, dot, reciprocal

# Below this square of a diagonal entry of the triangle the cosines leave too few digits.
LEAST = 1e-3


class Solution(NamedTuple):
    """Where a search ended.

    Attributes:
        values: z >= 0.
        level: t of the problem.
        residual: how far the worst slope is below zero, over the terms it is a sum of.
    """

    values: Vector
    level: Float[Array, ""]
    residual: Float[Array, ""]


class Problem(NamedTuple):
    """z >= 0 with slopes C z + q - t a: zero where z_k is positive, at least zero elsewhere.

    Attributes:
        cosines: C.
        linear: q.
        bounds: a.
        radius: t is such that |S (x + z) - S x| is the radius, for q = C x; none: t is 1.
        allowed: which entries may be positive.
    """

    cosines: Gramian
    linear: Vector
    bounds: Vector
    radius: Float[Array, ""] | float | None
    allowed: Bool[Array, " K"]


class _Pivot(NamedTuple):
    """State of block pivoting: entries not in `free` are zero; `fewest` of them were wrong."""

    free: Bool[Array, " K"]
    solution: Solution
    good: Bool[Array, ""]
    fewest: Int[Array, ""]
    patience: Int[Array, ""]
    wrong: Int[Array, ""]
    count: Int[Array, ""]


@jax.jit
def pivoted(problem: Problem) -> tuple[Solution, Bool[Array, ""]]:
    """Solution of a problem, to what a triangle of C leaves of the digits.

    All entries of the wrong sign change sides at once, and where that does not help for three
    times, the last of them alone: few steps for many tasks, at K^3 each.

    Returns:
        Where it ended, and whether that is the solution, by gradients that are far from dependent.

    Source: Kim and Park, Fast Nonnegative Matrix Factorization, SIAM J. Sci. Comput. 33 (2011).
    """
    linear = problem.linear
    zero, many = jnp.zeros((), linear.dtype), jnp.asarray(len(linear) + 1)
    first = _Pivot(
        free=problem.allowed & (linear < problem.bounds),
        solution=Solution(jnp.zeros_like(linear), zero, zero),
        good=jnp.asarray(False),
        fewest=many,
        patience=jnp.asarray(3),
        wrong=many,
        count=jnp.asarray(0),
    )
    step = partial(_pivot, problem)
    end = jax.lax.while_loop(lambda s: (s.wrong > 0) & (s.count < 30), step, first)
    values = jnp.maximum(end.solution.values, 0.0)
    return end.solution._replace(values=values), end.good & (end.wrong == 0)


def _pivot(problem: Problem, search: _Pivot) -> _Pivot:
    """The solution with the free entries, and which entries are free next."""
    cosines, linear, bounds, radius, allowed = problem
    free, eps = search.free, jnp.finfo(linear.dtype).eps
    ridge = 2 * len(linear) * eps
    block = jnp.where(free[:, None] & free, cosines, 0.0) + jnp.diag(ridge + 1.0 - free)
    triangle = cho_factor(block)
    sides = jnp.stack([bounds - linear] if radius is None else [bounds, linear], axis=1)
    found = jnp.zeros_like(sides)
    for _ in range(4):  # what the ridge has done is taken off by degrees
        found += cho_solve(triangle, (sides - dot(cosines, found)) * free[:, None])
    good = jnp.min(jnp.diagonal(triangle[0]) ** 2, where=free, initial=1.0) > LEAST
    if radius is None:
        level, values = jnp.ones((), linear.dtype), found[:, 0]
    else:
        # z = t p - q with z.C z = radius^2.
        p, q = found.T
        square, along = dot(bounds, p), dot(bounds, q)
        rest = along**2 - square * (dot(linear, q) - radius**2)
        level = (along + jnp.sqrt(jnp.maximum(rest, 0.0))) * reciprocal(square)
        values = level * p - q
        good &= (rest > 0) & (dot(bounds, values) > 0)
    slopes = linear + dot(cosines, values) - level * bounds
    size = jnp.max(jnp.abs(values)) + jnp.max(jnp.abs(linear)) + jnp.abs(level) * bounds
    bad = allowed & (jnp.where(free, values, slopes) < -4 * eps * size)
    violations = jnp.where(free, jnp.abs(slopes), jnp.maximum(-slopes, 0.0)) * reciprocal(size)
    residual = jnp.max(jnp.where(allowed, violations, 0.0))
    patience = jnp.where(bad.sum() < search.fewest, 3, search.patience - 1)
    last = len(bad) - 1 - jnp.argmax(bad[::-1])
    return _Pivot(
        free=free ^ (bad & ((patience >= 0) | (jnp.arange(len(bad)) == last))),
        solution=Solution(values, level, residual),
        good=good,
        fewest=jnp.minimum(bad.sum(), search.fewest),
        patience=patience,
        wrong=bad.sum(),
        count=search.count + 1,
    )


def polished(problem: Problem, start: Vector) -> tuple[Vector, Float[Array, ""]]:
    """The same without bounds or radius, from near it, and its residual.

    For gradients that depend on each other, whose signs are rounding. By the alternating direction
    method of multipliers, whose steps share one inverse.
    """
    cosines, linear, _, _, allowed = problem
    penalty, identity = 0.1, jnp.eye(len(linear), dtype=linear.dtype)
    inverse = cho_solve(cho_factor(cosines + penalty * identity), identity)

    def residual(z: Vector) -> Float[Array, ""]:
        slopes = (linear + dot(cosines, z)) / (jnp.max(z) + jnp.max(jnp.abs(linear)))
        violations = jnp.where(z > 0, jnp.abs(slopes), jnp.maximum(-slopes, 0.0))
        return jnp.max(jnp.where(allowed, violations, 0.0))

    def move(_, carry: tuple[Vector, Vector]) -> tuple[Vector, Vector]:
        z, u = carry
        x = dot(inverse, penalty * (z - u) - linear)
        moved = jnp.where(allowed, jnp.maximum(x + u, 0.0), 0.0)
        return moved, u + x - moved

    def step(carry: tuple) -> tuple:
        z, u = jax.lax.fori_loop(0, 25, move, carry[:2])
        return z, u, residual(z), carry[3] + 1

    multipliers = jnp.minimum(0.0, -(linear + dot(cosines, start))) / penalty
    first = (start, multipliers, residual(start), jnp.asarray(0))
    z, _, left, _ = jax.lax.while_loop(lambda c: (c[2] > 1e-5) & (c[3] < 80), step, first)
    return z, left
