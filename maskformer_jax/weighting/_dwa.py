"""Dynamic weight average: tasks whose loss falls slowly count more (arXiv 1803.10704)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._losses import (
    Given,
    Weighting,
    add_to_mean,
    floored,
    from_losses,
    ones,
)
from maskformer_jax.weighting._method import method


class DWAState(NamedTuple):
    """State of `dwa`.

    Attributes:
        weights: of the current epoch.
        step: number of updates so far.
        current: mean losses of this epoch so far.
        last: mean losses of the epoch before this one.
        before: mean losses of the epoch before that.
    """

    weights: Float[Array, " K"]
    step: Int32[Array, ""]
    current: Float[Array, " K"]
    last: Float[Array, " K"]
    before: Float[Array, " K"]


def weights(
    losses: Float[Array, " K"],
    state: DWAState,
    given: Given,
    *,
    temperature: Number,
    steps_per_epoch: int,
) -> tuple[Float[Array, " K"], DWAState]:
    """w = K softmax(r/T), r_k = L_k(t-1)/L_k(t-2) over the epochs t (Eq. 5.7 and 5.8)."""
    epoch, position = jnp.divmod(state.step, steps_per_epoch)
    begins = position == 0
    last = jnp.where(begins, state.current, state.last)
    before = jnp.where(begins, state.last, state.before)
    ratio = floored(last) / floored(before)
    # The largest is taken off before the division, which could overflow.
    largest = ratio.max(where=given.active, initial=-jnp.inf)
    values = jax.nn.softmax((ratio - largest) / temperature, where=given.active)
    values = given.active.sum() * values
    values = jnp.where(epoch < 2, 1.0, values)
    current = add_to_mean(state.current, losses, position)
    return values, DWAState(values, optax.safe_increment(state.step), current, last, before)


@method("loss", from_caller=("steps_per_epoch",))
def dwa(
    num_tasks: int, *, temperature: Number = 2.0, steps_per_epoch: int | None = None
) -> Weighting:
    """Weighted sum of the losses, with weights by how little each loss fell from epoch to epoch.

    w_k = K exp(r_k/T)/sum_i exp(r_i/T), r_k the mean unweighted loss of the last epoch over that of
    the one before; w = 1 in the first two epochs. The weights change between epochs only.

    Args:
        num_tasks: number of tasks K.
        temperature: positive T; a large one makes the weights equal, a small one leaves the task
            with the largest ratio alone.
        steps_per_epoch: number of updates in an epoch; required. Training fills it in.

    State:
        `DWAState`; the weights add up to K. Means below 1e-12 count as 1e-12.

    Raises:
        ValueError: outside `jit`, a loss is negative.

    Laws: linear in the gradients; equivariant under permutations of the tasks. Factors of the
    losses do not change the weights.

    Source: Liu, Johns and Davison, arXiv 1803.10704; Eq. 5.7 and 5.8 of the thesis.
    """
    temperature = check.positive("temperature", temperature)
    steps_per_epoch = check.integer("steps_per_epoch", steps_per_epoch, 1)

    def initial() -> DWAState:
        first = ones(num_tasks)
        return DWAState(first, jnp.zeros((), jnp.int32), *[jnp.zeros_like(first)] * 3)

    step = partial(weights, temperature=temperature, steps_per_epoch=steps_per_epoch)
    return from_losses("dwa", num_tasks, initial, step, lowest=0.0)
