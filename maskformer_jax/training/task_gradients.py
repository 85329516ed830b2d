"""Losses of a batch and their weighted gradient, in as few backward passes as the method allows."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

LossesOf = Callable[[PyTree], Float[Array, " K"]]


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


def scalarised(
    losses_of: LossesOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    weighting_state: PyTree,
) -> WeightedGradient:
    """One backward pass, for a method that needs nothing but the losses.

    Such a method is a scalarisation S(L) with weights w = dS/dL. Applied to the identity as task
    gradients it returns w, and w is the cotangent of the only backward pass.
    """
    losses, pullback = jax.vjp(losses_of, params)
    identity = jnp.eye(losses.shape[0], dtype=losses.dtype)
    weights, weighting_state = method.update(identity, weighting_state, losses=losses)
    (gradient,) = pullback(weights)
    return WeightedGradient(losses, gradient, weighting_state)


def per_task(
    losses_of: LossesOf,
    params: PyTree,
    method: optax.GradientTransformationExtraArgs,
    weighting_state: PyTree,
) -> WeightedGradient:
    """K gradients from one forward pass, pulled back together by `vmap`, then combined."""
    losses, pullback = jax.vjp(losses_of, params)
    (task_grads,) = jax.vmap(pullback)(jnp.eye(losses.shape[0], dtype=losses.dtype))
    gradient, weighting_state = method.update(task_grads, weighting_state, params, losses=losses)
    return WeightedGradient(losses, gradient, weighting_state)
