"""`from_gramian` and `from_gradients`: methods on gradients, applied to what tasks share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting import _options, _rows
from maskformer_jax.weighting._losses import Weighting, Weights, separate
from maskformer_jax.weighting._options import OWN_WEIGHTS, OwnWeights
from maskformer_jax.weighting._rows import Active, without_derivative


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


def from_gramian(
    num_tasks: int,
    initial: Callable[[], PyTree],
    weights: Weights,
    *,
    own: OwnWeights = OWN_WEIGHTS["one"],
    mean: bool | Bool[Array, ""] = False,
    divide: bool = False,
    some: bool = True,
    **options: Any,
) -> Weighting:
    """A method of family `gramian` from its weights.

    Args:
        num_tasks: number of tasks K.
        initial: makes the state of the method before the first step.
        weights: `weights(gramian, state, losses, active) -> (weights, state)`. The weights keep the
            type of the Gramian, the state its own. Tasks that are not active have zeros in the
            Gramian, and what is said of them is not looked at.
        own: weights of the parameters that one task alone reaches, by the method's definition. It
            gets the weights of the gradients as given and the state of the method, which has those
            of the gradients after `normalise` and `preference`; of several groups the mean counts.
        mean: whether the weights are those of a mean, 1/K, which is one of the active tasks then.
        divide: as of `scales_of`.
        some: whether tasks may be left out of an update.

    Returns:
        A transformation with a `TaskState`. Its `update` takes `gramian` in place of the inner
        products of the shared gradients: `[K, K]`, or with several groups `[G, K, K]` in the order
        of their first leaves.

    Raises:
        ValueError: `num_tasks` is not positive, or an option breaks its rule.
    """
    chosen = _options.SharedOptions(**options)
    own, many = OWN_WEIGHTS.get(chosen.own_weights, own), chosen.granularity != "model"
    scales = _options.scales_of(num_tasks, chosen, divide=divide)

    def of_one(
        gramian: Float[Array, "K K"],
        state: PyTree,
        losses: Float[Array, " K"] | None,
        active: Active,
    ) -> tuple[Float[Array, " K"], PyTree]:
        values, after = weights(gramian, state, losses, active)
        if active is None:
            return values, after
        share = jnp.where(mean, _rows.active_share(active), 1.0).astype(values.dtype)
        return jnp.where(active, values * share, 0.0), _rows.keep_rows(after, state, active)

    def of_gramian(
        gramian: Float[Array, "*G K K"],
        state: PyTree,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
    ) -> tuple[Float[Array, "*G K"], PyTree]:
        """The weights of scaled gradients follow from the scaled Gramian."""
        if active is not None:
            gramian = jnp.where(active[:, None] & active, gramian, 0.0)
            losses = None if losses is None else jnp.where(active, losses, 1.0)
        of_group = jax.vmap(of_one, in_axes=(0, 0, None, None)) if many else of_one
        gramian = without_derivative(gramian)
        scale = scales(gramian, losses)
        # One factor at a time: the product of two could overflow.
        scaled = gramian * scale[..., :, None] * scale[..., None, :]
        values, after = of_group(scaled, state, losses, active)
        return values * scale, _rows.cast_like(after, state)

    def start(params: PyTree) -> PyTree:
        if not many:
            return initial()
        groups = max(_options.group_index(params, chosen.granularity, chosen.shared)) + 1
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (groups, *x.shape)), initial())

    def weighed(task_grads, state, losses, active, *, gramian=None, **extra) -> Weighed:
        del extra
        kept = _options.keep(task_grads, chosen.shared)
        groups = _options.group_index(task_grads, chosen.granularity, chosen.shared)
        shape = (*([max(groups) + 1] if many else []), num_tasks, num_tasks)
        if gramian is None and many:
            gramian = _options.group_gramians(kept, groups)
        elif gramian is None:
            gramian = _rows.inner_products(kept, kept)
        elif gramian.shape != shape:
            raise ValueError(f"`gramian` must have shape {shape}; got shape {gramian.shape}")
        values, state = of_gramian(gramian, state, losses, active)
        update = _options.group_sums(kept, groups, values.reshape(-1, num_tasks))
        return Weighed(update, values, state, gramian)

    def weigh(
        gramian: Float[Array, "K K"],
        state: TaskState,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
    ) -> TaskState:
        return _task_state(*of_gramian(gramian, state.method, losses, active), gramian)

    def own_of(state: TaskState, losses: Float[Array, " K"] | None = None) -> Float[Array, " K"]:
        return own(state.weights, state.method, losses)

    def is_shared(tree: PyTree) -> list[bool]:
        return jax.tree.leaves(_options.shared_leaves(tree, chosen.shared))

    functions = {"weights": of_gramian, "weigh": weigh, "own": own_of, "is_shared": is_shared}
    if many:
        own, functions = jax.vmap(own, in_axes=(0, 0, None)), {}
    return Weighting(*_on_shared(num_tasks, chosen.shared, start, weighed, own, some), **functions)


def from_gradients(
    num_tasks: int,
    initial: Callable[[PyTree], PyTree],
    combine: Callable[..., tuple[PyTree, PyTree]],
    *,
    own: OwnWeights = OWN_WEIGHTS["one"],
    divide: bool = False,
    some: bool = True,
    **options: Any,
) -> Weighting:
    """A method of family `gradient` from its update.

    Args:
        num_tasks: number of tasks K.
        initial: makes the state of the method for given parameters, with `weights`.
        combine: `combine(task_grads, state, losses, second, active) -> (update, state)`, where what
            was not given is None. Gradients that are scaled come in the type of sums, and those of
            tasks that are not active as zeros. The state keeps its types, the update gets those of
            the gradients.
        own, divide, some: as for `from_gramian`.

    Returns:
        A transformation with a `TaskState`.

    Raises:
        ValueError: `num_tasks` is not positive, or an option breaks its rule.
    """
    chosen = _options.SharedOptions(**options)
    rule = "be 'model' for a method that is no function of the Gramian"
    check.option(chosen.granularity == "model", "granularity", rule, chosen.granularity)
    scales = _options.scales_of(num_tasks, chosen, divide=divide)
    changes_nothing = chosen.normalise == "none" and chosen.preference is None

    def weighed(
        task_grads, state, losses, active, *, gramian=None, task_grads_2=None, **extra
    ) -> Weighed:
        del extra
        if gramian is not None:
            raise ValueError("`gramian` must be left out: the method is no function of it; got one")
        given = (task_grads, task_grads_2)
        rows = [None if x is None else _options.keep(x, chosen.shared) for x in given]
        rows = without_derivative(rows)
        _rows.check_rows(num_tasks, rows[1], "task_grads_2")
        like, gramian = rows[0], _rows.inner_products(rows[0], rows[0])
        scale = None if changes_nothing else scales(gramian, losses)
        if scale is not None:
            rows = [_rows.scale_rows(x, scale) for x in rows]
        update, after = combine(rows[0], state, losses, rows[1], active)
        after = _rows.cast_like(after, state)
        weights = after.weights if scale is None else after.weights * scale
        if active is not None:
            weights = jnp.where(active, weights, 0.0)
            after = _rows.keep_rows(after, state, active)
        return Weighed(_rows.cast_like(update, like), weights, after, gramian)

    def start(params: PyTree) -> PyTree:
        return initial(_options.keep(params, chosen.shared))

    own = OWN_WEIGHTS.get(chosen.own_weights, own)
    return Weighting(*_on_shared(num_tasks, chosen.shared, start, weighed, own, some))


def _on_shared(
    num_tasks: int,
    shared: PyTree | None,
    start: Callable[[PyTree], PyTree],
    combine: Callable[..., Weighed],
    own: OwnWeights,
    some: bool,
) -> tuple[Callable, Callable]:
    """`init` and `update` from those of the shared parameters and the weights of the others."""

    def init(params: PyTree) -> TaskState:
        kept = _options.keep(params, shared)
        some = len(jax.tree.leaves(kept)) > 0
        check.option(some, "shared", "leave at least one parameter to share", "none")
        ones, zeros = jnp.ones(num_tasks, jnp.float32), jnp.zeros((num_tasks,) * 2, jnp.float32)
        return separate(TaskState(ones, jnp.zeros((), jnp.float32), zeros, start(params)))

    def update(
        task_grads: PyTree,
        state: TaskState,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
        **extra: Any,
    ) -> tuple[PyTree, TaskState]:
        del params
        _rows.check_rows(num_tasks, task_grads)
        if active is not None:
            rule = "be left out: the method picks from all tasks"
            check.option(some, "active", rule, active)
            active = check.active(num_tasks, active)
            task_grads = _rows.mask_rows(task_grads, active)
            losses = None if losses is None else jnp.where(active, losses, 1.0)
            if extra.get("task_grads_2") is not None:
                extra["task_grads_2"] = _rows.mask_rows(extra["task_grads_2"], active)
        found = combine(task_grads, state.method, losses, active, **extra)
        combined, others = found.update, _options.keep(task_grads, shared, others=True)
        if jax.tree.leaves(others):
            values = own(found.weights, found.state, losses).reshape(-1, num_tasks).mean(0)
            own_update = _rows.weighted_sum(others, values)
            if extra.get("task_grads_2") is not None:
                second = _options.keep(extra["task_grads_2"], shared, others=True)
                own_update = optax.tree.add(own_update, _rows.weighted_sum(second, values))
            combined = _options.merge(combined, own_update)
        return combined, _task_state(found.weights, found.state, found.gramian)

    return init, update


def _task_state(
    weights: Float[Array, "*G K"], state: PyTree, gramian: Float[Array, "*G K K"]
) -> TaskState:
    """What the log shows: means over the groups, the largest residual, the whole Gramian."""
    num_tasks = weights.shape[-1]
    residual = jnp.max(getattr(state, "residual", jnp.zeros(())))
    return TaskState(
        weights=weights.reshape(-1, num_tasks).mean(0).astype(jnp.float32),
        residual=residual.astype(jnp.float32),
        gramian=gramian.reshape(-1, num_tasks, num_tasks).sum(0).astype(jnp.float32),
        method=state,
    )
