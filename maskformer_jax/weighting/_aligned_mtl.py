"""Aligned multi-task learning: gradients made orthogonal and equally long (arXiv 2305.19000)."""

from functools import partial
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Values
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, reciprocal
from maskformer_jax.weighting._losses import Weighting, plain
from maskformer_jax.weighting._method import method

SCALES = ("min", "median", "rmse")


def common_eigenvalue(eigenvalues: Vector, rank: Int[Array, ""], scale: str) -> Float[Array, ""]:
    """What all of the `rank` largest of the ascending eigenvalues are replaced by."""
    num_tasks = len(eigenvalues)
    if scale == "rmse":
        kept = jnp.arange(num_tasks) >= num_tasks - rank
        return jnp.where(kept, eigenvalues, 0.0).sum() / jnp.maximum(rank, 1)
    position = num_tasks - rank + (0 if scale == "min" else (rank - 1) // 2)
    return eigenvalues[jnp.clip(position, 0, num_tasks - 1)]


def weights(gramian: Gramian, *_, preference: Values, scale: str) -> Vector:
    """w = B p with B = sqrt(s) V Lambda^-1/2 V^T over the eigenvalues kept."""
    dtype = gramian.dtype
    # B does not depend on the unit; in this one no eigenvalue is close to the ends of the type.
    eigenvalues, vectors = jnp.linalg.eigh(gramian * reciprocal(jnp.diagonal(gramian).max()))
    kept = eigenvalues > eigenvalues[-1] * len(gramian) * jnp.finfo(dtype).eps
    common = common_eigenvalue(eigenvalues, kept.sum(), scale)
    stretch = jnp.sqrt(jnp.where(kept, common * reciprocal(eigenvalues), 0.0))
    project = jnp.einsum("ki,k->i", vectors, jnp.asarray(preference, dtype), precision="highest")
    return jnp.einsum("ki,i->k", vectors, stretch * project, precision="highest")


@method("gramian")
def aligned_mtl(
    num_tasks: int,
    *,
    preference: Values | None = None,
    scale: Literal["min", "median", "rmse"] = "min",
    **options: Any,
) -> Weighting:
    """The sum of the orthogonal gradients of one length that are closest to the task gradients.

    With the Gramian M = V Lambda V^T the gradients B G, B = sqrt(s) V Lambda^-1/2 V^T, have the
    Gramian s V V^T: their condition number is 1. The update is p^T B G. Eigenvalues of at most
    K eps times the largest are left out.

    Args:
        num_tasks: number of tasks K.
        preference: positive weights p of the aligned gradients; none: all 1.
        scale: s is the `min`, the lower `median` or the mean (`rmse`) of the eigenvalues kept.
            `min`, the paper's, lets the weakest direction of all decide about the update's length.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients.

    Differs from the paper: `scale` beyond `min`, as in TorchJD, whose default preference is 1/K.

    Source: Senushkin et al., arXiv 2305.19000, Section 4; Section 5.4.1 of the thesis.
    """
    sizes = check.preference(num_tasks, preference)
    check.one_of("scale", scale, SCALES)
    step = plain(num_tasks, partial(weights, preference=sizes, scale=scale))
    return from_gramian(num_tasks, *step, **options)
