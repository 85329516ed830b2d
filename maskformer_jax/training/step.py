"""One training step: forward, backward, weighting, optimiser, in one jitted function."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from maskformer_jax import gradients
from maskformer_jax.gradients import Backward, LossSums, Parts, SumsOf, Weighting
from maskformer_jax.model.config import ModelConfig
from maskformer_jax.training.batches import parts_of, sample_of
from maskformer_jax.training.state import TrainState
from maskformer_jax.types import Batch, Labels, Outputs


class StepMetrics(NamedTuple):
    """What a step reports.

    Attributes:
        losses: unweighted losses of the batch before the update.
        counted: whether there was anything to count for each; its loss is zero otherwise.
        weights: weights of the losses in the update.
        gramian: inner products of the gradients of the losses where the method compares
            them, from its last renewal; none for a method that has no task gradients.
        residual: of the method's solver; none for a method without one.
        gradient_norm: global norm of the combined gradient, before clipping.
        learning_rate: rate of the update.
        finite: False if the update was not made because a loss or the gradient is not finite.
    """

    losses: Float[Array, " K"]
    counted: Bool[Array, " K"]
    weights: Float[Array, " K"]
    gramian: Float[Array, "K K"] | None
    residual: Float[Array, ""] | None
    gradient_norm: Float[Array, ""]
    learning_rate: Float[Array, ""]
    finite: Bool[Array, ""]


Step = Callable[[TrainState, Batch, Labels], tuple[TrainState, StepMetrics]]
SumsAt = Callable[[Int[Array, ""], int], SumsOf]


def has_dropout(config: ModelConfig) -> bool:
    """Whether the network drops anything in training."""
    return config.dropout > 0 or config.head_dropout > 0


def build_sums(
    apply: Callable[..., Outputs],
    terms: Callable[[Outputs, Batch, Labels], list[LossSums]],
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
            batch, labels, index = part
            key = None
            if dropout:
                key = jax.random.fold_in(jax.random.key(seed), step * number + index)
            return terms(apply(params, batch, key), batch, labels)

        return sums_of

    return sums_at


def build(
    apply: Callable[..., Outputs],
    terms: Callable[[Outputs, Batch, Labels], list[LossSums]],
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
        terms: the losses as sums, one by one.
        weighting: the task weighting.
        optimiser: what turns the combined gradient into an update.
        schedule: learning rate of each step, for the report.
        seed: seed of the dropout, which differs from step to step.
        dropout: whether the model has any.
        backward: how the gradients of the tasks are pulled back.
        spread: parts that a batch is spread over, for samples of it; none: not known.

    Returns:
        `step(state, batch, labels) -> (state, metrics)`; the batch comes in parts, the leading
        axis, of which those with jets come first (of each half, for `two_batches`). After a
        non-finite loss or gradient the state stays as it was before that step, however many more
        steps are made.
    """
    sums_at = build_sums(apply, terms, seed=seed, dropout=dropout)

    @partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, batch: Batch, labels: Labels) -> tuple[TrainState, StepMetrics]:
        sums_of = sums_at(state.step, len(batch.jet_valid))
        parts = parts_of(batch, labels, 2 if weighting.two_batches else 1)
        if weighting.second_forward:
            more = {"losses_after": state.losses_after}
        else:
            more = _renewal(weighting, state.step, batch, labels, spread)
        losses, gradient, weighting_state, sums = gradients.weighted_gradient(
            *(sums_of, state.params, weighting, state.weighting_state, parts),
            backward=backward,
            **more,
        )
        updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, state.params)
        params = optax.apply_updates(state.params, updates)
        gradient_norm = optax.tree.norm(gradient)
        finite = state.finite & jnp.isfinite(losses).all() & jnp.isfinite(gradient_norm)
        losses_after = state.losses_after
        if weighting.second_forward:
            losses_after = gradients.losses(sums_of, params, parts)
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
            counted=sums.count > 0,
            weights=weighting_state.weights,
            gramian=getattr(weighting_state, "gramian", None),
            residual=getattr(weighting_state, "residual", None),
            gradient_norm=gradient_norm,
            learning_rate=jnp.asarray(schedule(state.step), jnp.float32),
            finite=finite,
        )
        return kept._replace(finite=finite), metrics

    return step


def _renewal(
    weighting: Weighting, step: Int[Array, ""], batch: Batch, labels: Labels, spread: int | None
) -> dict[str, Parts | Bool[Array, ""] | None]:
    """What cheaper weights are found from, and whether they are in this step."""
    cheaper = weighting.cheaper
    if cheaper is None:
        return {}
    sample = sample_of(batch, labels, cheaper.fraction, spread)
    due = step % cheaper.every == 0
    if sample is not None:
        # The last batch of an epoch may have no jet in the rows of the sample.
        due &= sample.tree[0].jet_valid.any()
    return {"sample": sample, "due": due}
