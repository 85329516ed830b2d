"""Projecting conflicting gradients (arXiv 2001.06782; Eq. 5.12 of the thesis)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Seed
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, cosines, norms, reciprocal
from maskformer_jax.weighting._losses import Weighting, ones
from maskformer_jax.weighting._method import method


class PCGradState(NamedTuple):
    """State of PCGrad.

    Attributes:
        weights: the last weights.
        key: raw key of the next orders.
    """

    weights: Float[Array, " K"]
    key: UInt[Array, " W"]


def random_orders(key: UInt[Array, " W"], num_tasks: int) -> Int[Array, "K others"]:
    """For each task, independently, a random permutation of the other tasks."""
    others = (jnp.arange(num_tasks)[:, None] + jnp.arange(1, num_tasks)) % num_tasks
    return jax.random.permutation(key, others, axis=1, independent=True)


def sum_of_units(coefficients: Float[Array, "K K"], gramian: Gramian) -> Vector:
    """Weights w with sum_k w_k g_k = sum_i |g_i| sum_k a_ik g_k/|g_k|.

    Args:
        coefficients: a_ik, changed gradient i in units of task gradient k, both of length 1.
        gramian: inner products of the task gradients.
    """
    lengths = norms(gramian)
    ratios = lengths[:, None] * reciprocal(lengths)
    # A gradient's own length cancels, also where it is zero.
    ratios = jnp.where(jnp.eye(len(lengths), dtype=bool), 1.0, ratios)
    return (coefficients * ratios).sum(0)


def project(gramian: Gramian, orders: Int[Array, "K others"]) -> Vector:
    """Weights of the sum of all projected gradients (Eq. 5.12), given the orders.

    With g_i' = sum_k a_ik g_k the product g_i'.g_j is (a M)_ij, so that M is enough. The
    coefficients are those of gradients of length 1: the signs are the same, and nothing overflows.
    """
    unit = cosines(gramian)

    def project_one(start: Vector, order: Int[Array, " others"]) -> Array:
        def remove(values: Array, j: Array) -> tuple[Array, None]:
            product = (values * unit[j]).sum()
            return values.at[j].add(-jnp.minimum(product, 0.0)), None

        return jax.lax.scan(remove, start, order)[0]

    coefficients = jax.vmap(project_one)(jnp.eye(len(gramian), dtype=gramian.dtype), orders)
    return sum_of_units(coefficients, gramian)


def weights(gramian: Gramian, state: PCGradState, *_) -> tuple[Vector, PCGradState]:
    """Weights for orders that are drawn anew."""
    key, draw = jax.random.split(state.key)
    values = project(gramian, random_orders(draw, len(gramian)))
    return values, PCGradState(values, key)


@method("gramian")
def pcgrad(num_tasks: int, *, seed: Seed = 0, **options: Any) -> Weighting:
    """The sum of the task gradients after each has lost what conflicts with the others.

    g_i' = g_i - g_i'.g_j/|g_j|^2 g_j wherever g_i'.g_j < 0, for the other tasks j one after the
    other in an order that each task i draws anew in each step. g_j is always the original gradient.
    Without conflicts the update is the sum of the gradients.

    Args:
        num_tasks: number of tasks K.
        seed: of the orders, from 0 to 2^32 - 1, or a key. With two tasks there is only one order.

    No weight is below 1.

    Laws: homogeneous in a common factor of the gradients. For two tasks the update goes up for
    neither of them; for more it may, since a later projection can bring an earlier conflict back.

    Differs from the paper: nothing. The authors' code and LibMTL let j = i take part, where a
    gradient that was turned against itself would lose what is left.

    Source: Yu et al., arXiv 2001.06782, Algorithm 1.
    """
    key = check.key(seed)
    return from_gramian(num_tasks, lambda: PCGradState(ones(num_tasks), key), weights, **options)
