"""Nash-MTL: the update on which the tasks agree in a bargaining game (arXiv 2202.01017)."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._bargaining import bargain
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, dot, equilibrate, norms, reciprocal
from maskformer_jax.weighting._losses import Weighting, ones
from maskformer_jax.weighting._method import method


class NashMTLState(NamedTuple):
    """State of `nash_mtl`.

    Attributes:
        weights: the last weights, after the clip.
        residual: max |alpha_k (M alpha)_k / p_k - 1| where alpha was last computed.
        alpha: the solution in use, before the clip.
        clip: the factor in (0, 1] that the last update was shortened by.
        count: steps so far.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]
    alpha: Float[Array, " K"]
    clip: Float[Array, ""]
    count: Int[Array, ""]


def own(weights: Vector, state: NashMTLState, losses: Vector | None) -> Vector:
    """Weights before the clip, which is about the length of the shared update alone."""
    del losses
    return weights / state.clip


def solve(gramian: Gramian, preference: Vector) -> tuple[Vector, Float[Array, ""]]:
    """alpha with alpha_k (M alpha)_k = p_k, and the residual; 0 where the gradient is zero."""
    scaled, lengths = equilibrate(gramian)
    # The smallest p is 1 for the solver, which makes its steps safe.
    smallest = jnp.min(preference)
    found, residual = bargain(scaled, jnp.sqrt(preference / smallest))
    alpha = jnp.where(norms(gramian) > 0, found / lengths, 0.0)
    return alpha * jnp.sqrt(smallest), residual


def weights(
    gramian: Gramian,
    state: NashMTLState,
    *_,
    preference: Values,
    max_norm: Number,
    update_every: int,
) -> tuple[Vector, NashMTLState]:
    """alpha of this step or of an earlier one, shortened where |G^T alpha| exceeds `max_norm`."""
    values = jnp.asarray(preference, gramian.dtype)
    if update_every == 1:
        alpha, residual = solve(gramian, values)
    else:
        alpha, residual = jax.lax.cond(
            state.count % update_every == 0,
            lambda: solve(gramian, values),
            lambda: (state.alpha.astype(values.dtype), state.residual.astype(values.dtype)),
        )
    clip = jnp.ones((), gramian.dtype)
    if check.is_traced(max_norm) or max_norm > 0:
        # Lengths first: the Gramian may be too small or too large to be multiplied twice.
        scaled, lengths = equilibrate(gramian)
        steps = alpha * lengths
        product = dot(steps, dot(scaled, steps))
        length = jnp.sqrt(jnp.maximum(product, 0.0))
        # Zero stands for no limit.
        limit = jnp.where(max_norm > 0, max_norm, jnp.inf)
        clip = jnp.where(length > 0, jnp.minimum(1.0, limit * reciprocal(length)), 1.0)
    found = alpha * clip
    return found, NashMTLState(found, residual, alpha, clip, state.count + 1)


@method("gramian")
def nash_mtl(
    num_tasks: int,
    *,
    max_norm: Number = 1.0,
    update_every: int = 1,
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """The Nash bargaining solution: the update of largest product of the gains of all tasks.

    alpha > 0 with alpha_k (M alpha)_k = 1, so that G^T alpha maximises sum_k log(g_k.d) on a
    sphere. Solved for unit gradients, C a = 1/a, the minimum of 1/2 a.C a - sum log a, by damped
    Newton; alpha_k = a_k / |g_k|. |G^T alpha| is sqrt(K) always, so `max_norm` of 1 always acts.

    Args:
        num_tasks: number of tasks K.
        max_norm: longest update; 0: the update is G^T alpha itself.
        update_every: steps from one computation of alpha to the next; the clip is of every step.
        preference: bargaining powers p, positive: alpha_k (M alpha)_k = p_k; none: 1.

    State:
        `NashMTLState`. A `residual` near 1 or above says that no solution exists: a convex
        combination of the gradients is zero. The weights are finite then, but the direction of the
        update is rounding, and means nothing.

    Laws: equivariant under permutations of the tasks; the update does not depend on the lengths
    of the gradients; never against a task.

    Differs from the paper: solved exactly, in place of a sequence of convex problems (the authors'
    code and TorchJD stop earlier, and are off); `preference`; a gradient of zero has the weight
    zero and takes no part.

    Source: Navon et al., Multi-Task Learning as a Bargaining Game, Claim 3.1 and Algorithm 1,
    arXiv 2202.01017.
    """
    max_norm = check.not_negative("max_norm", max_norm, "be at least 0")
    update_every = check.integer("update_every", update_every, lowest=1)
    powers = check.preference(num_tasks, preference)

    def initial() -> NashMTLState:
        first, (zero, one) = ones(num_tasks), jnp.arange(2, dtype=jnp.float32)
        return NashMTLState(first, zero, first, one, jnp.zeros((), jnp.int32))

    how = {"max_norm": max_norm, "update_every": update_every, "preference": powers}
    return from_gramian(num_tasks, initial, partial(weights, **how), own=own, **options)
