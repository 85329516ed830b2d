"""From losses to one update direction, by the cheapest way that a method allows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._gradients import TaskState
from maskformer_jax.weighting._losses import Weighting
from maskformer_jax.weighting.reverse_pass import Pullback, sum_of_gradients

Method = optax.GradientTransformationExtraArgs
# From weights as a function of the losses to the losses, their gradients added up, and what comes
# beside the losses.
Weighted = Callable[[Callable[[Array], Array]], tuple[Float[Array, " K"], PyTree, PyTree]]


class WeightedGradient(NamedTuple):
    """Result of one evaluation of the losses and their gradients.

    Attributes:
        losses: the unweighted losses.
        gradient: the update direction, shaped like the parameters.
        weighting_state: state of the method after this step.
        aux: what came beside the losses.
    """

    losses: Float[Array, " K"]
    gradient: PyTree
    weighting_state: PyTree
    aux: PyTree = None


class TaskGradients(NamedTuple):
    """Losses and the gradient of each.

    Attributes:
        losses: the unweighted losses.
        rows: leaves `[K, ...]`.
        second: the same on an independent batch, where the method needs them.
        aux: what came beside the losses.
    """

    losses: Float[Array, " K"]
    rows: PyTree
    second: PyTree | None = None
    aux: PyTree = None


def in_one_pass(
    method: Method, state: PyTree, weighted: Weighted, **extra: Any
) -> WeightedGradient:
    """One backward pass, for a method that needs nothing but the losses.

    Such a method is a scalarisation S(L) with weights w = dS/dL. Applied to the identity as
    gradients it returns w, and w is the cotangent of the only backward pass.
    """

    def weigh(losses: Float[Array, " K"]) -> tuple[Array, PyTree]:
        identity = jnp.eye(losses.shape[0], dtype=losses.dtype)
        return method.update(identity, state, losses=losses, **extra)

    losses, gradient, aux = weighted(lambda losses: weigh(losses)[0])
    return WeightedGradient(losses, gradient, weigh(losses)[1], aux)


def loss_by_loss(
    method: Method, state: PyTree, params: PyTree, given: TaskGradients, **extra: Any
) -> WeightedGradient:
    """The gradients of all losses, combined by the method."""
    if given.second is not None:
        extra["task_grads_2"] = given.second
    losses = given.losses
    gradient, state = method.update(given.rows, state, params, losses=losses, **extra)
    return WeightedGradient(losses, gradient, state, given.aux)


def pull_sum(
    method: Weighting,
    state: TaskState,
    params: PyTree,
    losses: Float[Array, " K"],
    pull: Pullback,
    cotangents: Sequence[Float[Array, ""]],
) -> PyTree:
    """The gradients added up with the weights of the state, in one backward pass.

    Args:
        method: on the Gramian, with one set of weights for the model.
        state: of the method.
        params: of the network.
        losses: the unweighted losses.
        pull: from one cotangent per loss to gradients.
        cotangents: of the losses.
    """
    own = method.own(state, losses)
    return sum_of_gradients(pull, cotangents, state.weights, own, method.is_shared(params))
