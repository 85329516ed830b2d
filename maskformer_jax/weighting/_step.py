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
from maskformer_jax.weighting._compose import all_finite
from maskformer_jax.weighting._gramian import cosines, norms
from maskformer_jax.weighting._losses import Weighting
from maskformer_jax.weighting._rows import Active
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
        update: `update(params, state, *data, second=None, active=None) -> (params, state,
            StepLog)`. For the methods that need an independent batch, `second` are its data, as a
            tuple; `active` is True for the losses that there are in this batch.
    """

    init: Callable[[PyTree], StepState]
    update: Callable[..., tuple[PyTree, StepState, StepLog]]


class _Plan(NamedTuple):
    """Arguments of `weighted_step`."""

    losses_fn: LossesFn
    weighting: Weighting
    optimiser: optax.GradientTransformation
    has_aux: bool
    chunk: int | None
    every: int
    skip_non_finite: bool

    def forward(self, params: PyTree, data: tuple) -> Forward:
        return forward(self.losses_fn, params, *data, has_aux=self.has_aux)

    def needs(self, what: str) -> bool:
        return what in self.weighting.needs


def weighted_step(
    losses_fn: LossesFn,
    weighting: Weighting,
    optimiser: optax.GradientTransformation,
    *,
    has_aux: bool = False,
    chunk: int | None = None,
    every: int = 1,
    skip_non_finite: bool = False,
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
        skip_non_finite: leave a batch out, parameters and state staying as they are, whose losses
            or update are not finite.

    Raises:
        ValueError: `chunk` or `every` is no positive integer, or the method can't keep its weights;
            when called, the losses do not fit the method, or `second` is missing or not needed.
    """
    check_chunk(chunk)
    every = check.integer("every", every, 1)
    rule = "be 1 for a method that is not on the Gramian with one set of weights"
    check.option(every == 1 or weighting.weigh is not None, "every", rule, every)
    plan = _Plan(losses_fn, weighting, optimiser, has_aux, chunk, every, skip_non_finite)
    return Step(partial(_init, plan), partial(_update, plan))


def _init(plan: _Plan, params: PyTree) -> StepState:
    after = None
    if plan.needs("losses_after"):
        after = jnp.zeros(plan.weighting.num_tasks, jnp.float32)
    states = plan.weighting.init(params), plan.optimiser.init(params)
    return StepState(*states, jnp.zeros((), jnp.int32), after)


def _update(
    plan: _Plan,
    params: PyTree,
    state: StepState,
    *data: PyTree,
    second: tuple | None = None,
    active: Active = None,
) -> tuple[PyTree, StepState, StepLog]:
    two = plan.needs("task_grads_2")
    rule = "be the data of an independent batch" if two else "be left out for this method"
    check.option(isinstance(second, tuple) if two else second is None, "second", rule, second)
    here = plan.forward(params, data)
    names = _names(plan.weighting, here)
    found = _gradient(plan, params, state, here, second, active)
    updates, moved = plan.optimiser.update(found.gradient, state.optimiser, params)
    new_params, after = optax.apply_updates(params, updates), None
    if plan.needs("losses_after"):
        after = plan.forward(new_params, data).losses.astype(jnp.float32)
    new = StepState(found.weighting_state, moved, optax.safe_increment(state.step), after)
    if plan.skip_non_finite:
        losses = found.losses if active is None else jnp.where(active, found.losses, 0.0)
        after = after if active is None or after is None else jnp.where(active, after, 0.0)
        good = all_finite((losses, new_params, after))
        before = (params, state._replace(step=new.step))
        new_params, new = jax.tree.map(partial(jnp.where, good), (new_params, new), before)
    return new_params, new, _log(found, names)


def _gradient(
    plan: _Plan,
    params: PyTree,
    state: StepState,
    here: Forward,
    second: tuple | None,
    active: Active,
) -> WeightedGradient:
    """By the cheapest way that the method allows, with fresh weights where they are due."""
    extra = {} if active is None else {"active": active}
    if plan.weighting.family == "loss":
        if plan.needs("losses_after"):
            extra["losses_after"] = state.losses_after

        def weighted(weights_of: Callable[[Array], Array]) -> tuple[Array, PyTree, PyTree]:
            return here.losses, here.pull(weights_of(here.losses)), here.aux

        return in_one_pass(plan.weighting, state.weighting, weighted, **extra)
    renew = partial(_renewed, plan, params, state, here, second, extra)
    if plan.every == 1:
        return renew()
    return jax.lax.cond(
        state.step % plan.every == 0, renew, partial(_kept, plan, params, state, here, active)
    )


def _renewed(
    plan: _Plan,
    params: PyTree,
    state: StepState,
    here: Forward,
    second: tuple | None,
    extra: dict[str, Array],
) -> WeightedGradient:
    given = TaskGradients(here.losses, rows_of(here, chunk=plan.chunk), aux=here.aux)
    if second is not None:
        given = given._replace(second=rows_of(plan.forward(params, second), chunk=plan.chunk))
    return loss_by_loss(plan.weighting, state.weighting, params, given, **extra)


def _kept(
    plan: _Plan, params: PyTree, state: StepState, here: Forward, active: Active
) -> WeightedGradient:
    starts = jnp.ones_like(here.losses) if active is None else active.astype(here.losses.dtype)
    how = (plan.weighting, state.weighting, params, here.losses, here.pull_apart, tuple(starts))
    return WeightedGradient(here.losses, pull_sum(*how), state.weighting, here.aux)


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
