"""Uncertainty weighting: the variance of each task is learnt (arXiv 1705.07115)."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._losses import Weighting, from_learnt
from maskformer_jax.weighting._method import method


def derivatives(
    losses: Float[Array, " K"], s: Float[Array, " K"]
) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
    """dS/dL and dS/ds of S = sum_k (e^-s_k L_k + s_k)/2 (Eq. 5.4 with s = log sigma^2)."""
    precision = jnp.exp(-s)
    return precision / 2, (1 - precision * losses) / 2


@method("loss", from_caller=("optimiser",))
def uw(
    num_tasks: int, *, init: Number = -0.5, optimiser: optax.GradientTransformation | None = None
) -> Weighting:
    """Sum of the losses over twice their learnt variances, which a second term keeps small.

    S = sum_k (e^-s_k L_k + s_k)/2 with s = log sigma^2, so w_k = e^-s_k/2; s goes down the
    derivative (1 - e^-s_k L_k)/2 and is at rest where the variance equals the loss, w_k L_k = 1/2.

    Args:
        num_tasks: number of tasks K.
        init: first value of every s_k; the first weights are e^-init/2, 0.82 by default.
        optimiser: an optax transformation that moves s; none: Adam with learning rate 1e-3.
            Training passes the one of the model, with its schedule.

    The update has the weights before their move.

    Laws: linear in the gradients; equivariant under permutations of the tasks.

    Differs from the paper: the same factor 1/2 for regression and classification, as in Eq. 5.4 of
    the thesis and in LibMTL; the paper has 1 for classification.

    Source: Kendall, Gal and Cipolla, arXiv 1705.07115; Eq. 5.4 of the thesis.
    """
    return from_learnt("uw", num_tasks, init, optimiser, derivatives)
