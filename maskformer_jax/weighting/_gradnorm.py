"""GradNorm: weights that make all tasks train at similar rates (arXiv 1711.02257)."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._losses import Given, Weighting, ones
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import row_norms, weighted_sum

INITIAL = ("first_step", "first_epoch")
LOWEST_WEIGHT = 1e-3


class GradNormState(NamedTuple):
    """State of GradNorm.

    Attributes:
        weights: w(t) of the last update.
        next_weights: w(t + 1), which the next update uses.
        initial_losses: L_k(0), or the mean so far while it is being formed.
        step: updates so far.
        optimiser: moments of Adam.
    """

    weights: Float[Array, " K"]
    next_weights: Float[Array, " K"]
    initial_losses: Float[Array, " K"]
    step: Int[Array, ""]
    optimiser: PyTree


def training_rates(
    losses: Float[Array, " K"], initial: Float[Array, " K"], active: Bool[Array, " K"]
) -> Float[Array, " K"]:
    """r_k = (L_k/L_k(0)) / mean: large for a task that lags; 1 where a loss was 0 at the start."""
    # Not "where positive": a loss that is no number must not count as 1.
    ratios = jnp.where(initial == 0, 1.0, losses / jnp.where(initial == 0, 1.0, initial))
    mean = ratios.mean(where=active)
    return jnp.where(mean == 0, 1.0, ratios / jnp.where(mean == 0, 1.0, mean))


@method("gradient", from_caller=("steps_per_epoch", "norm_params"))
def gradnorm(
    num_tasks: int,
    *,
    alpha: Number = 1.5,
    learning_rate: Number = 0.025,
    norm_params: Callable[[tuple], bool] | None = None,
    initial: Literal["first_step", "first_epoch"] = "first_step",
    steps_per_epoch: int | None = None,
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """Learnt weights that pull the lengths of the weighted gradients towards common training rates.

    With n_k = w_k |g_k| on the parameters W and the relative inverse training rates
    r_k = (L_k/L_k(0)) / mean_j (L_j/L_j(0)), w descends sum_k |n_k - mean(n) r_k^alpha|, in which
    mean(n) r_k^alpha is a constant: d_k = sign(n_k - mean(n) r_k^alpha) |g_k|. The update is
    sum_k w_k(t) g_k; then w moves by Adam on d, is floored at 1e-3 and rescaled to sum K.

    Args:
        num_tasks: number of tasks K.
        alpha: strength of the pull, not negative; 0 asks for equal lengths, larger values give a
            lagging task more of the update.
        learning_rate: of Adam on the weights, positive.
        norm_params: `norm_params(path) -> bool` chooses the parameters W by the key path of each
            leaf (`jax.tree_util.keystr(path)` is its name); none: all that are given. The paper's W
            is the last layer that all tasks reach.
        initial: L_k(0) is the loss of the `first_step`, or its mean over the `first_epoch`, during
            which w = 1.
        steps_per_epoch: updates in an epoch; needed for `first_epoch` alone.
        preference: positive; over their mean, factors of the target lengths mean(n) r_k^alpha.

    Raises:
        ValueError: `norm_params` chooses nothing, or `losses` are missing or negative.

    Laws: linear in the gradients at any given state, since w(t) does not depend on them;
    equivariant under permutations of the tasks.

    Differs from the paper: the floor keeps weights positive, which plain descent does not;
    `preference`; a loss that starts at 0 counts as one at its initial value. Adam, as in most
    implementations. LibMTL starts after the first epoch, as `first_epoch` does.

    Source: Chen et al., GradNorm, arXiv 1711.02257, Section 3 and Algorithm 1.
    """
    alpha = check.not_negative("alpha", alpha)
    learning_rate = check.positive("learning_rate", learning_rate)
    is_predicate = norm_params is None or callable(norm_params)
    check.option(is_predicate, "norm_params", "be a function of a key path", norm_params)
    check.one_of("initial", initial, INITIAL)
    warmup = 0
    if initial == "first_epoch":
        warmup = check.integer("steps_per_epoch", steps_per_epoch, 1)
    factors = check.preference(num_tasks, preference)
    adam = optax.adam(learning_rate)

    def chosen(tree: PyTree) -> list[Array]:
        pairs = jax.tree_util.tree_leaves_with_path(tree)
        return [leaf for path, leaf in pairs if norm_params is None or norm_params(path)]

    def first_state(params: PyTree) -> GradNormState:
        check.option(len(chosen(params)) > 0, "norm_params", "choose a parameter at least", "none")
        first, step = ones(num_tasks), jnp.zeros((), jnp.int32)
        return GradNormState(first, first, jnp.zeros_like(first), step, adam.init(first))

    def combine(
        task_grads: PyTree, state: GradNormState, given: Given
    ) -> tuple[PyTree, GradNormState]:
        losses = check.losses("gradnorm", num_tasks, given.losses, lowest=0.0)
        losses, active = losses.astype(jnp.float32), given.active
        weights = state.next_weights
        seen = state.initial_losses + (losses - state.initial_losses) / (state.step + 1)
        first = jnp.where(state.step < max(warmup, 1), seen, state.initial_losses)
        lengths = row_norms(chosen(task_grads)).astype(jnp.float32)
        wanted = jnp.asarray(factors, jnp.float32)
        wanted = wanted / wanted.mean(where=active)
        pulls = training_rates(losses, first, active) ** alpha * wanted
        weighted = weights * lengths
        slope = jnp.sign(weighted - weighted.mean(where=active) * pulls) * lengths
        change, moments = adam.update(slope, state.optimiser)
        moved = jnp.maximum(weights + change, LOWEST_WEIGHT)
        found = moved * active.sum() / moved.sum(where=active), moments
        stays = partial(jnp.where, state.step < warmup)
        following, moments = jax.tree.map(stays, (weights, state.optimiser), found)
        after = GradNormState(weights, following, first, state.step + 1, moments)
        return weighted_sum(task_grads, weights), after

    return from_gradients(num_tasks, first_state, combine, **options)
