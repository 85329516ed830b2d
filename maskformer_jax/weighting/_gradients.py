"""`from_gramian` and `from_gradients`: methods on gradients, applied to what tasks share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting import _options, _rows
from maskformer_jax.weighting._losses import Given, Weighting, Weights, ones, received, separate
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
        weights: `weights(gramian, state, given) -> (weights, state)`. The weights keep the type of
            the Gramian, the state its own. Tasks that are not active have zeros in the Gramian, and
            what is said of them is not looked at.
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
    """
    chosen = _options.SharedOptions(**options)
    many = chosen.granularity != "model"
    scales = _options.scales_of(num_tasks, chosen, divide=divide)

    def of_one(gramian: Float[Array, "K K"], state: PyTree, given: Given) -> tuple:
        values, after = weights(gramian, state, given)
        share = jnp.where(mean, _rows.active_share(given.active), 1.0).astype(values.dtype)
        values = jnp.where(given.active, values * share, 0.0)
        return values, _rows.keep_rows(after, state, given.active)

    def weigh_groups(
        gramian: Float[Array, "*G K K"], state: PyTree, given: Given
    ) -> tuple[Float[Array, "*G K"], PyTree]:
        """The weights of scaled gradients follow from the scaled Gramian."""
        gramian = jnp.where(given.active[:, None] & given.active, gramian, 0.0)
        of_group = jax.vmap(of_one, in_axes=(0, 0, None)) if many else of_one
        gramian = without_derivative(gramian)
        scale = scales(gramian, given.losses)
        # One factor at a time: the product of two could overflow.
        scaled = gramian * scale[..., :, None] * scale[..., None, :]
        values, after = of_group(scaled, state, given)
        return values * scale, _rows.cast_like(after, state)

    def of_gramian(
        gramian: Float[Array, "K K"],
        state: PyTree,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
    ) -> tuple[Float[Array, " K"], PyTree]:
        return weigh_groups(gramian, state, received(num_tasks, (), losses, active)[1])

    def start(params: PyTree) -> PyTree:
        if not many:
            return initial()
        groups = max(_options.group_index(params, chosen.granularity, chosen.shared)) + 1
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (groups, *x.shape)), initial())

    def weighed(task_grads: PyTree, state: PyTree, given: Given, gramian: Array | None) -> Weighed:
        kept = _options.keep(task_grads, chosen.shared)
        groups = _options.group_index(task_grads, chosen.granularity, chosen.shared)
        shape = (*([max(groups) + 1] if many else []), num_tasks, num_tasks)
        if gramian is None and many:
            gramian = _options.group_gramians(kept, groups)
        elif gramian is None:
            gramian = _rows.inner_products(kept, kept)
        elif gramian.shape != shape:
            raise ValueError(f"`gramian` must have shape {shape}; got shape {gramian.shape}")
        values, state = weigh_groups(gramian, state, given)
        update = _options.group_sums(kept, groups, values.reshape(-1, num_tasks))
        return Weighed(update, values, state, gramian)

    def weigh(
        gramian: Float[Array, "K K"],
        state: TaskState,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
    ) -> TaskState:
        return _task_state(*of_gramian(gramian, state.method, losses, active), gramian)

    made = _on_shared(num_tasks, chosen, start, weighed, own, some)
    if many:
        return made
    own = OWN_WEIGHTS.get(chosen.own_weights, own)
    functions = {
        "weights": of_gramian,
        "weigh": weigh,
        "own": lambda state, losses=None: own(state.weights, state.method, losses),
        "is_shared": lambda tree: jax.tree.leaves(_options.shared_leaves(tree, chosen.shared)),
    }
    return Weighting(*made, **functions)


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
        combine: `combine(task_grads, state, given) -> (update, state)`. Gradients that are scaled
            come in the type of sums, and those of tasks that are not active as zeros. The state
            keeps its types, the update gets those of the gradients.
        own, divide, some: as for `from_gramian`.

    Returns:
        A transformation with a `TaskState`.
    """
    chosen = _options.SharedOptions(**options)
    rule = "be 'model' for a method that is no function of the Gramian"
    check.option(chosen.granularity == "model", "granularity", rule, chosen.granularity)
    scales = _options.scales_of(num_tasks, chosen, divide=divide)
    changes_nothing = chosen.normalise == "none" and chosen.preference is None

    def weighed(task_grads: PyTree, state: PyTree, given: Given, gramian: Array | None) -> Weighed:
        if gramian is not None:
            raise ValueError("`gramian` must be left out: the method is no function of it; got one")
        rows = [
            None if x is None else _options.keep(x, chosen.shared)
            for x in (task_grads, given.second)
        ]
        rows = without_derivative(rows)
        _rows.check_rows(num_tasks, rows[1], "task_grads_2")
        like, gramian = rows[0], _rows.inner_products(rows[0], rows[0])
        scale = None if changes_nothing else scales(gramian, given.losses)
        if scale is not None:
            rows = [_rows.scale_rows(x, scale) for x in rows]
        update, after = combine(rows[0], state, given._replace(second=rows[1]))
        after = _rows.cast_like(after, state)
        weights = after.weights if scale is None else after.weights * scale
        weights = jnp.where(given.active, weights, 0.0)
        after = _rows.keep_rows(after, state, given.active)
        return Weighed(_rows.cast_like(update, like), weights, after, gramian)

    def start(params: PyTree) -> PyTree:
        return initial(_options.keep(params, chosen.shared))

    return _on_shared(num_tasks, chosen, start, weighed, own, some)


def _on_shared(
    num_tasks: int,
    chosen: _options.SharedOptions,
    start: Callable[[PyTree], PyTree],
    combine: Callable[..., Weighed],
    own: OwnWeights,
    some: bool,
) -> Weighting:
    """A method from that of the shared parameters and the weights of the others."""
    shared, own = chosen.shared, OWN_WEIGHTS.get(chosen.own_weights, own)
    if chosen.granularity != "model":
        own = jax.vmap(own, in_axes=(0, 0, None))

    def init(params: PyTree) -> TaskState:
        is_any = len(jax.tree.leaves(_options.keep(params, shared))) > 0
        check.option(is_any, "shared", "leave at least one parameter to share", "none")
        zero, zeros = jnp.zeros((), jnp.float32), jnp.zeros((num_tasks,) * 2, jnp.float32)
        return separate(TaskState(ones(num_tasks), zero, zeros, start(params)))

    def update(
        task_grads: PyTree,
        state: TaskState,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        active: Active = None,
        gramian: Float[Array, "*G K K"] | None = None,
        **extra: Any,
    ) -> tuple[PyTree, TaskState]:
        del params
        rule = "be left out: the method picks from all tasks"
        check.option(some or active is None, "active", rule, active)
        task_grads, given = received(num_tasks, task_grads, losses, active, **extra)
        found = combine(task_grads, state.method, given, gramian)
        combined, others = found.update, _options.keep(task_grads, shared, others=True)
        if jax.tree.leaves(others):
            values = own(found.weights, found.state, given.losses).reshape(-1, num_tasks).mean(0)
            own_update = _rows.weighted_sum(others, values)
            if given.second is not None:
                second = _options.keep(given.second, shared, others=True)
                own_update = optax.tree.add(own_update, _rows.weighted_sum(second, values))
            combined = _options.merge(combined, own_update)
        return combined, _task_state(found.weights, found.state, found.gramian)

    return Weighting(init, update)


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
