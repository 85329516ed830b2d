"""What a method is and is given, `from_losses` for those on losses, and states of several."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int32, PyTree

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

# `weights(losses or gramian, state, given) -> (weights, state)`.
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


class Given(NamedTuple):
    """What a method may look at beside the gradients or their Gramian.

    Attributes:
        losses: unweighted, and 1 for tasks that are not active; none: they were not given.
        active: True for each task that takes part.
        second: task gradients on an independent batch, where they were given.
        losses_after: of the previous batch after its step, where they were given.
    """

    losses: Float[Array, " K"] | None
    active: Bool[Array, " K"]
    second: PyTree | None = None
    losses_after: Float[Array, " K"] | None = None


def received(
    num_tasks: int,
    task_grads: PyTree,
    losses: Float[Array, " K"] | None,
    active: Active,
    *,
    task_grads_2: PyTree | None = None,
    losses_after: Float[Array, " K"] | None = None,
    **_: Any,
) -> tuple[PyTree, Given]:
    """Arguments of `update`, with zeros for the gradients of tasks that are not active.

    Raises:
        ValueError: gradients have another number of rows, or `active` is no array of booleans.
    """
    check_rows(num_tasks, task_grads)
    if active is None:
        everyone = jnp.ones(num_tasks, bool)
        return task_grads, Given(losses, everyone, task_grads_2, losses_after)
    active = check.active(num_tasks, active)
    losses = None if losses is None else jnp.where(active, losses, 1.0)
    second = None if task_grads_2 is None else mask_rows(task_grads_2, active)
    return mask_rows(task_grads, active), Given(losses, active, second, losses_after)


class WeightsState(NamedTuple):
    """State of a method that remembers nothing.

    Attributes:
        weights: the last weights, for the log.
    """

    weights: Float[Array, " K"]


class SolverState(NamedTuple):
    """State of a method whose weights solve a problem on the Gramian, and that remembers nothing.

    Attributes:
        weights: the last weights.
        residual: how far the solver was from the solution; each method says in which measure.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]


def ones(num_tasks: int) -> Float[Array, " K"]:
    """First weights of most methods."""
    return jnp.ones(num_tasks, jnp.float32)


def equal_weights(num_tasks: int) -> Callable[..., WeightsState]:
    """Makes a state with weights of 1/K."""
    return lambda *_: WeightsState(jnp.full(num_tasks, 1 / num_tasks, jnp.float32))


def plain(num_tasks: int, weights: Callable) -> tuple[Callable[[], WeightsState], Weights]:
    """`weights(losses or gramian, given) -> w` as a method: its first state, and its step."""

    def step(
        what: Array, state: WeightsState, given: Given
    ) -> tuple[Float[Array, " K"], WeightsState]:
        values = weights(what, given)
        return values, WeightsState(values)

    return lambda: WeightsState(ones(num_tasks)), step


def solved(num_tasks: int, solve: Callable) -> tuple[Callable[[], SolverState], Weights]:
    """`solve(gramian, given) -> (w, residual)` as a method: its first state, and its step."""

    def step(
        gramian: Array, state: SolverState, given: Given
    ) -> tuple[Float[Array, " K"], SolverState]:
        found = SolverState(*solve(gramian, given))
        return found.weights, found

    return lambda: SolverState(ones(num_tasks), jnp.zeros((), jnp.float32)), step


def separate(state: PyTree) -> PyTree:
    """`state` in arrays that nothing else holds, so that it can be donated to a jitted step."""
    return jax.tree.map(jnp.copy, state)


def from_losses(
    name: str | None,
    num_tasks: int,
    initial: Callable[[], PyTree],
    weights: Weights,
    *,
    lowest: float | None = None,
    needs: tuple[str, ...] = (),
) -> Weighting:
    """A method of family `loss` from the derivative of its scalarisation.

    Args:
        name: of the method, for messages; none: it needs no losses.
        num_tasks: number of tasks K.
        initial: makes the state before the first step.
        weights: `weights(losses, state, given) -> (dS/dL, state)`; `losses` come as float32, or as
            float64 where they are. The state keeps its types, and that of tasks that aren't active.
        lowest: smallest loss allowed.
        needs: as of `Weighting`.
    """

    def update(
        task_grads: PyTree,
        state: PyTree,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
        **extra: Any,
    ) -> tuple[PyTree, PyTree]:
        del params
        task_grads, given = received(num_tasks, task_grads, losses, active, **extra)
        losses = given.losses
        if name is not None:
            losses = check.losses(name, num_tasks, losses, lowest=lowest)
            losses = losses.astype(sum_dtype(losses.dtype))
        values, after = weights(losses, state, given)
        values = jnp.where(given.active, values, 0.0)
        after = keep_rows(after, state, given.active)._replace(weights=values)
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
        return LearntState(ones(num_tasks), learnt, mover.init(learnt))

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
