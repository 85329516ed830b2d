"""A method on gradients at work: gradients scaled first, by groups, the weights scaled back."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import LOSS_EPS, check_losses, check_preference
from maskformer_jax.weighting._gramian import (
    GramianTransformation,
    inner_products,
    norms,
    reciprocal,
)
from maskformer_jax.weighting._groups import group_gramians
from maskformer_jax.weighting._rows import cast_like, scale_rows

NORMALISATIONS = ("none", "l2", "loss")

Scales = Callable[[Float[Array, "*G K K"], Float[Array, " K"] | None], Float[Array, "*G K"]]


class Weighed(NamedTuple):
    """An update of the shared parameters and what it is made of, G groups or a single one.

    Attributes:
        update: sum_k w_k g_k.
        weights: of the gradients as given.
        state: of the method.
        gramian: inner products of the gradients as given.
    """

    update: PyTree
    weights: Float[Array, "*G K"]
    state: PyTree
    gramian: Float[Array, "*G K K"]


def gradient_scales(num_tasks: int, normalise: str, preference: Sequence[float] | None) -> Scales:
    """`scales(gramian, losses)`: factors of the gradients before the method sees them."""
    factors = check_preference(num_tasks, preference)

    def scales(
        products: Float[Array, "*G K K"], losses: Float[Array, " K"] | None
    ) -> Float[Array, "*G K"]:
        scale = jnp.broadcast_to(jnp.asarray(factors, products.dtype), products.shape[:-1])
        if normalise == "l2":
            return scale * reciprocal(norms(products))
        if normalise == "loss":
            given = check_losses("`normalise: loss`", num_tasks, losses, lowest=0.0)
            return scale / (given.astype(scale.dtype) + LOSS_EPS)
        return scale

    return scales


def products(
    num_tasks: int,
    task_grads: PyTree,
    groups: Sequence[int] | None,
    gramian: Float[Array, "..."] | None,
) -> Float[Array, "*G K K"]:
    """The Gramian of each group, or of all gradients if there are no groups, or the given one."""
    if gramian is None:
        if groups is None:
            return inner_products(task_grads, task_grads)
        return jnp.stack(group_gramians(task_grads, groups))
    shape = (num_tasks, num_tasks) if groups is None else (max(groups) + 1, num_tasks, num_tasks)
    if gramian.shape != shape:
        raise ValueError(f"`gramian` must have shape {shape}; got shape {gramian.shape}")
    return gramian


def weights_of_gramian(
    method: GramianTransformation,
    scales: Scales,
    gramian: Float[Array, "*G K K"],
    state: PyTree,
    losses: Float[Array, " K"] | None,
) -> tuple[Float[Array, "*G K"], PyTree]:
    """The weights of scaled gradients follow from the scaled Gramian; no gradient is touched."""
    weights = method.weights
    if gramian.ndim == 3:
        weights = jax.vmap(weights, in_axes=(0, 0, None))
    scale = scales(gramian, losses)
    # One factor at a time: the product of two could overflow.
    values, state = weights(gramian * scale[..., :, None] * scale[..., None, :], state, losses)
    return values * scale, state


def weigh_by_gradient(
    method: optax.GradientTransformationExtraArgs,
    scales: Scales | None,
    task_grads: PyTree,
    state: PyTree,
    losses: Float[Array, " K"] | None,
    rest: dict[str, Any],
) -> Weighed:
    """The update of scaled gradients, in the type of sums until it is rounded to their own."""
    gramian = inner_products(task_grads, task_grads)
    if scales is None:
        update, state = method.update(task_grads, state, losses=losses, **rest)
        return Weighed(update, state.weights, state, gramian)
    scale = scales(gramian, losses)
    if "task_grads_2" in rest:
        rest = {**rest, "task_grads_2": scale_rows(rest["task_grads_2"], scale)}
    update, state = method.update(scale_rows(task_grads, scale), state, losses=losses, **rest)
    update = cast_like(update, task_grads)
    return Weighed(update, state.weights * scale, state, gramian)
