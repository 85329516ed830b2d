"""Weights of a method on the Gramian for less than K gradients in every step.

They may be renewed every n steps only, from a fraction of the batch, or from the gradients with
respect to the representation that all tasks share, which leave the trunk out. The update is then
their weighted sum of the exact gradients, by one backward pass over the whole batch.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, PyTree

from maskformer_jax.tasks import LossSums
from maskformer_jax.training import parts as of_parts
from maskformer_jax.training import pullback
from maskformer_jax.training.parts import Parts, SumsOf
from maskformer_jax.training.pullback import Pullback
from maskformer_jax.training.task_gradients import (
    Backward,
    WeightedGradient,
    per_task,
    task_gradients,
)
from maskformer_jax.weighting import SharedTransformation, TaskState, inner_products


class Cheaper(NamedTuple):
    """When and where weights are found.

    Attributes:
        every: steps from one renewal to the next.
        fraction: of the rows of tracks, which make the Gramian.
        at_representation: from gradients with respect to what all tasks share, in place of the
            shared parameters.
    """

    every: int = 1
    fraction: float = 1.0
    at_representation: bool = False


def weighted_gradient(
    sums_of: SumsOf,
    params: PyTree,
    method: SharedTransformation,
    weighting_state: TaskState,
    parts: Parts,
    *,
    sample: Parts | None,
    how: Cheaper,
    due: Bool[Array, ""],
    backward: Backward = "vmap",
) -> WeightedGradient:
    """Losses, update and state of a step.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the model.
        method: on the Gramian, with one set of weights for the whole model.
        weighting_state: its state.
        parts: the batch.
        sample: the jets whose gradients make the Gramian; none: all.
        how: when and where weights are found.
        due: whether they are renewed in this step; not read where they are in every step.
        backward: as of `per_task`.
    """
    arguments = (sums_of, params, method)

    def keep() -> WeightedGradient:
        return _weighted_sum(*arguments, weighting_state, parts)

    def renew() -> WeightedGradient:
        if how.at_representation:
            return _by_representation(*arguments, weighting_state, parts)
        return per_task(*arguments, weighting_state, parts, backward=backward)

    def weigh() -> TaskState:
        sums, gramian = _gramian(*arguments, sample, how, backward)
        return method.weigh(gramian, weighting_state, sums.mean())

    if sample is None:
        return renew() if how.every == 1 else jax.lax.cond(due, renew, keep)
    state = jax.lax.cond(due, weigh, lambda: weighting_state)
    return _weighted_sum(*arguments, state, parts)


def _weighted_sum(
    sums_of: SumsOf,
    params: PyTree,
    method: SharedTransformation,
    state: TaskState,
    parts: Parts,
) -> WeightedGradient:
    """The gradients added up with the weights of the state, in one backward pass."""
    before = of_parts.add_up_several(lambda part: of_parts.stacked(sums_of(params, part)), parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = of_parts.vjp(sums_of, params, part)
        every = of_parts.whole(parts, sums, before)
        return sums, _pull_sum(params, method, state, every, pull)

    sums, gradient = of_parts.add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, state)


def _pull_sum(
    params: PyTree, method: SharedTransformation, state: TaskState, sums: LossSums, pull: Pullback
) -> PyTree:
    return pullback.weighted(
        pull,
        tuple(of_parts.per_term(sums.count)),
        state.weights,
        method.own(state, sums.mean()),
        method.is_shared(params),
    )


def _gramian(
    sums_of: SumsOf,
    params: PyTree,
    method: SharedTransformation,
    parts: Parts,
    how: Cheaper,
    backward: Backward,
) -> tuple[LossSums, Float[Array, "K K"]]:
    """Losses, and inner products of their gradients where the method compares them."""
    if not how.at_representation:
        sums, gradients = task_gradients(sums_of, params, parts, backward)
        leaves = zip(jax.tree.leaves(gradients), method.is_shared(params), strict=True)
        kept = [leaf for leaf, is_shared in leaves if is_shared]
        return sums, inner_products(kept, kept)
    counts = of_parts.counts(sums_of, params, parts)
    return of_parts.add_up(
        lambda part: _at_cut(*of_parts.vjp(sums_of, params, part), parts, counts), parts
    )


def _at_cut(
    sums: LossSums, pull: Pullback, parts: Parts, counts: Float[Array, " K"] | None
) -> tuple[LossSums, Float[Array, "K K"]]:
    """Inner products of the gradients with respect to the shared representation of a part.

    The jets of two parts have no representation in common, so that the parts add up.

    Source: MGDA-UB, arXiv 1810.04650, Section 3.3.
    """
    count = of_parts.whole(parts, sums.count, counts)
    rows = pullback.at_cut(pull, tuple(of_parts.per_term(count)))
    return sums, inner_products(rows, rows)


def _by_representation(
    sums_of: SumsOf,
    params: PyTree,
    method: SharedTransformation,
    weighting_state: TaskState,
    parts: Parts,
) -> WeightedGradient:
    """The Gramian at the representation and the weighted sum from one forward pass."""
    counts = of_parts.counts(sums_of, params, parts)

    def weigh(sums: LossSums, gramian: Float[Array, "K K"]) -> TaskState:
        return method.weigh(gramian, weighting_state, sums.mean())

    before = of_parts.add_up_several(
        lambda part: _at_cut(*of_parts.vjp(sums_of, params, part), parts, counts), parts
    )

    def pull_back(part: PyTree) -> tuple[tuple[LossSums, Float[Array, "K K"]], PyTree]:
        sums, pull = of_parts.vjp(sums_of, params, part)
        found = _at_cut(sums, pull, parts, counts)
        every = of_parts.whole(parts, found, before)
        return found, _pull_sum(params, method, weigh(*every), every[0], pull)

    found, gradient = of_parts.add_up(pull_back, parts)
    return WeightedGradient(found[0].mean(), gradient, weigh(*found))
