"""ExcessMTL: weights that grow with the excess risk of a task (arXiv 2402.02009)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._losses import Given, Weighting, ones
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._options import OWN_WEIGHTS
from maskformer_jax.weighting._rows import sum_entries, weighted_sum, wide, zero_rows

EPS = 1e-7


class ExcessMTLState(NamedTuple):
    """State of ExcessMTL.

    Attributes:
        weights: the last weights, with sum K.
        log_weights: their logarithms up to a common constant: a weight too small for its type is
            not lost.
        squares: A, sums of squared gradients, leaves `[K, ...]`.
        initial_risks: e_0, or the mean so far while it is being formed.
        step: updates so far.
    """

    weights: Float[Array, " K"]
    log_weights: Float[Array, " K"]
    squares: PyTree
    initial_risks: Float[Array, " K"]
    step: Int[Array, ""]


def excess_risks(grads: PyTree, squares: PyTree) -> Float[Array, " K"]:
    """e_k = sum over parameters of g^2/sqrt(A + 1e-7)."""

    def risks(g: Array, a: Array) -> Array:
        return sum_entries(g * g / jnp.sqrt(a + EPS))

    return sum(jax.tree.leaves(jax.tree.map(risks, grads, squares))).astype(jnp.float32)


@method("gradient")
def excess_mtl(
    num_tasks: int, *, step_size: Number = 0.01, warmup_steps: int = 0, **options: Any
) -> Weighting:
    """A weighted sum that turns to the tasks furthest from what they could reach.

    The excess risk of a task is estimated as e_k = sum_p g_kp^2/sqrt(A_kp + 1e-7), with the sums
    A of squared gradients in place of the curvature (as in Adagrad). Relative to its first value,
    it raises the weight: w_k proportional to w_k exp(eta e_k/(e_0k + 1e-7)), with sum K.

    Args:
        num_tasks: number of tasks K.
        step_size: eta, positive; larger values follow the risks faster.
        warmup_steps: updates with w = 1 whose mean risk is e_0; 0 and 1: the first alone.

    The update has the weights after their move.

    Laws: equivariant under permutations of the tasks.

    Differs from the paper: weights add up to K, not to 1, and e_0 is by default the risk of the
    first step, as in LibMTL; the paper gathers it over some epochs, which `warmup_steps` does.
    TorchJD has weights that add up to 1, step size 1, and without warm-up a first move at the first
    step.

    Source: He et al., Robust Multi-Task Learning with Excess Risks, arXiv 2402.02009, Section 3.
    """
    step_size = check.positive("step_size", step_size)
    warmup_steps = check.integer("warmup_steps", warmup_steps)
    first_steps = max(warmup_steps, 1)

    def initial(params: PyTree) -> ExcessMTLState:
        zeros, step = jnp.zeros(num_tasks, jnp.float32), jnp.zeros((), jnp.int32)
        squares = zero_rows(num_tasks, params)
        return ExcessMTLState(ones(num_tasks), zeros, squares, zeros, step)

    def combine(
        task_grads: PyTree, state: ExcessMTLState, given: Given
    ) -> tuple[PyTree, ExcessMTLState]:
        grads = wide(task_grads)
        squares = jax.tree.map(lambda a, g: (a + g * g).astype(a.dtype), state.squares, grads)
        risks = excess_risks(grads, squares)
        warm = state.step < first_steps
        mean = state.initial_risks + (risks - state.initial_risks) / (state.step + 1)
        initial_risks = jnp.where(warm, mean, state.initial_risks)
        moved = state.log_weights + step_size * risks / (initial_risks + EPS)
        moved = jax.nn.log_softmax(moved, where=given.active)
        # The active tasks keep the share that they have together.
        after = moved + jax.nn.logsumexp(state.log_weights, where=given.active)
        log_weights = jnp.where(warm, state.log_weights, after)
        weights = jnp.where(warm, 1.0, given.active.sum() * jnp.exp(moved))
        after = ExcessMTLState(weights, log_weights, squares, initial_risks, state.step + 1)
        return weighted_sum(task_grads, weights), after

    return from_gradients(num_tasks, initial, combine, own=OWN_WEIGHTS["weights"], **options)
