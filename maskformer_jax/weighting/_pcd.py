"""PCD: the primary task's gradient, bent to serve the secondary tasks (arXiv 2606.29521)."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import (
    Gramian,
    Unit,
    Vector,
    length,
    norms,
    reciprocal,
    split,
)
from maskformer_jax.weighting._losses import Weighting, ones
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._solvers import nonnegative


class PCDState(NamedTuple):
    """State of `pcd`.

    Attributes:
        weights: the last weights.
        residual: largest shortfall of a constraint over the lengths involved; 0 where the
            constraints contradict each other and the primary gradient is the update.
        squares: moving average v of the squared lengths of the gradients.
        count: steps so far.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]
    squares: Float[Array, " K"]
    count: Int[Array, ""]


def weights(
    gramian: Gramian, state: PCDState, *_, tau: Number, beta: Number, eps: Number, primary: int
) -> tuple[Vector, PCDState]:
    """w_k = s_k mu_k |g_0| / |d|, with the multipliers mu of the projection d."""
    kind = gramian.dtype
    squares = beta * state.squares.astype(kind) + (1 - beta) * norms(gramian) ** 2
    count = state.count + 1
    # The logarithm in double precision: 1 - beta is small.
    known = not check.is_traced(beta)
    log_beta = (math.log(beta) if beta > 0 else -math.inf) if known else jnp.log(beta)
    average = squares / -jnp.expm1(count * jnp.asarray(log_beta, kind))
    lengths = norms(gramian) * reciprocal(jnp.sqrt(average + eps))
    values, residual = _project(split(gramian), lengths, tau, primary)
    return values, PCDState(values, residual, squares, count)


def _project(
    unit: Unit, lengths: Vector, tau: Number, primary: int
) -> tuple[Vector, Float[Array, ""]]:
    """Weights of the gradients as given, and the residual.

    With directions S and y_j = mu_j |h_j| / |h_0| it reads: y >= 0 of smallest |S_0 + S y| with
    S_j.(S_0 + S y) >= tau |h_j| / |h_0|.
    """
    rounding = 10 * jnp.finfo(lengths.dtype).eps
    secondary = unit.present & (jnp.arange(len(lengths)) != primary)
    bounds = jnp.where(secondary, tau * lengths * reciprocal(lengths[primary]), 0.0)
    alone = jnp.zeros_like(lengths).at[primary].set(1.0)
    found = nonnegative(unit, alone, bounds, secondary)
    y = found.values
    # Where the constraints contradict each other y runs off along a null direction of C, up to
    # where the least eigenvalue of S^T S, which is rounding, holds it.
    held = jnp.einsum("i,ij,j", y, unit.cosines, y, precision="highest")
    infeasible = (jnp.sum(bounds * y) > 1e-3) & (held < rounding * jnp.sum(y) ** 2)
    y = jnp.where(infeasible, 0.0, y).at[primary].set(1.0)

    size = length(unit, y)
    # A direction that is rounding is none.
    exists = unit.present[primary] & (size**2 > rounding * jnp.sum(y) ** 2)
    values = y * unit.lengths[primary] * reciprocal(unit.lengths) * reciprocal(size)
    residual = jnp.where(infeasible | ~exists, 0.0, found.residual)
    return jnp.where(exists, values, 0.0), residual


@method("gramian", per_loss={"primary": "name"}, without=("preference",))
def pcd(
    num_tasks: int,
    *,
    tau: Number = 0.02,
    beta: Number = 0.999,
    eps: Number = 1e-8,
    primary: int = 0,
    **options: Any,
) -> Weighting:
    """The direction closest to the primary gradient that grants each other task some progress.

    With h_k = s_k g_k, s_k = 1/sqrt(v_k/(1 - beta^t) + eps), v the moving average of |g_k|^2:
    d = argmin |d - h_0|^2 subject to h_j.d >= tau |h_j|^2 for the secondary tasks j. The update is
    d with the length of g_0; it is g_0 where the constraints contradict each other, and zero where
    g_0 or d is.

    Args:
        num_tasks: number of tasks K.
        tau: share in [0, 1] of the progress along its own gradient that a secondary task gets.
        beta: decay in [0, 1) of the average of squared lengths; 0: those of this step.
        eps: added to the average, not negative.
        primary: index of the primary task.

    Laws: none over all inputs: tasks are not alike, and `eps` sets a scale of the gradients.

    Differs from the paper: an active set solves the quadratic programme, as in TorchJD 0.18, whose
    conventions for contradicting constraints and vanishing directions these are; there the primary
    task is the first and tau may differ between tasks.

    Source: Priority-Constrained Descent, arXiv 2606.29521.
    """
    tau = check.number("tau", tau, "be within [0, 1]", lambda x: 0 <= x <= 1)
    beta = check.number("beta", beta, "be within [0, 1)", lambda x: 0 <= x < 1)
    eps = check.not_negative("eps", eps, "be at least 0")
    rule = f"be within 0 to {num_tasks - 1}"
    primary = check.number("primary", primary, rule, lambda x: x in range(num_tasks))
    how = {"tau": tau, "beta": beta, "eps": eps, "primary": int(primary)}

    def initial() -> PCDState:
        first, zero = ones(num_tasks), jnp.zeros((), jnp.float32)
        return PCDState(first, zero, jnp.zeros_like(first), jnp.zeros((), jnp.int32))

    return from_gramian(num_tasks, initial, partial(weights, **how), **options)
