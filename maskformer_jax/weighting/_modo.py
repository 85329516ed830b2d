"""MoDo: min-norm weights from two independent batches, one step at a time (arXiv 2305.20057)."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._losses import Given, Weighting, WeightsState, equal_weights
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import check_second, inner_products, weighted_sum_of_two
from maskformer_jax.weighting._solvers import project_simplex, within_simplex


@method("gradient", needs=("task_grads_2",))
def modo(num_tasks: int, *, gamma: Number = 0.1, rho: Number = 0.1, **options: Any) -> Weighting:
    """Gradients of two batches, weighted towards their shortest convex combination.

    With X = G_1 G_2^T of two independent batches, which estimates the Gramian of the expected
    gradients without bias, lambda = Proj_simplex(lambda - gamma (X lambda + rho lambda)) from 1/K
    makes one step; the update is lambda^T (G_1 + G_2).

    Args:
        num_tasks: number of tasks K.
        gamma: step size of lambda, not negative; 0 keeps equal weights.
        rho: not negative; pull towards equal weights.

    Laws: equivariant under permutations of the tasks.

    `preference` divides the gradients and the weights, as in `mgda`.

    Differs from others: the update is the sum over the two batches, twice the mean. LibMTL updates
    with a third batch and has gamma 0.001.

    Source: Chen et al., Three-Way Trade-Off in Multi-Objective Learning, NeurIPS 2023, arXiv
    2305.20057, Algorithm 1.
    """
    gamma = check.not_negative("gamma", gamma)
    rho = check.not_negative("rho", rho)

    def combine(
        task_grads: PyTree, state: WeightsState, given: Given
    ) -> tuple[PyTree, WeightsState]:
        check_second("modo", task_grads, given.second)
        products = inner_products(task_grads, given.second)
        old, to_state = within_simplex(state.weights.astype(products.dtype), given.active)
        slope = jnp.einsum("ij,j->i", products, old, precision="highest") + rho * old
        weights = project_simplex(old - gamma * slope, given.active)
        update = weighted_sum_of_two(task_grads, given.second, weights)
        return update, WeightsState(to_state(weights))

    return from_gradients(num_tasks, equal_weights(num_tasks), combine, divide=True, **options)
