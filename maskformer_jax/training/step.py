"""One training step: forward, backward, weighting, optimiser, in one jitted function."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from maskformer_jax.tasks import LossSums
from maskformer_jax.training import task_gradients
from maskformer_jax.training.state import TrainState
from maskformer_jax.types import Batch, Outputs, Targets


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: unweighted losses of the batch before the update.
        weights: task weights of the update.
        gradient_norm: global norm of the combined gradient, before clipping.
        learning_rate: rate of the update.
        finite: False if the update was not made because a loss or the gradient is not finite.
    """

    losses: Float[Array, " K"]
    weights: Float[Array, " K"]
    gradient_norm: Float[Array, ""]
    learning_rate: Float[Array, ""]
    finite: Bool[Array, ""]


Step = Callable[[TrainState, Batch, Targets], tuple[TrainState, StepMetrics]]


def build(
    apply: Callable[..., Outputs],
    loss_sums: Callable[[Outputs, Batch, Targets], LossSums],
    method: optax.GradientTransformationExtraArgs,
    optimiser: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    scalarise: bool,
    seed: int,
    dropout: bool,
) -> Step:
    """The training step as one jitted function whose state is donated.

    Args:
        apply: the model, `apply(params, batch, key)`.
        loss_sums: the six losses as sums.
        method: the task weighting.
        optimiser: what turns the combined gradient into an update.
        schedule: learning rate of each step, for the report.
        scalarise: True for a method of family `loss`, which needs a single backward pass.
        seed: seed of the dropout, which differs from step to step.
        dropout: whether the model has any.

    Returns:
        `step(state, batch, targets) -> (state, metrics)`. After a non-finite loss or gradient the
        state stays as it was before that step, however many more steps are made.
    """
    weighted_gradient = task_gradients.scalarised if scalarise else task_gradients.per_task

    @partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, batch: Batch, targets: Targets) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step) if dropout else None

        def losses_of(params):
            return loss_sums(apply(params, batch, key), batch, targets).mean()

        losses, gradient, weighting_state = weighted_gradient(
            losses_of, state.params, method, state.weighting_state
        )
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.params)
        gradient_norm = optax.tree.norm(gradient)
        finite = state.finite & jnp.isfinite(losses).all() & jnp.isfinite(gradient_norm)
        proposed = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            weighting_state=weighting_state,
            optimiser_state=optimiser_state,
            finite=finite,
        )
        kept = jax.tree.map(partial(jnp.where, finite), proposed, state)
        metrics = StepMetrics(
            losses=losses,
            weights=weighting_state.weights,
            gradient_norm=gradient_norm,
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32),
            finite=finite,
        )
        return kept._replace(finite=finite), metrics

    return step
