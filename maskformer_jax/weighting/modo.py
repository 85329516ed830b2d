"""MoDo: min-norm weights from two independent batches, one step at a time (arXiv 2305.20057)."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from maskformer_jax.weighting._combine import (
    WeightsState,
    check_not_negative,
    check_num_tasks,
    check_rows,
    weighted_sum,
)
from maskformer_jax.weighting._gramian import inner_products
from maskformer_jax.weighting._rows import check_second, project_simplex, wide


def modo(
    num_tasks: int, *, gamma: float = 0.1, rho: float = 0.1
) -> optax.GradientTransformationExtraArgs:
    """Gradients of two batches, weighted towards their shortest convex combination.

    With X = G_1 G_2^T of two independent batches, which estimates the Gramian of the expected
    gradients without bias, lambda = Proj_simplex(lambda - gamma (X lambda + rho lambda)) from 1/K
    makes one step; the update is lambda^T (G_1 + G_2).

    Args:
        num_tasks: number of tasks K.
        gamma: step size of lambda, not negative; 0 keeps equal weights.
        rho: not negative; pull towards equal weights.

    Returns:
        A transformation whose `update` requires `task_grads_2`, gradients on an independent batch.
        Family `gradient`.

    State:
        lambda.

    Raises:
        ValueError: an option breaks its rule, or `task_grads_2` is missing or of another form.

    Laws: equivariant under permutations of the tasks.

    Differs from others: the update is the sum over the two batches, twice the mean. LibMTL updates
    with a third batch and has gamma 0.001.

    Source: Chen et al., Three-Way Trade-Off in Multi-Objective Learning, NeurIPS 2023, arXiv
    2305.20057, Algorithm 1.
    """
    check_num_tasks(num_tasks)
    check_not_negative("gamma", gamma)
    check_not_negative("rho", rho)

    def init(params: PyTree) -> WeightsState:
        del params
        return WeightsState(jnp.full(num_tasks, 1.0 / num_tasks, jnp.float32))

    def update(
        task_grads: PyTree,
        state: WeightsState,
        params: PyTree | None = None,
        *,
        task_grads_2: PyTree | None = None,
        **extra,
    ) -> tuple[PyTree, WeightsState]:
        del params, extra
        check_rows(num_tasks, task_grads)
        check_second("modo", num_tasks, task_grads, task_grads_2)
        products = inner_products(task_grads, task_grads_2)
        old = state.weights.astype(products.dtype)
        slope = jnp.einsum("ij,j->i", products, old, precision="highest") + rho * old
        weights = project_simplex(old - gamma * slope)
        sums = (weighted_sum(wide(grads), weights) for grads in (task_grads, task_grads_2))
        update = jax.tree.map(lambda a, b, g: (a + b).astype(g.dtype), *sums, task_grads)
        return update, WeightsState(weights.astype(jnp.float32))

    return optax.GradientTransformationExtraArgs(init, update)
