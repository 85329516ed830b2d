"""Wrappers of `optax.chain(method, optimiser)`, in the place of optax's for one gradient.

And methods with options that are schedules: their numbers at a step make the method of that step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int32, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting import _rows
from maskformer_jax.weighting._losses import Weighting


class SkipState(NamedTuple):
    """State of `skip_non_finite`.

    Attributes:
        skipped: number of batches that were left out.
        inner: state of what is wrapped.
    """

    skipped: Int32[Array, ""]
    inner: PyTree


class AccumulateState(NamedTuple):
    """State of `accumulate`.

    Attributes:
        count: calls since the last update.
        means: of what was given in them, by argument of `update`.
        inner: state of what is wrapped.
    """

    count: Int32[Array, ""]
    means: dict[str, PyTree]
    inner: PyTree


def method_state(state: PyTree) -> Any:
    """The part with `weights` of the state of a chain or of a wrapper, whichever they are.

    Raises:
        ValueError: no method is in it.
    """

    def has_weights(node: Any) -> bool:
        return hasattr(node, "weights")

    found = [x for x in jax.tree.leaves(state, is_leaf=has_weights) if has_weights(x)]
    check.option(found != [], "state", "be of a chain that begins with a method", type(state))
    return found[0]


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether no number in the tree is infinite or none at all."""
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree) if not callable(x)]
    leaves = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.stack([jnp.ones((), bool), *(jnp.isfinite(x).all() for x in leaves)]))


def skip_non_finite(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Leaves a batch out, wholly, in which a gradient, a loss or a further argument is not finite.

    The update is zero then, and the state that of before, of the method as of the optimiser: the
    next step is as if the batch had not been. What belongs to tasks that are not `active` may be
    anything.

    Args:
        inner: a method, or a chain that begins with one.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params: PyTree) -> SkipState:
        return SkipState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(
        task_grads: PyTree, state: SkipState, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, SkipState]:
        given = {"task_grads": task_grads, **extra}
        active = given.pop("active", None)
        if active is not None:
            per_task = ("task_grads", "losses", "losses_after", "task_grads_2")
            given = {
                k: _rows.mask_rows(v, active) if k in per_task and v is not None else v
                for k, v in given.items()
            }
        good = all_finite(given)
        updates, after = _when(
            good, lambda: inner.update(task_grads, state.inner, params, **extra), state.inner
        )
        return updates, SkipState(state.skipped + ~good, after)

    return optax.GradientTransformationExtraArgs(init, update)


def accumulate(
    inner: optax.GradientTransformation, number: int, *, needs: Sequence[str] = ()
) -> optax.GradientTransformationExtraArgs:
    """One update for every `number` calls, from the means of what these were given.

    It is the update of one large batch where losses are means over equally many examples. In the
    calls between the update is zero, and the state of the method and of the optimiser stays.

    Args:
        inner: a method, or a chain that begins with one.
        number: of calls for an update.
        needs: arguments of `update` beyond the losses that are to be averaged too, as
            `METHODS[name].needs` has them.

    Raises:
        ValueError: `number` is no positive integer; `update` gets `active`.
    """
    inner, number = optax.with_extra_args_support(inner), check.integer("number", number, 1)

    def init(params: PyTree) -> AccumulateState:
        state = inner.init(params)
        rows = _rows.zero_rows(len(method_state(state).weights), params)
        losses = jnp.zeros(len(method_state(state).weights), jnp.float32)
        means = {"task_grads": rows, "losses": losses}
        means |= {name: rows if name == "task_grads_2" else losses for name in needs}
        return AccumulateState(jnp.zeros((), jnp.int32), means, state)

    def update(
        task_grads: PyTree,
        state: AccumulateState,
        params: PyTree | None = None,
        *,
        losses: Float[Array, " K"] | None = None,
        active: None = None,
        **extra: Any,
    ) -> tuple[PyTree, AccumulateState]:
        rule = "be left out: the tasks of all calls for an update are the same"
        check.option(active is None, "active", rule, active)
        given = {"task_grads": task_grads, "losses": losses}
        given |= {name: extra.pop(name) for name in needs if name in extra}
        given = {name: value for name, value in given.items() if value is not None}
        count = state.count + 1
        means = state.means | {
            name: _rows.move_average(state.means[name], value, 1 / count)
            for name, value in given.items()
        }

        def move() -> tuple[PyTree, tuple[PyTree, PyTree]]:
            known = {name: _rows.cast_like(means[name], value) for name, value in given.items()}
            rows = known.pop("task_grads")
            updates, after = inner.update(rows, state.inner, params, **known, **extra)
            return updates, (after, jax.tree.map(jnp.zeros_like, means))

        due = count == number
        updates, (after, means) = _when(due, move, (state.inner, means))
        return updates, AccumulateState(jnp.where(due, 0, count), means, after)

    return optax.GradientTransformationExtraArgs(init, update)


def _when(
    good: Bool[Array, ""], move: Callable[[], tuple[PyTree, PyTree]], before: PyTree
) -> tuple[PyTree, PyTree]:
    """The update and the state of `move`, or zeros and the state before it."""
    shapes, _ = jax.eval_shape(move)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.cond(good, move, lambda: (zeros, before))


class ScheduledState(NamedTuple):
    """State of a method with schedules; what a log shows of the method's own can be read here too.

    Attributes:
        step: number of updates so far.
        options: numbers of the last update by option; before it those of the first.
        inner: state of the method.
    """

    step: Int32[Array, ""]
    options: dict[str, Array]
    inner: PyTree

    def __getattr__(self, name: str) -> Any:
        """`weights`, `gramian` and others of the method's state."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)


def scheduled(make: Callable[..., Weighting], schedules: Mapping[str, Callable]) -> Weighting:
    """The method whose options follow schedules, as learning rates of optax do.

    Args:
        make: makes the method from numbers for the options.
        schedules: from the number of updates so far to the number, by option.
    """

    def at(step: Int32[Array, ""]) -> tuple[dict[str, Array], Weighting]:
        found = {k: jnp.asarray(of(step), jnp.float32) for k, of in schedules.items()}
        return found, make(**found)

    first = jnp.zeros((), jnp.int32)
    known, method = at(first)

    def init(params: PyTree) -> ScheduledState:
        return jax.tree.map(jnp.copy, ScheduledState(first, known, method.init(params)))

    def update(
        task_grads: PyTree, state: ScheduledState, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, ScheduledState]:
        options, now = at(state.step)
        found, inner = now.update(task_grads, state.inner, params, **extra)
        return found, ScheduledState(optax.safe_increment(state.step), options, inner)

    def weigh(gramian: Array, state: ScheduledState, *more: Any) -> ScheduledState:
        options, now = at(state.step)
        inner = now.weigh(gramian, state.inner, *more)
        return ScheduledState(optax.safe_increment(state.step), options, inner)

    def own(state: ScheduledState, losses: Array | None = None) -> Array:
        return make(**state.options).own(state.inner, losses)

    functions = {"weights": None, "weigh": weigh, "own": own} if method.weigh else {}
    return Weighting(init, update, **{**vars(method), **functions})
