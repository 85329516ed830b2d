"""MGDA: the shortest convex combination of the task gradients (arXiv 1810.04650)."""

from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, norms, reciprocal, split
from maskformer_jax.weighting._losses import Given, Weighting, solved
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._options import LOSS_EPS
from maskformer_jax.weighting._solvers import cone

NORMALISATIONS = ("none", "l2", "loss", "loss+")


def shortest(gramian: Gramian, active: Bool[Array, " K"]) -> tuple[Vector, Float[Array, ""]]:
    """The u of the simplex that minimises u.M u, and the residual of the solver."""
    unit = split(gramian)
    least = jnp.min(jnp.where(unit.present, unit.lengths, jnp.inf))
    bounds = jnp.where(unit.present, least * reciprocal(unit.lengths), 0.0)
    found = cone(unit, jnp.zeros_like(bounds), bounds, 1.0, unit.present)
    # A gradient of zero is itself the shortest combination.
    zero = active & ~unit.present
    some_zero = zero.any()
    values = jnp.where(some_zero, zero, found.values * bounds)
    return values * reciprocal(values.sum()), jnp.where(some_zero, 0.0, found.residual)


def weights(
    gramian: Gramian, given: Given, *, normalise: str, divide: bool
) -> tuple[Vector, Float[Array, ""]]:
    """Weights of the shortest convex combination of the g_k / n_k (Eq. 3)."""
    inverse = jnp.ones(len(gramian), gramian.dtype)
    if normalise in ("l2", "loss+"):
        inverse = reciprocal(norms(gramian))
    if normalise in ("loss", "loss+"):
        name = f"mgda with `normalise: {normalise}`"
        losses = check.losses(name, len(gramian), given.losses, lowest=0)
        inverse = inverse / (losses.astype(gramian.dtype) + LOSS_EPS)
    # Only ratios of the n_k matter to u; without their size nothing overflows.
    relative = inverse / jnp.maximum(jnp.max(inverse), jnp.finfo(inverse.dtype).tiny)
    u, residual = shortest(gramian * relative[:, None] * relative, given.active)
    return u * inverse if divide else u, residual


@method("gramian")
def mgda(
    num_tasks: int,
    *,
    normalise: Literal["none", "l2", "loss", "loss+"] = "none",
    divide: bool = True,
    **options: Any,
) -> Weighting:
    """The shortest convex combination of the task gradients, along which no loss goes up.

    u = argmin |sum_k u_k g_k / n_k|^2 over the simplex, and the update is sum_k w_k g_k with
    w = u / n. Where it is zero the parameters are Pareto stationary.

    Args:
        num_tasks: number of tasks K.
        normalise: n_k: 1 (`none`), the length of the gradient (`l2`), the loss (`loss`) or their
            product (`loss+`). Without, the shortest gradients decide.
        divide: whether the update is of the g_k / n_k too (w = u / n), or of the g_k (w = u).

    State:
        The last weights, and `residual`: the largest relative violation of the conditions for a
        minimum, g_k.d >= |d|^2 with equality where u_k > 0.

    Raises:
        ValueError: `update` gets no losses where `normalise` needs them.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients without `normalise`; never against a task; zero exactly where a convex combination of
    the gradients is, as with a gradient of zero.

    With a preference p the combination is that of g_k / (n_k p_k), and w = u / (n p): on orthogonal
    gradients of one length the shares are p.

    Differs from the paper: an active set finds the exact minimum, in place of Frank-Wolfe steps;
    the gradients are those by the parameters, not by the representation. `normalise` is of the
    authors' code, where w = u.

    Source: Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, Eq. 3,
    arXiv 1810.04650; after Désidéri, Comptes Rendus Mathématique 350 (2012).
    """
    check.one_of("normalise", normalise, NORMALISATIONS)
    check.true_or_false("divide", divide)
    step = partial(weights, normalise=normalise, divide=divide)
    return from_gramian(num_tasks, *solved(num_tasks, step), divide=True, **options)
