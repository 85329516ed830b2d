"""Methods that learn one number per task together with the model."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import (
    check_num_tasks,
    check_option,
    from_losses,
    is_number,
)

Derivatives = Callable[..., tuple[Float[Array, " K"], Float[Array, " K"]]]


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
    init: float,
    optimiser: optax.GradientTransformation | None,
    derivatives: Derivatives,
) -> optax.GradientTransformationExtraArgs:
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
    check_num_tasks(num_tasks)
    check_option(is_number(init), "init", "be a finite number", init)
    mover = optax.adam(1e-3) if optimiser is None else optimiser
    is_mover = isinstance(mover, optax.GradientTransformation)
    check_option(is_mover, "optimiser", "be an optax.GradientTransformation", optimiser)

    def initial() -> LearntState:
        learnt = jnp.full(num_tasks, init, jnp.float32)
        return LearntState(jnp.ones(num_tasks, jnp.float32), learnt, mover.init(learnt))

    def weights(
        losses: Float[Array, " K"], state: LearntState, **extra
    ) -> tuple[Float[Array, " K"], LearntState]:
        """dS/dL at s before its move."""
        del extra
        values, slope = derivatives(losses, state.learnt)
        move, moved = mover.update(slope.astype(jnp.float32), state.optimiser, state.learnt)
        learnt = optax.apply_updates(state.learnt, move)
        return values, LearntState(values.astype(jnp.float32), learnt, moved)

    return from_losses(name, num_tasks, initial, weights)
