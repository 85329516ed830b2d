"""Fixed task weights (Eq. 4.1 and 4.2 of the thesis)."""

import jax.numpy as jnp
from jaxtyping import PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._losses import Weighting, WeightsState
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import Active, mask_rows, weighted_sum


@method("loss", per_loss={"weights": "values"})
def static(num_tasks: int, *, weights: Values) -> Weighting:
    """Weighted sum of the losses with weights chosen by hand: S = sum_k w_k L_k.

    Args:
        num_tasks: number of tasks K.
        weights: one finite weight per task, not negative and not all zero. 0 switches a task off;
            a common factor changes only the size of the update.

    Returns:
        A transformation that takes task gradients `[K, ...]` and returns `sum_k w_k g_k`. Family
        `loss`: applied to the identity it returns its own weights.

    State:
        The weights.

    Laws: linear in the gradients; equivariant when tasks and weights are permuted together.

    Source: the usual practice of multi-task learning; Eq. 4.1 and 4.2 of the thesis.
    """
    values = check.shares(num_tasks, weights)

    def init(params: PyTree) -> WeightsState:
        del params
        return WeightsState(weights=jnp.asarray(values, jnp.float32))

    def update(
        task_grads: PyTree,
        state: WeightsState,
        params: PyTree | None = None,
        *,
        active: Active = None,
        **extra,
    ) -> tuple[PyTree, WeightsState]:
        del state, params, extra
        found = init(None)
        if active is not None:
            active = check.active(num_tasks, active)
            task_grads = mask_rows(task_grads, active)
            found = WeightsState(jnp.where(active, found.weights, 0.0))
        return weighted_sum(task_grads, found.weights), found

    return Weighting(init, update)
