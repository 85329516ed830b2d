"""Weights of a method on the Gramian for less than K gradients in every step.

They may be renewed every n steps only, from a sample of the batch, or from the gradients with
respect to the representation that all losses share, which leave the trunk out. The update is then
their weighted sum of the exact gradients, by one backward pass over the whole batch.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, PyTree

from maskformer_jax.gradients.by_loss import (
    Backward,
    WeightedGradient,
    gradients_of_losses,
    loss_by_loss,
)
from maskformer_jax.gradients.micro_batches import (
    LossSums,
    Parts,
    SumsOf,
    add_up,
    cotangents,
    counts_before,
    known_before,
    sums_and_pullback,
    sums_before,
)
from maskformer_jax.gradients.reverse_pass import (
    Pullback,
    gradients_at_representation,
    sum_of_gradients,
)
from maskformer_jax.weighting import SharedTransformation, TaskState, inner_products


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


def with_cheaper_weights(
    sums_of: SumsOf,
    params: PyTree,
    method: SharedTransformation,
    state: TaskState,
    parts: Parts,
    *,
    cheaper: CheaperWeights,
    sample: Parts | None,
    due: Bool[Array, ""] | bool,
    backward: Backward,
) -> WeightedGradient:
    """Losses, update and state of a step.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the network.
        method: on the Gramian, with one set of weights for the whole network.
        state: its state.
        parts: the batch.
        cheaper: when and where weights are found.
        sample: the part of the batch whose gradients make the Gramian; none: all of it.
        due: whether weights are renewed in this step; not read where they are in every step.
        backward: as of `gradients_of_losses`.
    """
    arguments = (sums_of, params, method)

    def renew() -> WeightedGradient:
        if cheaper.at_representation:
            return _by_representation(*arguments, state, parts)
        return loss_by_loss(*arguments, state, parts, backward=backward)

    def weigh() -> TaskState:
        sums, gramian = _gramian(*arguments, sample, cheaper, backward)
        return method.weigh(gramian, state, sums.mean())

    if sample is not None:
        renewed = jax.lax.cond(due, weigh, lambda: state)
        return _with_weights_of(*arguments, renewed, parts)
    if cheaper.every == 1:
        return renew()
    return jax.lax.cond(due, renew, lambda: _with_weights_of(*arguments, state, parts))


def _with_weights_of(
    sums_of: SumsOf, params: PyTree, method: SharedTransformation, state: TaskState, parts: Parts
) -> WeightedGradient:
    """The gradients added up with the weights of the state, in one backward pass."""
    sums_of_batch = sums_before(sums_of, params, parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = sums_and_pullback(sums_of, params, part)
        return sums, _pull_sum(params, method, state, sums_of_batch(sums), pull)

    sums, gradient = add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, state)


def _pull_sum(
    params: PyTree, method: SharedTransformation, state: TaskState, sums: LossSums, pull: Pullback
) -> PyTree:
    return sum_of_gradients(
        pull,
        tuple(cotangents(sums.count)),
        state.weights,
        method.own(state, sums.mean()),
        method.is_shared(params),
    )


def _gramian(
    sums_of: SumsOf,
    params: PyTree,
    method: SharedTransformation,
    parts: Parts,
    cheaper: CheaperWeights,
    backward: Backward,
) -> tuple[LossSums, Float[Array, "K K"]]:
    """Losses, and inner products of their gradients where the method compares them."""
    if not cheaper.at_representation:
        sums, gradients = gradients_of_losses(sums_of, params, parts, backward)
        leaves = zip(jax.tree.leaves(gradients), method.is_shared(params), strict=True)
        kept = [leaf for leaf, is_shared in leaves if is_shared]
        return sums, inner_products(kept, kept)
    counts_of_batch = counts_before(sums_of, params, parts)

    def of_part(part: PyTree) -> tuple[LossSums, Float[Array, "K K"]]:
        sums, pull = sums_and_pullback(sums_of, params, part)
        return sums, _gramian_at_representation(counts_of_batch(sums.count), pull)

    return add_up(of_part, parts)


def _gramian_at_representation(count: Float[Array, " K"], pull: Pullback) -> Float[Array, "K K"]:
    """Inner products of the gradients with respect to the shared representation of a part.

    Two parts have no representation in common, so that their inner products add up.

    Source: MGDA-UB, arXiv 1810.04650, Section 3.3.
    """
    rows = gradients_at_representation(pull, tuple(cotangents(count)))
    return inner_products(rows, rows)


def _by_representation(
    sums_of: SumsOf, params: PyTree, method: SharedTransformation, state: TaskState, parts: Parts
) -> WeightedGradient:
    """The Gramian at the representation and the weighted sum from one forward pass."""
    counts_of_batch = counts_before(sums_of, params, parts)

    def weigh(sums: LossSums, gramian: Float[Array, "K K"]) -> TaskState:
        return method.weigh(gramian, state, sums.mean())

    def of_part(part: PyTree) -> tuple[tuple[LossSums, Float[Array, "K K"]], Pullback]:
        sums, pull = sums_and_pullback(sums_of, params, part)
        return (sums, _gramian_at_representation(counts_of_batch(sums.count), pull)), pull

    of_batch = known_before(lambda part: of_part(part)[0], parts)

    def pull_back(part: PyTree) -> tuple[tuple[LossSums, Float[Array, "K K"]], PyTree]:
        here, pull = of_part(part)
        sums, gramian = of_batch(here)
        return here, _pull_sum(params, method, weigh(sums, gramian), sums, pull)

    (sums, gramian), gradient = add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, weigh(sums, gramian))
