"""Plain sum of the task losses (Eq. 3.3 of the thesis)."""

from maskformer_jax.weighting._losses import Weighting
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._static import static


@method("loss")
def equal(num_tasks: int) -> Weighting:
    """Sum of the losses, S = sum_k L_k: every weight is one.

    Args:
        num_tasks: number of tasks K.

    Laws: linear in the gradients; invariant under permutations of the tasks.

    Source: linear scalarisation; Eq. 3.3 of the thesis.
    """
    return static(num_tasks, weights=[1.0] * num_tasks)
