"""What a training step calls: losses in, one update direction out, by the way the method needs."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PyTree

from maskformer_jax.gradients import cheaper_weights, micro_batches
from maskformer_jax.gradients.cheaper_weights import CheaperWeights
from maskformer_jax.gradients.micro_batches import Backward, LossSums, Parts, SumsOf
from maskformer_jax.weighting.passes import (
    TaskGradients,
    Weighted,
    WeightedGradient,
    in_one_pass,
    loss_by_loss,
)

Method = optax.GradientTransformationExtraArgs


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

    method: Method
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

    Beside them, as `aux`, come the losses as sums.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the network.
        weighting: the method, and what has to be done for it.
        state: of the method.
        parts: the batch; with `two_batches` `used` is that of each half.
        backward: `vmap` pulls all losses back at once, `map` one after the other in less memory.
        sample: with cheaper weights, the part of the batch that they are found from; none: all.
        due: with cheaper weights, whether they are renewed in this step; not read without a sample
            where they are in every step.
        **extra: further arguments of the method.
    """
    method, cheaper = weighting.method, weighting.cheaper
    arguments = (sums_of, params, method, state, parts)
    if weighting.scalarise:
        return in_one_pass(method, state, _weighted(sums_of, params, parts), **extra)

    def renew() -> WeightedGradient:
        if cheaper is not None and cheaper.at_representation:
            return cheaper_weights.by_representation(*arguments)
        how = {"backward": backward, "two_batches": weighting.two_batches}
        given = _task_gradients(sums_of, params, parts, **how)
        return loss_by_loss(method, state, params, given, **extra)

    def weigh() -> PyTree:
        by = {"at_representation": cheaper.at_representation, "backward": backward}
        return cheaper_weights.weigh_sample(sums_of, params, method, state, sample, **by)

    if sample is not None:
        renewed = jax.lax.cond(due, weigh, lambda: state)
        return cheaper_weights.with_weights_of(sums_of, params, method, renewed, parts)
    if cheaper is None or cheaper.every == 1:
        return renew()
    return jax.lax.cond(due, renew, lambda: cheaper_weights.with_weights_of(*arguments))


def _weighted(sums_of: SumsOf, params: PyTree, parts: Parts) -> Weighted:
    """One backward pass with weights that follow from the losses.

    Where several parts are used, forward passes over all of them come first, if they do.
    """

    def weighted(weights_of: Callable[[Array], Array]) -> tuple[Array, PyTree, LossSums]:
        sums_of_batch = micro_batches.known_before(micro_batches.stacked_of(sums_of, params), parts)

        def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
            sums, pull = micro_batches.sums_and_pullback(sums_of, params, part)
            sums_here = sums_of_batch(sums)
            weights = weights_of(sums_here.mean())
            return sums, pull(weights * micro_batches.cotangents(sums_here.count))

        sums, gradient = micro_batches.add_up(pull_back, parts)
        return sums.mean(), gradient, sums

    return weighted


def _task_gradients(
    sums_of: SumsOf, params: PyTree, parts: Parts, *, backward: Backward, two_batches: bool
) -> TaskGradients:
    """K gradients from one forward pass, of two batches those on each half of the parts."""
    gradients_of = partial(micro_batches.gradients_of_losses, sums_of, params, backward=backward)
    if not two_batches:
        found = gradients_of(parts=parts)
        return TaskGradients(found.sums.mean(), found.gradients, aux=found.sums)
    first, second = (gradients_of(parts=x) for x in _halves(parts))
    sums = LossSums(*map(jnp.add, first.sums, second.sums))
    return TaskGradients(sums.mean(), first.gradients, second.gradients, sums)


def _halves(parts: Parts) -> Iterator[Parts]:
    half = parts.number() // 2
    for start, used in zip((0, half), parts.used, strict=True):
        yield Parts(jax.tree.map(lambda x, at=start: x[at : at + half], parts.tree), used)
