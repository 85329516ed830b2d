"""Losses of a batch and their weighted gradient, in as few backward passes as the method allows."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.tasks import LossSums
from maskformer_jax.training import parts as of_parts
from maskformer_jax.training import pullback
from maskformer_jax.training.parts import Parts, SumsOf

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


class TaskGradients(NamedTuple):
    """Losses of a batch as sums, and the gradients of the losses.

    Attributes:
        sums: the losses.
        gradients: leaves `[K, ...]`.
    """

    sums: LossSums
    gradients: PyTree


def losses(sums_of: SumsOf, params: PyTree, parts: Parts) -> Float[Array, " K"]:
    """The losses alone, by forward passes."""
    return of_parts.add_up(lambda part: of_parts.stacked(sums_of(params, part)), parts).mean()


def scalarised(
    sums_of: SumsOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    weighting_state: PyTree,
    parts: Parts,
    **extra: Any,
) -> WeightedGradient:
    """One backward pass, for a method that needs nothing but the losses.

    Such a method is a scalarisation S(L) with weights w = dS/dL. Applied to the identity as task
    gradients it returns w, and w is the cotangent of the only backward pass. Where several parts
    are used, forward passes over all of them come first, if w depends on the losses.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the model.
        method: of family `loss`.
        weighting_state: its state.
        parts: the batch.
        **extra: further arguments of the method.
    """

    def weigh(sums: LossSums) -> tuple[Array, PyTree]:
        identity = jnp.eye(sums.total.shape[0], dtype=sums.total.dtype)
        return method.update(identity, weighting_state, losses=sums.mean(), **extra)

    before = of_parts.add_up_several(lambda part: of_parts.stacked(sums_of(params, part)), parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = of_parts.vjp(sums_of, params, part)
        every = of_parts.whole(parts, sums, before)
        weights, _ = weigh(every)
        return sums, pull(weights * of_parts.per_term(every.count))

    sums, gradient = of_parts.add_up(pull_back, parts)
    return WeightedGradient(sums.mean(), gradient, weigh(sums)[1])


def per_task(
    sums_of: SumsOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    weighting_state: PyTree,
    parts: Parts,
    *,
    backward: Backward = "vmap",
    two_batches: bool = False,
    **extra: Any,
) -> WeightedGradient:
    """K gradients from one forward pass, pulled back together, then combined.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a part one by one.
        params: of the model.
        method: of any family.
        weighting_state: its state.
        parts: the batch; with `two_batches` `used` is that of each half.
        backward: `vmap` pulls all tasks back at once, `map` one after the other in less memory.
        two_batches: give the method `task_grads_2` too: the gradients on the second half of the
            parts, those on the first being `task_grads`.
        **extra: further arguments of the method.
    """
    if two_batches:
        first, second = (task_gradients(sums_of, params, x, backward) for x in _halves(parts))
        extra = {**extra, "task_grads_2": second.gradients}
        sums = LossSums(*map(jnp.add, first.sums, second.sums))
    else:
        first = task_gradients(sums_of, params, parts, backward)
        sums = first.sums
    gradient, weighting_state = method.update(
        first.gradients, weighting_state, params, losses=sums.mean(), **extra
    )
    return WeightedGradient(sums.mean(), gradient, weighting_state)


def task_gradients(
    sums_of: SumsOf, params: PyTree, parts: Parts, backward: Backward = "vmap"
) -> TaskGradients:
    """The gradient of every loss, from one forward pass over the parts."""
    before = of_parts.counts(sums_of, params, parts)

    def pull_back(part: PyTree) -> tuple[LossSums, PyTree]:
        sums, pull = of_parts.vjp(sums_of, params, part)
        cotangents = of_parts.per_term(of_parts.whole(parts, sums.count, before))
        if backward == "map":
            return sums, jax.lax.map(pull, jnp.diag(cotangents))
        return sums, pullback.separate(pull, tuple(cotangents))

    sums, gradients = of_parts.add_up(pull_back, parts)
    return TaskGradients(sums, pullback.spread(gradients, len(sums.count)))


def _halves(parts: Parts) -> Iterator[Parts]:
    half = parts.number() // 2
    for start, used in zip((0, half), parts.used, strict=True):
        yield Parts(jax.tree.map(lambda x, at=start: x[at : at + half], parts.tree), used)
