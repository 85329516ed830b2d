"""Fast adaptive multitask optimisation: all losses fall at the same rate (arXiv 2306.03792)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int32, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._losses import Given, Weighting, from_losses, ones
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import keep_rows


class FAMOState(NamedTuple):
    """State of `famo`.

    Attributes:
        weights: the last weights.
        logits: m, whose softmax says how much each task's rate counts.
        log_losses: log D of the last losses, before the step that they led to.
        step: number of updates so far.
        optimiser: state of the optimiser that moves m.
    """

    weights: Float[Array, " K"]
    logits: Float[Array, " K"]
    log_losses: Float[Array, " K"]
    step: Int32[Array, ""]
    optimiser: PyTree


def move(
    state: FAMOState,
    log_after: Float[Array, " K"],
    optimiser: optax.GradientTransformation,
    active: Bool[Array, " K"],
) -> tuple[Float[Array, " K"], PyTree]:
    """m and the optimiser's state after a step that changed log D to `log_after`.

    d = J^T delta with J = d softmax(m)/dm and delta = log D - log D'. Where only some tasks are
    active, those move that were so in the last step too, which had weights then.
    """
    active = active & (state.weights > 0)
    z = jax.nn.softmax(state.logits, where=active)
    delta = jnp.where(active, state.log_losses - log_after, 0.0)
    slope = z * (delta - jnp.sum(z * delta))
    change, moved = optimiser.update(slope, state.optimiser, state.logits)
    before = (state.logits, state.optimiser)
    found = keep_rows((optax.apply_updates(state.logits, change), moved), before, active)
    # The first update has no losses before it.
    return jax.tree.map(partial(jnp.where, state.step == 0), before, found)


@method(
    "loss", weights_follow_losses=True, needs=("losses_after",), per_loss={"min_losses": "values"}
)
def famo(
    num_tasks: int,
    *,
    learning_rate: Number = 0.025,
    decay: Number = 1e-3,
    min_losses: Values | Number = 0.0,
    eps: Number = 1e-8,
    second_forward: bool = True,
) -> Weighting:
    """Weighted sum of the losses whose weights let the logarithms of all losses fall alike.

    With z = softmax(m) and D = max(L - L_min, 0) + eps: w_k = (z_k/D_k)/sum_i(z_i/D_i), which add
    up to 1. With D' of the same batch after the step and delta = log D - log D', m moves by Adam
    down d_k = z_k (delta_k - z.delta) + decay m_k: what fell least gains.

    Args:
        num_tasks: number of tasks K.
        learning_rate: of m, positive.
        decay: pulls m back to 0, not negative; 0 lets the weights drift apart for good.
        min_losses: smallest losses that can be reached, one number or one per task.
        eps: positive; added to the losses before their logarithm is taken.
        second_forward: whether the losses after a step are those of the same batch, which costs a
            forward pass per step. If not, `losses_after` is not read, and the next batch's losses
            stand in.

    Losses must not be below both 0 and all `min_losses`. m moves before the weights are computed,
    and not at the first update. Without `losses_after` the current losses stand in.

    Raises:
        ValueError: `losses_after` has another shape, or, outside `jit`, a loss is too small.

    Laws: linear in the gradients; equivariant under permutations of the tasks.

    Differs from the paper: Adam, with the decay inside the gradient, as in the authors' code, in
    place of a plain step; their package has a decay of 0.01, LibMTL 1e-3.

    Source: Liu et al., arXiv 2306.03792; Algorithm 2 of the thesis, whose weight has a logarithm
    too many.
    """
    learning_rate = check.positive("learning_rate", learning_rate)
    decay = check.not_negative("decay", decay)
    eps = check.positive("eps", eps)
    check.true_or_false("second_forward", second_forward)
    smallest = check.number_or_values(num_tasks, "min_losses", min_losses)
    optimiser = optax.chain(optax.add_decayed_weights(decay), optax.adam(learning_rate))

    def log_distance(losses: Float[Array, " K"]) -> Float[Array, " K"]:
        distance = jnp.maximum(losses - jnp.asarray(smallest, losses.dtype), 0.0) + eps
        return jnp.log(distance).astype(jnp.float32)

    def initial() -> FAMOState:
        zeros = jnp.zeros(num_tasks, jnp.float32)
        step = jnp.zeros((), jnp.int32)
        return FAMOState(ones(num_tasks), zeros, zeros, step, optimiser.init(zeros))

    def weights(
        losses: Float[Array, " K"], state: FAMOState, given: Given
    ) -> tuple[Float[Array, " K"], FAMOState]:
        """The weights after the move of m."""
        known = second_forward and given.losses_after is not None
        after = given.losses_after if known else losses
        shape = jnp.shape(after)
        check.option(shape == (num_tasks,), "losses_after", f"have shape ({num_tasks},)", shape)
        logits, moved = move(state, log_distance(jnp.asarray(after)), optimiser, given.active)
        log_losses = log_distance(losses)
        # softmax(m - log D) is (z/D)/sum(z/D) without quotients that overflow.
        values = jax.nn.softmax(logits - log_losses, where=given.active)
        step = optax.safe_increment(state.step)
        return values, FAMOState(values, logits, log_losses, step, moved)

    needs = ("losses_after",) if second_forward else ()
    lowest = min(0.0, *smallest) if isinstance(smallest, list) else None
    by = {"lowest": lowest, "needs": needs}
    return from_losses("famo", num_tasks, initial, weights, **by)
