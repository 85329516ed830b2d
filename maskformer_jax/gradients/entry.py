"""What a training step calls: losses in, one update direction out, by the way the method needs."""

from typing import Any, NamedTuple

import optax
from jaxtyping import Array, Bool, PyTree

from maskformer_jax.gradients.by_loss import (
    Backward,
    WeightedGradient,
    in_one_pass,
    loss_by_loss,
)
from maskformer_jax.gradients.cheaper_weights import CheaperWeights, with_cheaper_weights
from maskformer_jax.gradients.micro_batches import Parts, SumsOf


class Weighting(NamedTuple):
    """A weighting of the losses, and what has to be done for it.

    Attributes:
        method: the transformation.
        scalarise: True for a method of family `loss`, which needs a single backward pass.
        second_forward: the method wants the losses of the batch after the step in its next update;
            the caller finds them.
        two_batches: give it gradients on the two halves of the batch.
        cheaper: when and where a method on the Gramian finds its weights; none: in every step, from
            the gradients on the whole batch.
    """

    method: optax.GradientTransformationExtraArgs
    scalarise: bool = True
    second_forward: bool = False
    two_batches: bool = False
    cheaper: CheaperWeights | None = None


def weighted_gradient(
    sums_of: SumsOf,
    params: PyTree,
    weighting: Weighting,
    state: PyTree,
    parts: Parts,
    *,
    backward: Backward = "vmap",
    sample: Parts | None = None,
    due: Bool[Array, ""] | bool = True,
    **extra: Any,
) -> WeightedGradient:
    """Losses of a batch, their gradients combined by the method, and its state after that.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the network.
        weighting: the method, and what has to be done for it.
        state: of the method.
        parts: the batch; with `two_batches` `used` is that of each half.
        backward: `vmap` pulls all losses back at once, `map` one after the other in less memory.
        sample: with cheaper weights, the part of the batch that they are found from; none: all.
        due: with cheaper weights, whether they are renewed in this step.
        **extra: further arguments of the method.
    """
    arguments = (sums_of, params, weighting.method, state, parts)
    if weighting.scalarise:
        return in_one_pass(*arguments, **extra)
    if weighting.cheaper is None:
        two = weighting.two_batches
        return loss_by_loss(*arguments, backward=backward, two_batches=two, **extra)
    return with_cheaper_weights(
        *arguments, cheaper=weighting.cheaper, sample=sample, due=due, backward=backward
    )
