"""The options of all methods on gradients: which parameters, in which groups, at which scale."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import (
    check_losses,
    check_option,
    check_preference,
    check_rows,
    sum_dtype,
    weighted_sum,
)
from maskformer_jax.weighting._gramian import (
    GramianTransformation,
    inner_products,
    norms,
    reciprocal,
)
from maskformer_jax.weighting._groups import (
    GRANULARITIES,
    group_gramians,
    group_index,
    group_sums,
    keep,
    merge,
)

SHARED_OPTIONS = ("own_weights", "shared", "granularity", "normalise", "preference")
NORMALISATIONS = ("none", "l2", "loss")
LOSS_EPS = 1e-8

OwnWeights = Callable[[Float[Array, " K"], PyTree, Float[Array, " K"] | None], Float[Array, " K"]]


def own_one(
    weights: Float[Array, " K"], state: PyTree, losses: Float[Array, " K"] | None
) -> Float[Array, " K"]:
    """A parameter that one task alone reaches gets the gradient of that task."""
    del state, losses
    return jnp.ones_like(weights)


def own_weights(
    weights: Float[Array, " K"], state: PyTree, losses: Float[Array, " K"] | None
) -> Float[Array, " K"]:
    """It gets that gradient times the weight of its task."""
    del state, losses
    return weights


OWN_RULES = {"one": own_one, "weights": own_weights}


class TaskState(NamedTuple):
    """State of a method on gradients, with what every log shows.

    Attributes:
        weights: weights of the last update; with several groups of parameters their mean.
        residual: of the method's solver, the largest of all groups; 0 where there is none.
        gramian: inner products of the last task gradients over the shared parameters.
        method: state of the method itself; with several groups one for each, stacked.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]
    gramian: Float[Array, "K K"]
    method: PyTree


def on_shared_parameters(
    num_tasks: int,
    method: optax.GradientTransformationExtraArgs,
    own: OwnWeights = own_one,
    *,
    own_weights: Literal["one", "weights"] | None = None,
    shared: PyTree | None = None,
    granularity: Literal["model", "module", "layer", "tensor"] = "model",
    normalise: Literal["none", "l2", "loss"] = "none",
    preference: Sequence[float] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """A method on gradients, applied to the parameters that tasks share.

    Args:
        num_tasks: number of tasks K.
        method: of family `gramian` or `gradient`.
        own: weights of the parameters that one task alone reaches, by the method's definition.
        own_weights: `one` or `weights`, in place of `own`.
        shared: True for each shared parameter, as a tree like the parameters; none: all are.
        granularity: one set of weights for the whole `model`, or one for each `module` (child of
            the model), `layer` (tensors with the same parent) or `tensor`. Gramian methods only.
        normalise: what the gradients are divided by first: nothing, their length (`l2`), or the
            `loss` of their task.
        preference: positive factors of the gradients, applied after `normalise`. The tasks' losses
            are passed on as they are.

    Returns:
        A transformation with a `TaskState`. Its weights are those of the gradients as given.

    Raises:
        ValueError: an option breaks its rule.
    """
    by_gramian = isinstance(method, GramianTransformation)
    for option, value, known in (
        ("normalise", normalise, NORMALISATIONS),
        ("granularity", granularity, GRANULARITIES),
        ("own_weights", own_weights, (None, *OWN_RULES)),
    ):
        check_option(value in known, option, f"be one of {known}", value)
    check_option(
        by_gramian or granularity == "model",
        "granularity",
        "be 'model' for a method that is no function of the Gramian",
        granularity,
    )
    own_rule = OWN_RULES.get(own_weights, own)
    factors = check_preference(num_tasks, preference)
    changes_nothing = normalise == "none" and preference is None

    def scales(products: Float[Array, "*G K K"], losses: Array | None) -> Float[Array, "*G K"]:
        """Factors of the gradients before the method sees them."""
        scale = jnp.broadcast_to(jnp.asarray(factors, products.dtype), products.shape[:-1])
        if normalise == "l2":
            return scale * reciprocal(norms(products))
        if normalise == "loss":
            given = check_losses("`normalise: loss`", num_tasks, losses, lowest=0.0)
            return scale / (given.astype(scale.dtype) + LOSS_EPS)
        return scale

    def weigh_by_gramian(task_grads, state, losses, gramian):
        groups = group_index(task_grads, granularity)
        if gramian is None:
            products = group_gramians(task_grads, groups)
            gramian = products[0] if granularity == "model" else jnp.stack(products)
        scale = scales(gramian, losses)
        # One factor at a time: the product of two could overflow.
        scaled = gramian * scale[..., :, None] * scale[..., None, :]
        weights = method.weights
        if granularity != "model":
            weights = jax.vmap(weights, in_axes=(0, 0, None))
        values, state = weights(scaled, state, losses)
        values = values * scale
        update = group_sums(task_grads, groups, values.reshape(-1, num_tasks))
        total = gramian.reshape(-1, num_tasks, num_tasks).sum(0)
        return update, values.reshape(-1, num_tasks).mean(0), state, total

    def weigh_by_gradient(task_grads, state, params, losses, extra):
        gramian = inner_products(task_grads, task_grads)
        scale = scales(gramian, losses)

        def scaled(tree: PyTree) -> PyTree:
            if changes_nothing:
                return tree
            return jax.tree.map(
                lambda leaf: (
                    leaf.astype(sum_dtype(leaf.dtype))
                    * scale.reshape(num_tasks, *[1] * (leaf.ndim - 1))
                ).astype(leaf.dtype),
                tree,
            )

        if "task_grads_2" in extra:
            second = keep(extra["task_grads_2"], shared)
            check_rows(num_tasks, second, "task_grads_2")
            extra = {**extra, "task_grads_2": scaled(second)}
        update, state = method.update(scaled(task_grads), state, params, losses=losses, **extra)
        return update, state.weights * scale, state, gramian

    def init(params: PyTree) -> TaskState:
        kept = keep(params, shared)
        some = len(jax.tree.leaves(kept)) > 0
        check_option(some, "shared", "leave at least one parameter to share", "none")
        state = method.init(kept)
        if granularity != "model":
            groups = max(group_index(kept, granularity)) + 1
            state = jax.tree.map(lambda x: jnp.broadcast_to(x, (groups, *x.shape)), state)
        return TaskState(
            weights=jnp.ones(num_tasks, jnp.float32),
            residual=jnp.zeros((), jnp.float32),
            gramian=jnp.zeros((num_tasks, num_tasks), jnp.float32),
            method=state,
        )

    def update(
        task_grads: PyTree,
        state: TaskState,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        gramian: Float[Array, "*G K K"] | None = None,
        **extra: Any,
    ) -> tuple[PyTree, TaskState]:
        check_rows(num_tasks, task_grads)
        kept = keep(task_grads, shared)
        if by_gramian:
            found = weigh_by_gramian(kept, state.method, losses, gramian)
        else:
            kept_params = None if params is None else keep(params, shared)
            found = weigh_by_gradient(kept, state.method, kept_params, losses, extra)
        update, weights, inner, products = found
        residual = jnp.max(getattr(inner, "residual", jnp.zeros(())))
        new_state = TaskState(
            weights=weights.astype(jnp.float32),
            residual=residual.astype(jnp.float32),
            gramian=products.astype(jnp.float32),
            method=inner,
        )
        others = keep(task_grads, shared, others=True)
        if jax.tree.leaves(others):
            own_values = own_rule(weights, inner, losses)
            update = merge(update, weighted_sum(others, own_values))
        return update, new_state

    return optax.GradientTransformationExtraArgs(init, update)
