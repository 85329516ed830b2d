"""Aligned multi-task learning: gradients made orthogonal and equally long (arXiv 2305.19000)."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from maskformer_jax.weighting._combine import (
    WeightsState,
    check_num_tasks,
    check_option,
    check_preference,
    ones_state,
)
from maskformer_jax.weighting._gramian import (
    Gramian,
    GramianTransformation,
    from_gramian,
    reciprocal,
)

SCALES = ("min", "median", "rmse")


def common_eigenvalue(
    eigenvalues: Float[Array, " K"], rank: Int[Array, ""], scale: str
) -> Float[Array, ""]:
    """What all of the `rank` largest of the ascending eigenvalues are replaced by."""
    num_tasks = len(eigenvalues)
    if scale == "rmse":
        kept = jnp.arange(num_tasks) >= num_tasks - rank
        return jnp.where(kept, eigenvalues, 0.0).sum() / jnp.maximum(rank, 1)
    position = num_tasks - rank + (0 if scale == "min" else (rank - 1) // 2)
    return eigenvalues[jnp.clip(position, 0, num_tasks - 1)]


def weights(
    gramian: Gramian,
    state: WeightsState,
    losses: Float[Array, " K"] | None = None,
    *,
    preference: Sequence[float],
    scale: str,
) -> tuple[Float[Array, " K"], WeightsState]:
    """w = B p with B = sqrt(s) V Lambda^-1/2 V^T over the eigenvalues kept."""
    del state, losses
    dtype = gramian.dtype
    # B does not depend on the unit; in this one no eigenvalue is close to the ends of the type.
    eigenvalues, vectors = jnp.linalg.eigh(gramian * reciprocal(jnp.diagonal(gramian).max()))
    kept = eigenvalues > eigenvalues[-1] * len(gramian) * jnp.finfo(dtype).eps
    common = common_eigenvalue(eigenvalues, kept.sum(), scale)
    stretch = jnp.sqrt(jnp.where(kept, common * reciprocal(eigenvalues), 0.0))
    project = jnp.einsum("ki,k->i", vectors, jnp.asarray(preference, dtype), precision="highest")
    values = jnp.einsum("ki,i->k", vectors, stretch * project, precision="highest")
    return values, WeightsState(values.astype(jnp.float32))


def aligned_mtl(
    num_tasks: int,
    *,
    preference: Sequence[float] | None = None,
    scale: Literal["min", "median", "rmse"] = "min",
) -> GramianTransformation:
    """The sum of the orthogonal gradients of one length that are closest to the task gradients.

    With the Gramian M = V Lambda V^T the gradients B G, B = sqrt(s) V Lambda^-1/2 V^T, have the
    Gramian s V V^T: their condition number is 1. The update is p^T B G. Eigenvalues of at most
    K eps times the largest are left out.

    Args:
        num_tasks: number of tasks K.
        preference: positive weights p of the aligned gradients; none: all 1.
        scale: s is the `min`, the lower `median` or the mean (`rmse`) of the eigenvalues kept.
            `min`, the paper's, lets the weakest direction of all decide about the update's length.

    Returns:
        A transformation of family `gramian`: task gradients `[K, ...]` in, `sum_k w_k g_k` out.

    State:
        The last weights.

    Raises:
        ValueError: `num_tasks` is not positive, or an option breaks its rule.

    Laws: equivariant under permutations of the tasks; homogeneous in a common factor of the
    gradients.

    Differs from the paper: `scale` beyond `min`, as in TorchJD, whose default preference is 1/K.

    Source: Senushkin et al., arXiv 2305.19000, Section 4; Section 5.4.1 of the thesis.
    """
    check_num_tasks(num_tasks)
    sizes = check_preference(num_tasks, preference)
    check_option(scale in SCALES, "scale", f"be one of {SCALES}", scale)
    solve = partial(weights, preference=sizes, scale=scale)

    return from_gramian(num_tasks, ones_state(num_tasks), solve)
