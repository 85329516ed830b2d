"""MoCo: min-norm weights from averaged gradients, one step at a time (arXiv 2210.12624)."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting import _rows
from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._gramian import reciprocal
from maskformer_jax.weighting._losses import Given, Weighting
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._solvers import project_simplex, within_simplex

# beta, gamma, rho of each variant.
DEFAULTS = {"paper": (0.1, 0.1, 0.1), "libmtl": (0.5, 0.1, 0.0)}


class MoCoState(NamedTuple):
    """State of MoCo.

    Attributes:
        weights: lambda, on the simplex.
        averages: y_k, leaves `[K, ...]`.
        step: updates so far.
    """

    weights: Float[Array, " K"]
    averages: PyTree
    step: Int[Array, ""]


@method("gradient")
def moco(
    num_tasks: int,
    *,
    variant: Literal["paper", "libmtl"] = "paper",
    beta: Number | None = None,
    gamma: Number | None = None,
    rho: Number | None = None,
    **options: Any,
) -> Weighting:
    """Averages of the task gradients, weighted towards their shortest convex combination.

    y_k = y_k - beta (y_k - g_k) from y_k = 0 tracks the gradients over batches;
    lambda = Proj_simplex(lambda - gamma (Y Y^T + rho I) lambda) from 1/K makes one step towards the
    shortest combination; the update is Y^T lambda.

    Args:
        num_tasks: number of tasks K.
        variant: `paper`, or `libmtl`: gradients L_k g_k/|g_k|, softmax in place of the projection,
            and beta and gamma divided by the square root of the step.
        beta: rate of the averages, above 0, at most 1 (no average). None: 0.1, in `libmtl` 0.5.
        gamma: step size of lambda, not negative; 0 keeps equal weights. None: 0.1.
        rho: not negative; pull towards equal weights. None: 0.1, in `libmtl` 0.

    Raises:
        ValueError: `losses` are missing for `libmtl`.

    Laws: equivariant under permutations of the tasks.

    Differs from the paper: step sizes are constant (`paper`). Averages start at 0 and are not
    corrected for that: the first update is beta times the mean gradient. The step in lambda is not
    scaled by the gradients: where gamma |g|^2 exceeds 1 it takes whole tasks out in one step, and
    of long gradients one task has all the weight from the first step on. `preference` divides the
    gradients and the weights, as in `mgda`.

    Source: Fernando et al., Mitigating Gradient Bias in Multi-objective Learning, ICLR 2023, arXiv
    2210.12624, Algorithm 1.
    """
    check.one_of("variant", variant, tuple(DEFAULTS))
    given = zip((beta, gamma, rho), DEFAULTS[variant], strict=True)
    rate, step_size, pull = (default if value is None else value for value, default in given)
    rate = check.number("beta", rate, "be above 0 and at most 1", lambda x: 0 < x <= 1)
    step_size = check.not_negative("gamma", step_size)
    pull = check.not_negative("rho", pull)

    def project(values: Float[Array, " K"], active: Bool[Array, " K"]) -> Float[Array, " K"]:
        if variant == "libmtl":
            return jax.nn.softmax(values, where=active)
        return project_simplex(values, active)

    def initial(params: PyTree) -> MoCoState:
        equal = jnp.full(num_tasks, 1.0 / num_tasks, jnp.float32)
        return MoCoState(equal, _rows.zero_rows(num_tasks, params), jnp.zeros((), jnp.int32))

    def combine(task_grads: PyTree, state: MoCoState, given: Given) -> tuple[PyTree, MoCoState]:
        step, grads, fading = state.step + 1, task_grads, jnp.ones((), jnp.float32)
        if variant == "libmtl":
            fading = jnp.sqrt(step.astype(jnp.float32))
            losses = check.losses("moco, variant libmtl,", num_tasks, given.losses)
            grads = _rows.scale_rows(grads, losses * reciprocal(_rows.row_norms(grads)))
        averages = _rows.move_average(state.averages, grads, rate / fading)
        products = _rows.inner_products(averages, averages)
        old, to_state = within_simplex(state.weights.astype(products.dtype), given.active)
        slope = jnp.einsum("ij,j->i", products, old, precision="highest") + pull * old
        weights = project(old - step_size / fading * slope, given.active)
        after = MoCoState(to_state(weights), averages, step)
        return _rows.weighted_sum(averages, weights), after

    return from_gradients(num_tasks, initial, combine, divide=True, **options)
