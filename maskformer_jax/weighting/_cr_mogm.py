"""Correlation-reduced weights: the running mean of another method's (Zhou et al., NeurIPS 2022)."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector
from maskformer_jax.weighting._losses import Given, Weighting, Weights, ones
from maskformer_jax.weighting._method import METHODS, method


class CRMOGMState(NamedTuple):
    """State of CR-MOGM.

    Attributes:
        weights: the last weights.
        residual: of the base's solver; 0 where there is none.
        started: False before the first step.
        base: state of the base.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]
    started: Bool[Array, ""]
    base: PyTree


def weights(
    gramian: Gramian, state: CRMOGMState, given: Given, *, base: Weights, a: Number
) -> tuple[Vector, CRMOGMState]:
    """w_t = a w_(t-1) + (1 - a) base(M_t), and the base's own weights in the first step."""
    found, base_state = base(gramian, state.base, given.losses, given.active)
    mean = a * state.weights.astype(found.dtype) + (1 - a) * found
    values = jnp.where(state.started, mean, found)
    residual = getattr(base_state, "residual", state.residual)
    return values, CRMOGMState(values, residual, jnp.ones((), bool), base_state)


@method("gramian", per_loss={"base_options": "base_options"})
def cr_mogm(
    num_tasks: int,
    *,
    base: str,
    base_options: Mapping[str, Any] | None = None,
    a: Number = 0.9,
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """The running mean of another method's weights, which follow a single batch less closely.

    w_t = a w_(t-1) + (1 - a) w(M_t) with w(M) of the base, and w_0 the base's own in the first
    step. The weights depend less on the batch whose gradients they multiply, which takes the bias
    out of w^T G.

    Args:
        num_tasks: number of tasks K.
        base: name of a method of family `gramian`, other than this one.
        base_options: options of the base, but for those that are said of all parameters
            (`shared`, `own_weights`, `granularity`); none: its defaults.
        preference: of the base.
        a: weight of the past, from 0 (the base itself) to below 1.

    Raises:
        ValueError: an option breaks its rule or one of the base's.
        TypeError: the base does not know one of `base_options`.

    Laws: those of the base in the first step; a mean of weights that lower every loss need not.

    Differs from the paper: `a` is constant, and the mean starts at the base's first weights.

    Source: Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation and
    Beyond, NeurIPS 2022.
    """
    known = [
        name
        for name, entry in METHODS.items()
        if entry.family == "gramian" and not entry.needs and name != "cr_mogm"
    ]
    check.option(base in known, "base", f"be one of {', '.join(known)}", base)
    given = {} if base_options is None else base_options
    is_mapping = isinstance(given, Mapping)
    check.option(is_mapping, "base_options", "map names of options to values", base_options)
    own = given.keys() & {"shared", "own_weights", "granularity"}
    check.option(not own, "base_options", "leave what is said of all parameters out", sorted(own))
    a = check.below_one("a", a)
    if preference is not None:
        both = "preference" in given
        check.option(
            not both, "preference", "be left out beside that of `base_options`", preference
        )
        given = {**given, "preference": preference}
    inner = METHODS[base](num_tasks, **given)
    rule = "hold numbers in place of schedules"
    check.option(inner.weights is not None, "base_options", rule, base_options)

    def initial() -> CRMOGMState:
        zero = jnp.zeros((), jnp.float32)
        return CRMOGMState(ones(num_tasks), zero, jnp.zeros((), bool), inner.init(zero).method)

    return from_gramian(num_tasks, initial, partial(weights, base=inner.weights, a=a), **options)
