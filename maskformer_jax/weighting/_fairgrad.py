"""FairGrad: the update that is alpha-fair to the tasks (arXiv 2402.15638)."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._bargaining import bargain
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, equilibrate, norms
from maskformer_jax.weighting._losses import Weighting, solved
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._options import OWN_WEIGHTS


def weights(
    gramian: Gramian, *_, alpha: Number, preference: Values
) -> tuple[Vector, Float[Array, ""]]:
    """w with (M w)_k = (p_k / w_k)^(1/alpha).

    A task without others has w_k = (p_k |g_k|^(-2 alpha))^(1/(1 + alpha)); the problem for
    gradients of about unit length is posed relative to that, which keeps all powers within range.
    """
    powers = jnp.asarray(preference, gramian.dtype)
    mean = powers / len(powers)
    if not check.is_traced(alpha) and alpha == 0:
        return mean, jnp.zeros(())
    present = norms(gramian) > 0
    scaled, lengths = equilibrate(gramian)
    longest = jnp.max(jnp.where(present, lengths, 0.0))
    longest = jnp.where(present.any(), longest, 1.0)
    lengths = jnp.where(present, lengths / longest, 1.0)
    is_mean, alpha = alpha == 0, alpha + (alpha == 0)
    share = 1 / (1 + alpha)
    alone = powers**share * lengths ** ((1 - alpha) * share)
    found, residual = bargain(scaled, alone, alpha)
    values = found / lengths * longest ** (-2 * alpha * share)
    values = jnp.where(present, values, 0.0)
    return jnp.where(is_mean, mean, values), jnp.where(is_mean, 0.0, residual)


@method("gramian")
def fairgrad(
    num_tasks: int,
    *,
    alpha: Number = 1.0,
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """The update of largest alpha-fair utility sum_k p_k (g_k.d)^(1-alpha) / (1-alpha).

    d = G^T w with w > 0 and M w = w^(-1/alpha): the minimum of the convex
    w.M w/2 - sum_k w_k^(1-1/alpha)/(1-1/alpha), found for unit gradients by damped Newton.

    Args:
        num_tasks: number of tasks K.
        alpha: fairness, not negative. 0: the mean gradient; 1: proportional fairness, Nash-MTL
            without its clip; the larger, the more the task with the smallest gain decides.
        preference: p, positive: (M w)_k = (p_k / w_k)^(1/alpha); none: 1.

    A common factor s of the gradients is s^((1-alpha)/(1+alpha)) in the update.

    State:
        The last weights, and `residual`: max |(M w)_k (w_k/p_k)^(1/alpha) - 1|. Near 1 or above it
        says that no solution exists: a convex combination of the gradients is zero. The weights are
        finite then, and mean nothing. Or, with alpha below 1 and lengths 1e3 or more apart, that
        (M w)_k is less than a rounding of the terms it is a sum of: no float32 weights solve the
        equation better, and the update is right.

    Laws: equivariant under permutations of the tasks; never against a task.

    Differs from the paper: solved exactly, where the authors call a least-squares routine;
    `preference`; a gradient of zero has the weight zero. LibMTL and TorchJD have alpha 1 too.

    Source: Ban and Ji, Fair Resource Allocation in Multi-Task Learning, Section 4,
    arXiv 2402.15638.
    """
    alpha = check.not_negative("alpha", alpha, "be at least 0")
    powers = check.preference(num_tasks, preference)
    step = solved(num_tasks, partial(weights, alpha=alpha, preference=powers))
    return from_gramian(num_tasks, *step, own=OWN_WEIGHTS["weights"], mean=alpha == 0, **options)
