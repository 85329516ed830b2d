"""Krum: the gradients with the closest neighbours (Blanchard et al., NeurIPS 2017)."""

from functools import partial
from typing import Any

import jax.numpy as jnp

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector
from maskformer_jax.weighting._losses import Weighting, plain
from maskformer_jax.weighting._method import method


def scores(gramian: Gramian, n_byzantine: int) -> Vector:
    """Sums of the K - f - 2 smallest squared distances of each gradient to the others."""
    num_tasks = len(gramian)
    squares = jnp.diagonal(gramian)
    sums = squares[:, None] + squares
    # Either triangle may be rounded its own way; neighbours must agree on their distance.
    distances = sums - 2 * jnp.minimum(gramian, gramian.T)
    # What is no more than rounding is no distance: equal gradients are neighbours of one kind.
    distances = jnp.where(distances > 4 * jnp.finfo(gramian.dtype).eps * sums, distances, 0.0)
    distances = jnp.where(jnp.eye(num_tasks, dtype=bool), jnp.inf, distances)
    return jnp.sort(distances, axis=1)[:, : num_tasks - n_byzantine - 2].sum(1)


def weights(gramian: Gramian, *_, n_byzantine: int, n_selected: int) -> Vector:
    """1/m for the m gradients with the lowest scores, of equal ones the first; 0 for the others."""
    order = jnp.argsort(scores(gramian, n_byzantine), stable=True)
    return jnp.zeros(len(gramian), gramian.dtype).at[order[:n_selected]].set(1 / n_selected)


@method("gramian", without=("preference",))
def krum(num_tasks: int, *, n_byzantine: int, n_selected: int = 1, **options: Any) -> Weighting:
    """The mean of the task gradients that lie closest to others.

    The score of gradient i is the sum of |g_i - g_j|^2 over the K - f - 2 closest g_j; the m
    gradients with the lowest scores are averaged (Multi-Krum; Krum for m = 1).

    Args:
        num_tasks: number of tasks K, at least f + 3.
        n_byzantine: number f of gradients that may be anything, from 0.
        n_selected: number m of gradients in the mean, from 1 (Krum) to K (the mean of all).

    Laws: equivariant under permutations of the tasks, where no scores are equal: of those the
    lowest index counts, and with K - f - 2 = 1 the closest pair is always such a case. Homogeneous
    in a common factor of the gradients.

    Differs from the paper: K >= f + 3, which a score needs, in place of its guarantee's K > 2f + 2.
    TorchJD sums distances, not their squares.

    Source: Blanchard et al., Machine Learning with Adversaries, NeurIPS 2017, Section 4.
    """
    check.option(num_tasks >= 3, "num_tasks", "be at least 3", num_tasks)
    n_byzantine = check.integer("n_byzantine", n_byzantine, 0, num_tasks - 3)
    n_selected = check.integer("n_selected", n_selected, 1, num_tasks)
    select = partial(weights, n_byzantine=n_byzantine, n_selected=n_selected)
    return from_gramian(num_tasks, *plain(num_tasks, select), some=False, **options)
