"""What a method is, `from_losses` for those that need nothing else, and their common state."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._rows import (
    Active,
    cast_like,
    check_rows,
    keep_rows,
    mask_rows,
    sum_dtype,
    weighted_sum,
)

# Mean losses and arguments of a logarithm below it count as this: ratios stay finite.
SMALLEST_LOSS = 1e-12

Weights = Callable[..., tuple[Float[Array, " K"], PyTree]]
Derivatives = Callable[..., tuple[Float[Array, " K"], Float[Array, " K"]]]


class Weighting(optax.GradientTransformationExtraArgs):
    """A method: the pair of `init` and `update` that optax takes, and what else it can do.

    A method on the Gramian with one set of weights for the model has all of the attributes, which
    are pure functions; they are none for others.

    Attributes:
        weights: `weights(gramian, state.method, losses=None, active=None) -> (weights,
            state.method)`, in the type of the Gramian; `update` is built on it. None where an
            option is a schedule.
        weigh: `weigh(gramian, state, losses=None, active=None) -> state`, what `update` would make
            of the state; the shared parameters get `state.weights`.
        own: `own(state, losses=None)`, weights of the parameters that one task alone reaches.
        is_shared: `is_shared(params)`, True or False for each leaf.
        family, needs: as of the factory, `Method`.
        num_tasks: number of tasks K.
        names: of the losses, sorted, where an option was given by them; none: it was not.
    """

    weights: Weights | None = None
    weigh: Callable[..., PyTree] | None = None
    own: Callable[..., Float[Array, " K"]] | None = None
    is_shared: Callable[[PyTree], list[bool]] | None = None
    family: str | None = None
    needs: tuple[str, ...] = ()
    num_tasks: int | None = None
    names: tuple[str, ...] | None = None

    def __new__(cls, init: Callable, update: Callable, **more: Any):
        weighting = super().__new__(cls, init, update)
        vars(weighting).update(more)
        return weighting


class WeightsState(NamedTuple):
    """State of a method that remembers nothing.

    Attributes:
        weights: the last weights, for the log.
    """

    weights: Float[Array, " K"]


def equal_weights(num_tasks: int) -> Callable[..., WeightsState]:
    """Makes such a state with weights of 1/K."""
    return lambda *_: WeightsState(jnp.full(num_tasks, 1 / num_tasks, jnp.float32))


def plain(
    num_tasks: int, weights: Callable, *, by_active: bool = False
) -> tuple[Callable[[], WeightsState], Weights]:
    """`weights(given) -> w` as a method that remembers nothing: its first state, and its step.

    Args:
        num_tasks: number of tasks K.
        weights: of the losses or the Gramian.
        by_active: call it as `weights(given, active)`: tasks that are not active matter otherwise.
    """

    def step(given: Array, state: WeightsState, *more) -> tuple[Float[Array, " K"], WeightsState]:
        values = weights(given, more[-1]) if by_active else weights(given)
        return values, WeightsState(values)

    return lambda: WeightsState(jnp.ones(num_tasks, jnp.float32)), step


def separate(state: PyTree) -> PyTree:
    """`state` in arrays that nothing else holds, so that it can be donated to a jitted step."""
    return jax.tree.map(jnp.copy, state)


def from_losses(
    name: str,
    num_tasks: int,
    initial: Callable[[], PyTree],
    weights: Weights,
    *,
    lowest: float | None = None,
    needs: tuple[str, ...] = (),
) -> Weighting:
    """A method of family `loss` from the derivative of its scalarisation.

    Args:
        name: of the method, for messages.
        num_tasks: number of tasks K.
        initial: makes the state before the first step.
        weights: `weights(losses, state, active, **needed) -> (weights, state)`, the weights being
            dS/dL; `losses` come as float32, or as float64 where they are, and as 1 where a task is
            not active. The state keeps its types, and that of a task that is not active.
        lowest: smallest loss allowed.
        needs: further arguments of `update` that `weights` takes, where they are given.

    Returns:
        A transformation whose `update` requires `losses` and returns sum_k w_k g_k.

    Raises:
        ValueError: `num_tasks` is not positive.
    """

    def update(
        task_grads: PyTree,
        state: PyTree,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
        **extra,
    ) -> tuple[PyTree, PyTree]:
        del params
        check_rows(num_tasks, task_grads)
        if active is not None:
            active = check.active(num_tasks, active)
            task_grads = mask_rows(task_grads, active)
            losses = None if losses is None else jnp.where(active, losses, 1.0)
        losses = check.losses(name, num_tasks, losses, lowest=lowest)
        losses = losses.astype(sum_dtype(losses.dtype))
        needed = {key: extra[key] for key in needs if key in extra}
        values, after = weights(losses, state, active, **needed)
        if active is not None:
            values = jnp.where(active, values, 0.0)
            after = keep_rows(after, state, active)._replace(weights=values)
        return weighted_sum(task_grads, values), cast_like(after, state)

    return Weighting(lambda params: separate(initial()), update, needs=needs)


class LearntState(NamedTuple):
    """State of a method that learns one number per task.

    Attributes:
        weights: the last weights.
        learnt: the numbers s as they are for the next step.
        optimiser: state of the optimiser that moves them.
    """

    weights: Float[Array, " K"]
    learnt: Float[Array, " K"]
    optimiser: PyTree


def from_learnt(
    name: str,
    num_tasks: int,
    init: Number,
    optimiser: optax.GradientTransformation | None,
    derivatives: Derivatives,
) -> Weighting:
    """A method of family `loss` whose scalarisation S(L, s) is minimised over s as well.

    Args:
        name: of the method, for messages.
        num_tasks: number of tasks K.
        init: first value of every s_k.
        optimiser: moves s; none: Adam with learning rate 1e-3.
        derivatives: `derivatives(losses, s) -> (dS/dL, dS/ds)`.

    Raises:
        ValueError: `num_tasks` is not positive, or `init` or `optimiser` breaks its rule.
    """
    init = check.number("init", init, "be a finite number", lambda x: True)
    mover = optax.adam(1e-3) if optimiser is None else optimiser
    is_mover = isinstance(mover, optax.GradientTransformation)
    check.option(is_mover, "optimiser", "be an optax.GradientTransformation", optimiser)

    def initial() -> LearntState:
        learnt = jnp.full(num_tasks, init, jnp.float32)
        return LearntState(jnp.ones(num_tasks, jnp.float32), learnt, mover.init(learnt))

    def weights(
        losses: Float[Array, " K"], state: LearntState, *_
    ) -> tuple[Float[Array, " K"], LearntState]:
        """dS/dL at s before its move."""
        values, slope = derivatives(losses, state.learnt)
        move, moved = mover.update(slope.astype(jnp.float32), state.optimiser, state.learnt)
        return values, LearntState(values, optax.apply_updates(state.learnt, move), moved)

    return from_losses(name, num_tasks, initial, weights)


def floored(losses: Float[Array, " K"]) -> Float[Array, " K"]:
    """The losses, raised to `SMALLEST_LOSS` where they are below it."""
    return jnp.maximum(losses, SMALLEST_LOSS)


def add_to_mean(
    mean: Float[Array, " K"], losses: Float[Array, " K"], position: Int32[Array, ""]
) -> Float[Array, " K"]:
    """Mean over an epoch after the losses of its step `position`, counted from 0, in float32."""
    old = jnp.where(position == 0, 0.0, mean)
    return old + (losses.astype(jnp.float32) - old) / (position + 1).astype(jnp.float32)
