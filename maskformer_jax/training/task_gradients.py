"""Losses of a batch and their weighted gradient, in as few backward passes as the method allows.

A batch comes as micro-batches, the leading axis of every leaf. Losses are sums over jets, tracks or
objects divided by their number in the whole batch, so that any number of micro-batches gives the
same losses and gradients, and only the activations of one are in memory at a time.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.tasks import LossSums

SumsOf = Callable[[PyTree, PyTree], LossSums]
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


def losses(sums_of: SumsOf, params: PyTree, parts: PyTree) -> Float[Array, " K"]:
    """The losses alone, by forward passes."""
    return _sums(sums_of, params, parts).mean()


def scalarised(
    sums_of: SumsOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    weighting_state: PyTree,
    parts: PyTree,
    **extra: Any,
) -> WeightedGradient:
    """One backward pass, for a method that needs nothing but the losses.

    Such a method is a scalarisation S(L) with weights w = dS/dL. Applied to the identity as task
    gradients it returns w, and w is the cotangent of the only backward pass. With several
    micro-batches a forward pass over all of them comes first, since w depends on their losses.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a micro-batch.
        params: of the model.
        method: of family `loss`.
        weighting_state: its state.
        parts: micro-batches.
        **extra: further arguments of the method.
    """

    def weigh(sums: LossSums) -> tuple[Array, PyTree]:
        identity = jnp.eye(sums.total.shape[0], dtype=sums.total.dtype)
        return method.update(identity, weighting_state, losses=sums.mean(), **extra)

    if _number(parts) == 1:
        sums, pullback = _pullback(sums_of, params, _first(parts))
        weights, weighting_state = weigh(sums)
        return WeightedGradient(
            sums.mean(), pullback(weights * _per_term(sums.count)), weighting_state
        )
    sums = _sums(sums_of, params, parts)
    weights, weighting_state = weigh(sums)
    cotangent = weights * _per_term(sums.count)

    def add(gradient: PyTree, part: PyTree) -> tuple[PyTree, None]:
        _, pullback = _pullback(sums_of, params, part)
        return optax.tree.add(gradient, pullback(cotangent)), None

    gradient, _ = jax.lax.scan(add, optax.tree.zeros_like(params), parts)
    return WeightedGradient(sums.mean(), gradient, weighting_state)


def per_task(
    sums_of: SumsOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    weighting_state: PyTree,
    parts: PyTree,
    *,
    backward: Backward = "vmap",
    two_batches: bool = False,
    **extra: Any,
) -> WeightedGradient:
    """K gradients from one forward pass, pulled back together, then combined.

    Args:
        sums_of: `sums_of(params, part)`, the losses of a micro-batch.
        params: of the model.
        method: of any family.
        weighting_state: its state.
        parts: micro-batches.
        backward: `vmap` pulls all tasks back at once, `map` one after the other in less memory.
        two_batches: give the method `task_grads_2` too: the gradients on the second half of the
            micro-batches, those on the first being `task_grads`.
        **extra: further arguments of the method.
    """
    if two_batches:
        half = _number(parts) // 2
        first = task_gradients(sums_of, params, jax.tree.map(lambda x: x[:half], parts), backward)
        second = task_gradients(sums_of, params, jax.tree.map(lambda x: x[half:], parts), backward)
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
    sums_of: SumsOf, params: PyTree, parts: PyTree, backward: Backward = "vmap"
) -> TaskGradients:
    """The gradient of every loss, from one forward pass over the micro-batches."""

    def pull_all(pullback: Callable[[Array], PyTree], cotangents: Float[Array, "K K"]) -> PyTree:
        if backward == "map":
            return jax.lax.map(pullback, cotangents)
        return jax.vmap(pullback)(cotangents)

    if _number(parts) == 1:
        sums, pullback = _pullback(sums_of, params, _first(parts))
        return TaskGradients(sums, pull_all(pullback, jnp.diag(_per_term(sums.count))))
    # Nothing but the targets decides the counts: the compiler drops the model from this pass.
    cotangents = jnp.diag(_per_term(_sums(sums_of, params, parts).count))

    def add(carry: TaskGradients, part: PyTree) -> tuple[TaskGradients, None]:
        sums, pullback = _pullback(sums_of, params, part)
        return jax.tree.map(
            jnp.add, carry, TaskGradients(sums, pull_all(pullback, cotangents))
        ), None

    num_tasks = cotangents.shape[0]
    zeros = jax.tree.map(lambda x: jnp.zeros((num_tasks, *x.shape), x.dtype), params)
    nothing = jnp.zeros(num_tasks, cotangents.dtype)
    return jax.lax.scan(add, TaskGradients(LossSums(nothing, nothing), zeros), parts)[0]


def _pullback(
    sums_of: SumsOf, params: PyTree, part: PyTree
) -> tuple[LossSums, Callable[[Float[Array, " K"]], PyTree]]:
    """Losses of a micro-batch, and the function from cotangents of their totals to gradients."""
    total, pullback, count = jax.vjp(lambda p: tuple(sums_of(p, part)), params, has_aux=True)
    return LossSums(total, count), lambda cotangent: pullback(cotangent)[0]


def _sums(sums_of: SumsOf, params: PyTree, parts: PyTree) -> LossSums:
    if _number(parts) == 1:
        return sums_of(params, _first(parts))
    each = jax.lax.map(lambda part: sums_of(params, part), parts)
    return LossSums(*(x.sum(0) for x in each))


def _per_term(count: Float[Array, " K"]) -> Float[Array, " K"]:
    """Derivative of `LossSums.mean` with respect to the totals."""
    return LossSums(jnp.ones_like(count), count).mean()


def _number(parts: PyTree) -> int:
    return jax.tree.leaves(parts)[0].shape[0]


def _first(parts: PyTree) -> PyTree:
    return jax.tree.map(lambda x: x[0], parts)
