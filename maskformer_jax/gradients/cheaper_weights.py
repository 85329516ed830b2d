"""Weights of a method on the Gramian for less than K gradients in every step.

They may be renewed every n steps only, from a sample of the batch, or from the gradients with
respect to the representation that all losses share, which leave the trunk out. The update is then
their weighted sum of the exact gradients, by one backward pass over the whole batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.gradients import micro_batches
from maskformer_jax.gradients.micro_batches import Backward, LossSums, Parts, SumsOf
from maskformer_jax.weighting import TaskState, Weighting, inner_products
from maskformer_jax.weighting.passes import WeightedGradient, pull_sum
from maskformer_jax.weighting.reverse_pass import Pullback, gradients_at_representation

SumsAndGramian = tuple[LossSums, Float[Array, "K K"]]


class CheaperWeights(NamedTuple):
    """When and where weights are found.

    Attributes:
        every: steps from one renewal to the next.
        fraction: of the batch, as a sample, which makes the Gramian.
        at_representation: from gradients with respect to what all losses share, in place of the
            shared parameters.
    """

    every: int = 1
    fraction: float = 1.0
    at_representation: bool = False


def weigh_sample(
    sums_of: SumsOf,
    params: PyTree,
    method: Weighting,
    state: TaskState,
    sample: Parts,
    *,
    at_representation: bool,
    backward: Backward,
) -> TaskState:
    """State with the weights that the gradients on a sample of the batch give."""
    if at_representation:
        of_part = _at_representation(sums_of, params, sample)
        sums, gramian = micro_batches.add_up(lambda part: of_part(part)[0], sample)
    else:
        sums, gradients = micro_batches.gradients_of_losses(sums_of, params, sample, backward)
        leaves = zip(jax.tree.leaves(gradients), method.is_shared(params), strict=True)
        kept = [leaf for leaf, is_shared in leaves if is_shared]
        gramian = inner_products(kept, kept)
    return method.weigh(gramian, state, sums.mean())


def with_weights_of(
    sums_of: SumsOf, params: PyTree, method: Weighting, state: TaskState, parts: Parts
) -> WeightedGradient:
    """The gradients added up with the weights of the state, in one backward pass."""
    sums_of_batch = micro_batches.known_before(micro_batches.stacked_of(sums_of, params), parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = micro_batches.sums_and_pullback(sums_of, params, part)
        return sums, _pull_sum(params, method, state, sums_of_batch(sums), pull)

    sums, gradient = micro_batches.add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, state, sums)


def _pull_sum(
    params: PyTree, method: Weighting, state: TaskState, sums: LossSums, pull: Pullback
) -> PyTree:
    starts = tuple(micro_batches.cotangents(sums.count))
    return pull_sum(method, state, params, sums.mean(), pull, starts)


def _at_representation(
    sums_of: SumsOf, params: PyTree, parts: Parts
) -> Callable[[PyTree], tuple[SumsAndGramian, Pullback]]:
    """Of a part: losses, the inner products of their gradients, and what pulls further back.

    The gradients are those with respect to the shared representation. Two parts have none in
    common, so that their inner products add up.

    Source: MGDA-UB, arXiv 1810.04650, Section 3.3.
    """
    counts_of_batch = micro_batches.counts_before(sums_of, params, parts)

    def of_part(part: PyTree) -> tuple[SumsAndGramian, Pullback]:
        sums, pull = micro_batches.sums_and_pullback(sums_of, params, part)
        starts = micro_batches.cotangents(counts_of_batch(sums.count))
        rows = gradients_at_representation(pull, tuple(starts))
        return (sums, inner_products(rows, rows)), pull

    return of_part


def by_representation(
    sums_of: SumsOf, params: PyTree, method: Weighting, state: TaskState, parts: Parts
) -> WeightedGradient:
    """Weights from the representation and the weighted sum from one forward pass."""
    of_part = _at_representation(sums_of, params, parts)
    of_batch = micro_batches.known_before(lambda part: of_part(part)[0], parts)

    def weigh(sums: LossSums, gramian: Float[Array, "K K"]) -> TaskState:
        return method.weigh(gramian, state, sums.mean())

    def pull_back(part: PyTree) -> tuple[SumsAndGramian, PyTree]:
        here, pull = of_part(part)
        sums, gramian = of_batch(here)
        return here, _pull_sum(params, method, weigh(sums, gramian), sums, pull)

    (sums, gramian), gradient = micro_batches.add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, weigh(sums, gramian), sums)
