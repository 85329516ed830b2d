"""Quadratic problems of many tasks, in few steps of K^3: block pivoting, and what polishes it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.weighting._gramian import Gramian, Vector, dot
from maskformer_jax.weighting._solvers import Solution


class _Pivot(NamedTuple):
    """State of block pivoting: entries not in `free` are zero; `fewest` of them were wrong."""

    free: Bool[Array, " K"]
    values: Vector
    fewest: Int[Array, ""]
    patience: Int[Array, ""]
    wrong: Int[Array, ""]
    count: Int[Array, ""]


@jax.jit
def pivoted(cosines: Gramian, linear: Vector, allowed: Bool[Array, " K"]) -> Solution:
    """The z >= 0 that minimises z.C z / 2 + q.z, to what a triangle of C leaves of the digits.

    All entries of the wrong sign change sides at once, and where that does not help for three
    times, the last of them alone: few steps for many tasks, at K^3 each.

    Args:
        cosines: C.
        linear: q.
        allowed: which entries may be positive.

    Source: Kim and Park, Fast Nonnegative Matrix Factorization, SIAM J. Sci. Comput. 33 (2011).
    """
    zeros, many = jnp.zeros_like(linear), jnp.asarray(len(linear) + 1)
    first = _Pivot(allowed & (linear < 0), zeros, many, jnp.asarray(3), many, jnp.asarray(0))
    exact = partial(_pivot, cosines, linear, allowed)
    end = jax.lax.while_loop(lambda s: (s.wrong > 0) & (s.count < 30), exact, first)
    values, residual = _polished(cosines, linear, allowed, jnp.maximum(end.values, 0.0))
    return Solution(values, jnp.ones((), linear.dtype), residual)


def _polished(
    cosines: Gramian, linear: Vector, allowed: Bool[Array, " K"], start: Vector
) -> tuple[Vector, Float[Array, ""]]:
    """The same from near it, for gradients that depend on each other, whose signs are rounding.

    By the alternating direction method of multipliers, whose steps share one inverse.
    """
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


def _pivot(
    cosines: Gramian,
    linear: Vector,
    allowed: Bool[Array, " K"],
    search: _Pivot,
) -> _Pivot:
    """The solution with the free entries, and which entries are free next."""
    free, eps = search.free, jnp.finfo(linear.dtype).eps
    ridge = 2 * len(linear) * eps
    block = jnp.where(free[:, None] & free, cosines, 0.0) + jnp.diag(ridge + 1.0 - free)
    triangle = cho_factor(block)
    values = jnp.zeros_like(linear)
    for _ in range(4):  # what the ridge has done is taken off by degrees
        values -= cho_solve(triangle, jnp.where(free, linear + dot(cosines, values), 0.0))
    slopes = linear + dot(cosines, values)
    size = jnp.max(jnp.abs(values)) + jnp.max(jnp.abs(linear))
    bad = allowed & (jnp.where(free, values, slopes) < -4 * eps * size)
    patience = jnp.where(bad.sum() < search.fewest, 3, search.patience - 1)
    last = len(bad) - 1 - jnp.argmax(bad[::-1])
    return _Pivot(
        free=free ^ (bad & ((patience >= 0) | (jnp.arange(len(bad)) == last))),
        values=values,
        fewest=jnp.minimum(bad.sum(), search.fewest),
        patience=patience,
        wrong=bad.sum(),
        count=search.count + 1,
    )
