"""Impartial learning on losses: all losses are scaled to one, with learnt factors (ICLR 2021)."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from maskformer_jax.weighting._checks import Number
from maskformer_jax.weighting._losses import Weighting, from_learnt
from maskformer_jax.weighting._method import method


def derivatives(
    losses: Float[Array, " K"], s: Float[Array, " K"]
) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
    """dS/dL and dS/ds of S = sum_k e^s_k L_k - s_k."""
    scale = jnp.exp(s)
    return scale, scale * losses - 1


@method("loss", from_caller=("optimiser",))
def imtl_l(
    num_tasks: int, *, init: Number = 0.0, optimiser: optax.GradientTransformation | None = None
) -> Weighting:
    """Sum of the losses times learnt factors e^s that bring each of them to one.

    S = sum_k e^s_k L_k - s_k, so w_k = e^s_k; s goes down the derivative e^s_k L_k - 1 and is at
    rest where w_k L_k = 1.

    Args:
        num_tasks: number of tasks K.
        init: first value of every s_k; the first weights are e^init, 1 by default.
        optimiser: an optax transformation that moves s; none: Adam with learning rate 1e-3.
            Training passes the one of the model, with its schedule.

    The update has the factors before their move.

    Laws: linear in the gradients; equivariant under permutations of the tasks.

    Differs from the paper: alone, where the paper also joins it with its method on gradients
    (`imtl_g`).

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, section on loss balance.
    """
    return from_learnt("imtl_l", num_tasks, init, optimiser, derivatives)
