"""Smooth Tchebycheff scalarisation: a smooth maximum of the losses (arXiv 2402.19078)."""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._losses import (
    Given,
    Weighting,
    add_to_mean,
    floored,
    from_losses,
    ones,
    plain,
)
from maskformer_jax.weighting._method import method


class STCHState(NamedTuple):
    """State of `stch` with the losses of a warm-up as its reference.

    Attributes:
        weights: the last weights.
        step: number of updates so far.
        nadir: mean losses of the last epoch of the warm-up, of its steps so far while it runs.
    """

    weights: Float[Array, " K"]
    step: Int32[Array, ""]
    nadir: Float[Array, " K"]


def max_weights(
    losses: Float[Array, " K"],
    given: Given,
    *,
    mu: Number,
    preference: Values,
    log_losses: bool,
) -> Float[Array, " K"]:
    """w = p softmax(p (l - max l)/mu), l being L or log L (Algorithm 1)."""
    p = jnp.asarray(preference, losses.dtype)
    positive = floored(losses)
    terms = jnp.log(positive) if log_losses else losses
    largest = terms.max(where=given.active, initial=-jnp.inf)
    values = p * jax.nn.softmax(p * (terms - largest) / mu, where=given.active)
    return values / positive if log_losses else values


def nadir_weights(
    losses: Float[Array, " K"],
    state: STCHState,
    given: Given,
    *,
    mu: Number,
    preference: Values,
    warmup_epochs: int,
    steps_per_epoch: int,
) -> tuple[Float[Array, " K"], STCHState]:
    """w = K p softmax(p log(L/n)/mu)/L, and 1/L during the warm-up that measures n."""
    p = jnp.asarray(preference, losses.dtype)
    positive = floored(losses)
    terms = p * (jnp.log(positive) - jnp.log(floored(state.nadir)))
    largest = terms.max(where=given.active, initial=-jnp.inf)
    values = jax.nn.softmax((terms - largest) / mu, where=given.active)
    values = given.active.sum() * p * values / positive
    epoch, position = jnp.divmod(state.step, steps_per_epoch)
    values = jnp.where(epoch <= warmup_epochs, 1.0 / positive, values)
    nadir = add_to_mean(state.nadir, losses, position)
    nadir = jnp.where(epoch == warmup_epochs, nadir, state.nadir)
    return values, STCHState(values, optax.safe_increment(state.step), nadir)


@method(
    "loss",
    weights_follow_losses=True,
    per_loss={"preference": "values"},
    from_caller=("steps_per_epoch",),
)
def stch(
    num_tasks: int,
    *,
    mu: Number = 1.0,
    preference: Values | None = None,
    reference: Literal["max", "nadir"] = "max",
    log_losses: bool = False,
    warmup_epochs: int = 4,
    steps_per_epoch: int | None = None,
) -> Weighting:
    """Smooth maximum of the losses, mu log sum_k exp(p_k l_k/mu): the worst task counts most.

    With `reference: max` S = mu log sum_k exp(p_k (l_k - z)/mu), z = max l without gradient, and
    w_k = p_k softmax(p (l - z)/mu)_k, divided by L_k for l = log L. With `reference: nadir` the
    losses are compared with those of a warm-up, S = K mu log sum_k exp(p_k log(L_k/n_k)/mu), and
    w_k = K p_k softmax(p log(L/n)/mu)_k/L_k; during the warm-up w_k = 1/L_k.

    Args:
        num_tasks: number of tasks K.
        mu: positive smoothing; towards 0 the worst task is left alone, a large one gives w = p/K.
        preference: positive p; none: all 1.
        reference: `max`, or `nadir`: the mean losses n of the last epoch of the warm-up.
        log_losses: for `max`, l = log L in place of L; `nadir` always takes the logarithm.
        warmup_epochs: for `nadir`, last epoch of the warm-up, counted from 0.
        steps_per_epoch: number of updates in an epoch; `nadir` requires it. Training fills it in.

    State:
        The last weights; for `nadir` an `STCHState`. In logarithms and divisions a loss below 1e-12
        counts as 1e-12.

    Raises:
        ValueError: outside `jit`, a loss is negative where its logarithm is taken.

    Laws: linear in the gradients; equivariant when tasks and preferences are permuted together.

    Differs from the paper: z is the largest loss, as in Algorithm 1 of the thesis, where the
    paper's z* is a point below all losses; `nadir` with its warm-up is as in LibMTL.

    Source: Lin et al., arXiv 2402.19078; Algorithm 1 of the thesis.
    """
    mu = check.positive("mu", mu)
    check.one_of("reference", reference, ("max", "nadir"))
    check.true_or_false("log_losses", log_losses)
    warmup_epochs = check.integer("warmup_epochs", warmup_epochs)
    options = {"mu": mu, "preference": check.preference(num_tasks, preference)}

    if reference == "max":
        found = partial(max_weights, log_losses=log_losses, **options)
        step = plain(num_tasks, found)
        return from_losses("stch", num_tasks, *step, lowest=0.0 if log_losses else None)

    steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, 1)
    epochs = {"warmup_epochs": warmup_epochs, "steps_per_epoch": steps_per_epoch}
    scalarisation = partial(nadir_weights, **epochs, **options)

    def initial() -> STCHState:
        first = ones(num_tasks)
        return STCHState(first, jnp.zeros((), jnp.int32), jnp.zeros_like(first))

    return from_losses("stch", num_tasks, initial, scalarisation, lowest=0.0)
