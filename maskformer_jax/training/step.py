"""One training step: forward, backward, weighting, optimiser, in one jitted function."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from maskformer_jax.tasks import LossSums
from maskformer_jax.training import cheaper, task_gradients
from maskformer_jax.training.cheaper import Cheaper
from maskformer_jax.training.parts import SumsOf, parts_of, sample_of
from maskformer_jax.training.state import TrainState
from maskformer_jax.training.task_gradients import Backward
from maskformer_jax.types import Batch, Outputs, Targets


class Weighting(NamedTuple):
    """A task weighting and what the step has to do for it.

    Attributes:
        method: the transformation.
        scalarise: True for a method of family `loss`, which needs a single backward pass.
        second_forward: hand the losses of the batch after the step to the next update.
        two_batches: give it gradients on the two halves of the batch.
        how: when and where a method on the Gramian finds its weights; none: in every step, from
            the gradients on the whole batch.
    """

    method: optax.GradientTransformationExtraArgs
    scalarise: bool = True
    second_forward: bool = False
    two_batches: bool = False
    how: Cheaper | None = None


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: unweighted losses of the batch before the update.
        weights: task weights of the update.
        gramian: inner products of the task gradients where the method compares them, from its last
            renewal; none for a method that has no task gradients.
        residual: of the method's solver; none for a method without one.
        gradient_norm: global norm of the combined gradient, before clipping.
        learning_rate: rate of the update.
        finite: False if the update was not made because a loss or the gradient is not finite.
    """

    losses: Float[Array, " K"]
    weights: Float[Array, " K"]
    gramian: Float[Array, "K K"] | None
    residual: Float[Array, ""] | None
    gradient_norm: Float[Array, ""]
    learning_rate: Float[Array, ""]
    finite: Bool[Array, ""]


Step = Callable[[TrainState, Batch, Targets], tuple[TrainState, StepMetrics]]
SumsAt = Callable[[Int[Array, ""], int], SumsOf]


def build_sums(
    apply: Callable[..., Outputs],
    terms: Callable[[Outputs, Batch, Targets], list[LossSums]],
    *,
    seed: int,
    dropout: bool,
) -> SumsAt:
    """The losses of a part in a step: `sums_at(step, number_of_parts)(params, part)`.

    Args:
        apply: the model.
        terms: the losses one by one.
        seed: of the dropout; every part of every step has a key of its own.
        dropout: whether the model has any.
    """

    def sums_at(step: Int[Array, ""], number: int) -> SumsOf:
        def sums_of(params: PyTree, part: PyTree) -> list[LossSums]:
            batch, targets, index = part
            key = None
            if dropout:
                key = jax.random.fold_in(jax.random.key(seed), step * number + index)
            return terms(apply(params, batch, key), batch, targets)

        return sums_of

    return sums_at


def build(
    apply: Callable[..., Outputs],
    terms: Callable[[Outputs, Batch, Targets], list[LossSums]],
    weighting: Weighting,
    optimiser: optax.GradientTransformation,
    schedule: optax.Schedule,
    *,
    seed: int,
    dropout: bool,
    backward: Backward = "vmap",
    spread: int | None = None,
) -> Step:
    """The training step as one jitted function whose state is donated.

    Args:
        apply: the model, `apply(params, batch, key)`.
        terms: the six losses as sums, one by one.
        weighting: the task weighting.
        optimiser: what turns the combined gradient into an update.
        schedule: learning rate of each step, for the report.
        seed: seed of the dropout, which differs from step to step.
        dropout: whether the model has any.
        backward: how the gradients of the tasks are pulled back.
        spread: parts that a batch is spread over, for samples of it; none: not known.

    Returns:
        `step(state, batch, targets) -> (state, metrics)`; the batch comes in parts, the leading
        axis, of which those with jets come first (of each half, for `two_batches`). After a
        non-finite loss or gradient the state stays as it was before that step, however many more
        steps are made.
    """
    method = weighting.method
    sums_at = build_sums(apply, terms, seed=seed, dropout=dropout)

    @partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, batch: Batch, targets: Targets) -> tuple[TrainState, StepMetrics]:
        sums_of = sums_at(state.step, len(batch.jet_valid))
        parts = parts_of(batch, targets, 2 if weighting.two_batches else 1)
        arguments = (sums_of, state.params, method, state.weighting_state, parts)
        extra = {"losses_after": state.losses_after} if weighting.second_forward else {}
        if weighting.scalarise:
            found = task_gradients.scalarised(*arguments, **extra)
        elif weighting.how is not None:
            sample = sample_of(batch, targets, weighting.how.fraction, spread)
            due = state.step % weighting.how.every == 0
            if sample is not None:
                # The last batch of an epoch may have no jet in the rows of the sample.
                due &= sample.tree[0].jet_valid.any()
            found = cheaper.weighted_gradient(
                *arguments, sample=sample, how=weighting.how, due=due, backward=backward
            )
        else:
            two = weighting.two_batches
            found = task_gradients.per_task(*arguments, backward=backward, two_batches=two, **extra)
        losses, gradient, weighting_state = found
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.params)
        params = optax.apply_updates(state.params, updates)
        gradient_norm = optax.tree.norm(gradient)
        finite = state.finite & jnp.isfinite(losses).all() & jnp.isfinite(gradient_norm)
        losses_after = state.losses_after
        if weighting.second_forward:
            losses_after = task_gradients.losses(sums_of, params, parts)
        proposed = TrainState(
            step=state.step + 1,
            params=params,
            weighting_state=weighting_state,
            optimiser_state=optimiser_state,
            losses_after=losses_after,
            finite=finite,
        )
        kept = jax.tree.map(partial(jnp.where, finite), proposed, state)
        metrics = StepMetrics(
            losses=losses,
            weights=weighting_state.weights,
            gramian=getattr(weighting_state, "gramian", None),
            residual=getattr(weighting_state, "residual", None),
            gradient_norm=gradient_norm,
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32),
            finite=finite,
        )
        return kept._replace(finite=finite), metrics

    return step
