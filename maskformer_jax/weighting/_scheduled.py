"""Options that are schedules: their numbers at a step make the method of that step."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int32, PyTree

from maskformer_jax.weighting._losses import Weighting


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
