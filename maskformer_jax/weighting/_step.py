"""A whole training step from a function of losses, a method and an optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._gramian import cosines, norms
from maskformer_jax.weighting._losses import Weighting
from maskformer_jax.weighting._task_grads import Forward, LossesFn, check_chunk, forward, rows_of
from maskformer_jax.weighting.passes import (
    TaskGradients,
    WeightedGradient,
    in_one_pass,
    loss_by_loss,
    pull_sum,
)


class StepState(NamedTuple):
    """State of a step.

    Attributes:
        weighting: of the method.
        optimiser: of the optimiser.
        step: number of updates so far.
        losses_after: of the last batch after its step; none: the method does not want them.
    """

    weighting: PyTree
    optimiser: PyTree
    step: Int[Array, ""]
    losses_after: Float[Array, " K"] | None


LOGGED = ["losses", "weights", "norms", "cosines", "residual", "aux"]


@partial(jax.tree_util.register_dataclass, data_fields=LOGGED, meta_fields=["names"])
@dataclass(frozen=True)
class StepLog:
    """What a step reports.

    Attributes:
        losses: unweighted, of the batch before the update.
        weights: of the losses in the update.
        norms: lengths of the task gradients over shared parameters, at the last renewal of the
            weights; none for a method on losses, as are the next two.
        cosines: between these gradients.
        residual: of the method's solver.
        aux: what `losses_fn` returned beside the losses; none: nothing.
        names: of the losses, in order.
    """

    losses: Float[Array, " K"]
    weights: Float[Array, " K"]
    norms: Float[Array, " K"] | None
    cosines: Float[Array, "K K"] | None
    residual: Float[Array, ""] | None
    aux: PyTree
    names: tuple[str, ...]

    def named(self) -> dict[str, Array]:
        """Numbers by name: `loss/a`, `weight/a`, `gradient_norm/a`, `cosine/a/b`, `residual`."""
        columns = {"loss": self.losses, "weight": self.weights, "gradient_norm": self.norms}
        found = {
            f"{kind}/{name}": values[k]
            for kind, values in columns.items()
            if values is not None
            for k, name in enumerate(self.names)
        }
        if self.cosines is not None:
            pairs = combinations(enumerate(self.names), 2)
            found |= {f"cosine/{a}/{b}": self.cosines[i, j] for (i, a), (j, b) in pairs}
        return found if self.residual is None else {**found, "residual": self.residual}


class Step(NamedTuple):
    """A training step as two pure functions, to be jitted by whoever uses it.

    Attributes:
        init: `init(params) -> StepState`.
        update: `update(params, state, *data, second=None) -> (params, state, StepLog)`. For the
            methods that need an independent batch, `second` are its data, as a tuple.
    """

    init: Callable[[PyTree], StepState]
    update: Callable[..., tuple[PyTree, StepState, StepLog]]


def weighted_step(
    losses_fn: LossesFn,
    weighting: Weighting,
    optimiser: optax.GradientTransformation,
    *,
    has_aux: bool = False,
    chunk: int | None = None,
    every: int = 1,
) -> Step:
    """The step that trains with K losses: forward, backward, weights, optimiser.

    Methods on losses take one backward pass, the others one that pushes no zeros for all K
    gradients; for `famo` a forward pass after the update comes on top.

    Args:
        losses_fn: `losses_fn(params, *data)`, as of `value_and_task_grads`; by name in a mapping
            if an option of the method is.
        weighting: of as many tasks as there are losses.
        optimiser: moves the parameters.
        has_aux: `losses_fn` returns a pair of the losses and anything else, which is logged.
        chunk: how many losses are pulled back together; none: all.
        every: steps from one renewal of the weights to the next, for methods on the Gramian with
            one set of weights; the steps between take one backward pass.

    Raises:
        ValueError: `chunk` or `every` is no positive integer, or the method can't keep its weights;
            when called, the losses do not fit the method, or `second` is missing or not needed.
    """
    check_chunk(chunk)
    check.integer("every", every, 1)
    rule = "be 1 for a method that is not on the Gramian with one set of weights"
    check.option(every == 1 or weighting.weigh is not None, "every", rule, every)
    looks_after, two = (need in weighting.needs for need in ("losses_after", "task_grads_2"))

    def init(params: PyTree) -> StepState:
        after = jnp.zeros(weighting.num_tasks, jnp.float32) if looks_after else None
        step = jnp.zeros((), jnp.int32)
        return StepState(weighting.init(params), optimiser.init(params), step, after)

    def gradient_of(
        params: PyTree, state: StepState, data: tuple, second: tuple | None
    ) -> tuple[WeightedGradient, tuple[str, ...]]:
        found = forward(losses_fn, params, *data, has_aux=has_aux)
        names = _names(weighting, found)
        if weighting.family == "loss":

            def weighted(weights_of: Callable[[Array], Array]) -> tuple[Array, PyTree, PyTree]:
                return found.losses, found.pull(weights_of(found.losses)), found.aux

            more = {"losses_after": state.losses_after} if looks_after else {}
            return in_one_pass(weighting, state.weighting, weighted, **more), names

        def renew() -> WeightedGradient:
            given = TaskGradients(found.losses, rows_of(found, chunk=chunk), aux=found.aux)
            if two:
                other = forward(losses_fn, params, *second, has_aux=has_aux)
                given = given._replace(second=rows_of(other, chunk=chunk))
            return loss_by_loss(weighting, state.weighting, params, given)

        def keep() -> WeightedGradient:
            ones = tuple(jnp.ones_like(found.losses))
            how = (weighting, state.weighting, params, found.losses, found.pull_apart, ones)
            return WeightedGradient(found.losses, pull_sum(*how), state.weighting, found.aux)

        due = state.step % every == 0
        return renew() if every == 1 else jax.lax.cond(due, renew, keep), names

    def update(
        params: PyTree, state: StepState, *data: PyTree, second: tuple | None = None
    ) -> tuple[PyTree, StepState, StepLog]:
        rule = "be the data of an independent batch" if two else "be left out for this method"
        fits = isinstance(second, tuple) if two else second is None
        check.option(fits, "second", rule, second)
        found, names = gradient_of(params, state, data, second)
        updates, moved = optimiser.update(found.gradient, state.optimiser, params)
        params, after = optax.apply_updates(params, updates), None
        if looks_after:
            after = forward(losses_fn, params, *data, has_aux=has_aux).losses.astype(jnp.float32)
        state = StepState(found.weighting_state, moved, optax.safe_increment(state.step), after)
        return params, state, _log(found, names)

    return Step(init, update)


def _names(weighting: Weighting, found: Forward) -> tuple[str, ...]:
    """Names of the losses, or their numbers."""
    number, names = len(found.losses), found.names
    fits = weighting.num_tasks in (None, number)
    check.option(fits, "losses_fn", f"return {weighting.num_tasks} losses", number)
    if weighting.names is not None:
        rule = f"return losses by the names that options have: {', '.join(weighting.names)}"
        check.option(names == weighting.names, "losses_fn", rule, names)
    return names or tuple(map(str, range(number)))


def _log(found: WeightedGradient, names: tuple[str, ...]) -> StepLog:
    state = found.weighting_state
    gramian = getattr(state, "gramian", None)
    return StepLog(
        losses=found.losses,
        weights=state.weights,
        norms=None if gramian is None else norms(gramian),
        cosines=None if gramian is None else cosines(gramian),
        residual=getattr(state, "residual", None),
        aux=found.aux,
        names=names,
    )
