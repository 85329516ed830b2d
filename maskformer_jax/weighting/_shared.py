"""The options of all methods on gradients: which parameters, in which groups, at which scale."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting._combine import check_option, check_rows, weighted_sum
from maskformer_jax.weighting._gramian import GramianTransformation
from maskformer_jax.weighting._groups import (
    GRANULARITIES,
    group_index,
    group_sums,
    keep,
    merge,
)
from maskformer_jax.weighting._weigh import (
    NORMALISATIONS,
    Weighed,
    gradient_scales,
    products,
    weigh_by_gradient,
    weights_of_gramian,
)

SHARED_OPTIONS = ("own_weights", "shared", "granularity", "normalise", "preference")

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
        weights: of the gradients as given, in the last update; the mean of several groups.
        residual: of the method's solver, the largest of all groups; 0 where there is none.
        gramian: inner products of the last task gradients over the shared parameters, or those that
            the method was given in their place.
        method: state of the method itself; with several groups one for each, stacked.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]
    gramian: Float[Array, "K K"]
    method: PyTree


class SharedTransformation(optax.GradientTransformationExtraArgs):
    """A method on the Gramian whose weights can be had without the task gradients.

    Attributes:
        weigh: `weigh(gramian, state, losses=None) -> TaskState`, what `update` would make of the
            state; the shared parameters get `state.weights`.
        own: `own(state, losses=None)`, weights of the parameters that one task alone reaches.
        is_shared: `is_shared(params)`, True or False for each leaf.
    """

    weigh: Callable[..., TaskState]
    own: Callable[..., Float[Array, " K"]]
    is_shared: Callable[[PyTree], list[bool]]

    def __new__(cls, init: Callable, update: Callable, *, weigh, own, is_shared):
        transformation = super().__new__(cls, init, update)
        transformation.weigh, transformation.own = weigh, own
        transformation.is_shared = is_shared
        return transformation


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
        own: weights of the parameters that one task alone reaches, by the method's definition. It
            gets the weights of the gradients as given and the state of the method, which has those
            of the gradients after `normalise` and `preference`; of several groups the mean counts.
        own_weights: `one` or `weights`, in place of `own`.
        shared: True for each shared parameter, as a tree like the parameters; none: all are. The
            update of the others adds up two batches where the method is given two.
        granularity: one set of weights for the whole `model`, or one for each `module` (child of
            the model), `layer` (tensors with the same parent) or `tensor`. Gramian methods only.
        normalise: what the gradients are divided by first: nothing, their length (`l2`), or the
            `loss` of their task.
        preference: positive factors of the gradients, applied after `normalise`. The tasks' losses
            are passed on as they are.

    Returns:
        A transformation with a `TaskState`. Its `update` takes `gramian` in place of the inner
        products of the shared gradients: `[K, K]`, or with several groups `[G, K, K]` in the order
        of their first leaves.

    Raises:
        ValueError: an option breaks its rule.
    """
    by_gramian = isinstance(method, GramianTransformation)
    _check_options(by_gramian, own_weights, shared, granularity, normalise)
    own_rule = OWN_RULES.get(own_weights, own)
    many = granularity != "model"
    if many:
        own_rule = jax.vmap(own_rule, in_axes=(0, 0, None))
    scales = gradient_scales(num_tasks, normalise, preference)
    changes_nothing = normalise == "none" and preference is None

    def init(params: PyTree) -> TaskState:
        kept = keep(params, shared)
        some = len(jax.tree.leaves(kept)) > 0
        check_option(some, "shared", "leave at least one parameter to share", "none")
        state = method.init(kept)
        if many:
            groups = max(group_index(params, granularity, shared)) + 1
            state = jax.tree.map(lambda x: jnp.broadcast_to(x, (groups, *x.shape)), state)
        return TaskState(
            weights=jnp.ones(num_tasks, jnp.float32),
            residual=jnp.zeros((), jnp.float32),
            gramian=jnp.zeros((num_tasks, num_tasks), jnp.float32),
            method=state,
        )

    def combine(task_grads, state, params, losses, gramian, extra) -> Weighed:
        kept = keep(task_grads, shared)
        if by_gramian:
            groups = group_index(task_grads, granularity, shared)
            gramian = products(num_tasks, kept, groups if many else None, gramian)
            values, state = weights_of_gramian(method, scales, gramian, state, losses)
            update = group_sums(kept, groups, values.reshape(-1, num_tasks))
            return Weighed(update, values, state, gramian)
        if gramian is not None:
            raise ValueError("`gramian` must be left out: the method is no function of it; got one")
        rest = {"params": None if params is None else keep(params, shared), **extra}
        if "task_grads_2" in extra:
            rest["task_grads_2"] = keep(extra["task_grads_2"], shared)
            check_rows(num_tasks, rest["task_grads_2"], "task_grads_2")
        return weigh_by_gradient(
            method, None if changes_nothing else scales, kept, state, losses, rest
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
        found = combine(task_grads, state.method, params, losses, gramian, extra)
        combined = found.update
        others = keep(task_grads, shared, others=True)
        if jax.tree.leaves(others):
            values = own_rule(found.weights, found.state, losses)
            values = values.reshape(-1, num_tasks).mean(0)
            own_update = weighted_sum(others, values)
            if "task_grads_2" in extra:
                second = keep(extra["task_grads_2"], shared, others=True)
                own_update = optax.tree.add(own_update, weighted_sum(second, values))
            combined = merge(combined, own_update)
        return combined, _task_state(num_tasks, found.weights, found.state, found.gramian)

    if not by_gramian or many:
        return optax.GradientTransformationExtraArgs(init, update)

    def weigh(
        gramian: Float[Array, "K K"], state: TaskState, losses: Float[Array, " K"] | None = None
    ) -> TaskState:
        values, inner = weights_of_gramian(method, scales, gramian, state.method, losses)
        return _task_state(num_tasks, values, inner, gramian)

    def own_of(state: TaskState, losses: Float[Array, " K"] | None = None) -> Float[Array, " K"]:
        return own_rule(state.weights, state.method, losses)

    def is_shared(tree: PyTree) -> list[bool]:
        return jax.tree.leaves(jax.tree.map(lambda _: True, tree) if shared is None else shared)

    return SharedTransformation(init, update, weigh=weigh, own=own_of, is_shared=is_shared)


def _check_options(by_gramian, own_weights, shared, granularity, normalise) -> None:
    for option, value, known in (
        ("normalise", normalise, NORMALISATIONS),
        ("granularity", granularity, GRANULARITIES),
        ("own_weights", own_weights, (None, *OWN_RULES)),
    ):
        check_option(value in known, option, f"be one of {known}", value)
    rule = "be 'model' for a method that is no function of the Gramian"
    check_option(by_gramian or granularity == "model", "granularity", rule, granularity)
    for leaf in jax.tree.leaves(shared):
        check_option(isinstance(leaf, bool), "shared", "be a tree of True and False", leaf)


def _task_state(
    num_tasks: int,
    weights: Float[Array, "*G K"],
    state: PyTree,
    gramian: Float[Array, "*G K K"],
) -> TaskState:
    """What the log shows: means over the groups, the largest residual, the whole Gramian."""
    residual = jnp.max(getattr(state, "residual", jnp.zeros(())))
    return TaskState(
        weights=weights.reshape(-1, num_tasks).mean(0).astype(jnp.float32),
        residual=residual.astype(jnp.float32),
        gramian=gramian.reshape(-1, num_tasks, num_tasks).sum(0).astype(jnp.float32),
        method=state,
    )
