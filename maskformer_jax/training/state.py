"""Everything that a training step changes."""

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree


class TrainState(NamedTuple):
    """Parameters and what belongs to them, as one pytree that is donated, saved and restored.

    Attributes:
        step: number of updates made.
        params: parameters of the model.
        weighting_state: state of the task weighting.
        optimiser_state: state of the optimiser.
        losses_after: losses of the last batch after its step, where the weighting asks for them.
        finite: False from the first non-finite loss or gradient on; nothing else changes after it.
    """

    step: Int[Array, ""]
    params: PyTree
    weighting_state: PyTree
    optimiser_state: PyTree
    losses_after: Float[Array, " K"]
    finite: Bool[Array, ""]


def create(
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    optimiser: optax.GradientTransformation,
    num_tasks: int,
) -> TrainState:
    """State before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        weighting_state=method.init(params),
        optimiser_state=optimiser.init(params),
        losses_after=jnp.zeros(num_tasks, jnp.float32),
        finite=jnp.ones((), bool),
    )
