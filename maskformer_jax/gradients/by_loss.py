"""Losses of a batch and their weighted gradient, in as few backward passes as the method allows."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.gradients.micro_batches import (
    LossSums,
    Parts,
    SumsOf,
    add_up,
    cotangents,
    counts_before,
    sums_and_pullback,
    sums_before,
)
from maskformer_jax.gradients.reverse_pass import fill_rows, gradients_by_loss

Backward = Literal["vmap", "map"]


class WeightedGradient(NamedTuple):
    """Result of one evaluation of the losses and their gradients.

    Attributes:
        losses: the unweighted losses.
        gradient: the update direction, shaped like the parameters.
        weighting_state: state of the method after this step.
    """

    losses: Float[Array, " K"]
    gradient: PyTree
    weighting_state: PyTree


class LossGradients(NamedTuple):
    """Losses of a batch as sums, and their gradients.

    Attributes:
        sums: the losses.
        gradients: leaves `[K, ...]`.
    """

    sums: LossSums
    gradients: PyTree


def gradients_of_losses(
    sums_of: SumsOf, params: PyTree, parts: Parts, backward: Backward = "vmap"
) -> LossGradients:
    """The gradient of every loss, from one forward pass over the parts.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the network.
        parts: the batch.
        backward: `vmap` pulls all losses back at once, `map` one after the other in less memory.
    """
    counts_of_batch = counts_before(sums_of, params, parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = sums_and_pullback(sums_of, params, part)
        starts = cotangents(counts_of_batch(sums.count))
        if backward == "map":
            return sums, jax.lax.map(pull, jnp.diag(starts))
        return sums, gradients_by_loss(pull, tuple(starts))

    sums, gradients = add_up(pull_back, parts)
    return LossGradients(sums, fill_rows(gradients, len(sums.count)))


def in_one_pass(
    sums_of: SumsOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    state: PyTree,
    parts: Parts,
    **extra: Any,
) -> WeightedGradient:
    """One backward pass, for a method that needs nothing but the losses.

    Such a method is a scalarisation S(L) with weights w = dS/dL. Applied to the identity as
    gradients it returns w, and w is the cotangent of the only backward pass. Where several parts
    are used, forward passes over all of them come first, if w depends on the losses.
    """

    def weigh(sums: LossSums) -> tuple[Array, PyTree]:
        identity = jnp.eye(sums.total.shape[0], dtype=sums.total.dtype)
        return method.update(identity, state, losses=sums.mean(), **extra)

    sums_of_batch = sums_before(sums_of, params, parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = sums_and_pullback(sums_of, params, part)
        sums_here = sums_of_batch(sums)
        weights, _ = weigh(sums_here)
        return sums, pull(weights * cotangents(sums_here.count))

    sums, gradient = add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, weigh(sums)[1])


def loss_by_loss(
    sums_of: SumsOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    state: PyTree,
    parts: Parts,
    *,
    backward: Backward = "vmap",
    two_batches: bool = False,
    **extra: Any,
) -> WeightedGradient:
    """K gradients from one forward pass, pulled back together, then combined.

    With `two_batches` the method gets `task_grads_2` too: the gradients on the second half of the
    parts, those on the first being `task_grads`.
    """
    if two_batches:
        first, second = (gradients_of_losses(sums_of, params, x, backward) for x in _halves(parts))
        extra = {**extra, "task_grads_2": second.gradients}
        sums = LossSums(*map(jnp.add, first.sums, second.sums))
    else:
        first = gradients_of_losses(sums_of, params, parts, backward)
        sums = first.sums
    gradient, state = method.update(first.gradients, state, params, losses=sums.mean(), **extra)
    return WeightedGradient(sums.mean(), gradient, state)


def _halves(parts: Parts) -> Iterator[Parts]:
    half = parts.number() // 2
    for start, used in zip((0, half), parts.used, strict=True):
        yield Parts(jax.tree.map(lambda x, at=start: x[at : at + half], parts.tree), used)
