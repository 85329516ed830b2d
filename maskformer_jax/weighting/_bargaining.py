"""The bargaining problem of Nash-MTL and FairGrad, by damped Newton in a bounded loop."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._gramian import Gramian, Vector, dot, exact_product


def bargain(
    matrix: Gramian, alone: Vector, fairness: Number = 1.0
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
    if check.is_traced(fairness):
        return _bargain(matrix, alone, fairness)
    return _bargain_known(matrix, alone, float(fairness))


def _bargain(matrix: Gramian, alone: Vector, fairness: Number) -> tuple[Vector, Float[Array, ""]]:
    eps = jnp.finfo(matrix.dtype).eps
    power, ridge = 1 - 1 / fairness, 2 * len(alone) * eps
    order = jnp.maximum(1.0, (1 + 1 / fairness) / 2)
    # With logarithms Newton's steps don't depend on how far the solution is; others take longer.
    limit = jnp.where(fairness == 1, 50, 400)
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


# Compiled once, also for calls outside of `jit`; a known power costs less.
_bargain_known = partial(jax.jit, static_argnames="fairness")(_bargain)
