"""Fixed task weights (Eq. 4.1 and 4.2 of the thesis)."""

import jax.numpy as jnp

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._losses import Weighting, WeightsState, from_losses
from maskformer_jax.weighting._method import method


@method("loss", per_loss={"weights": "values"})
def static(num_tasks: int, *, weights: Values) -> Weighting:
    """Weighted sum of the losses with weights chosen by hand: S = sum_k w_k L_k.

    Args:
        num_tasks: number of tasks K.
        weights: one finite weight per task, not negative and not all zero. 0 switches a task off;
            a common factor changes only the size of the update.

    Laws: linear in the gradients; equivariant when tasks and weights are permuted together.

    Source: the usual practice of multi-task learning; Eq. 4.1 and 4.2 of the thesis.
    """
    values = check.shares(num_tasks, weights)

    state = WeightsState(jnp.asarray(values, jnp.float32))
    return from_losses(None, num_tasks, lambda: state, lambda *_: (state.weights, state))
