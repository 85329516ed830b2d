"""Gradient vaccine: cosines raised to their running mean (arXiv 2010.05874; Eq. 5.18, 5.19)."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Seed
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._gramian import Gramian, Vector, cosines, reciprocal
from maskformer_jax.weighting._losses import Weighting, ones
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._pcgrad import random_orders, sum_of_units

# A cosine of 1 would take an infinitely long correction.
LARGEST_TARGET = 1 - 1e-6


class GradVacState(NamedTuple):
    """State of GradVac.

    Attributes:
        weights: the last weights.
        targets: running means of the cosines of task i with task j.
        key: raw key of the next orders.
    """

    weights: Float[Array, " K"]
    targets: Float[Array, "K K"]
    key: UInt[Array, " W"]


def vaccinate(
    gramian: Gramian, targets: Float[Array, "K K"], orders: Int[Array, "K others"], beta: Number
) -> tuple[Vector, Float[Array, "K K"]]:
    """Weights of the sum of all changed gradients, and the targets moved, given the orders.

    With g_i' = sum_k a_ik g_k, |g_i'|^2 = a_i M a_i and g_i'.g_j = (a M)_ij, so that M is enough.
    The coefficients are those of gradients of length 1, and nothing overflows.
    """
    unit, dtype = cosines(gramian), gramian.dtype
    eps = jnp.finfo(dtype).eps

    def vaccinate_one(start: Array, goals: Array, order: Array) -> tuple[Array, Array]:
        def correct(carry: tuple[Array, Array], j: Array) -> tuple[tuple[Array, Array], None]:
            values, goals = carry
            products = (unit * values).sum(1)
            squared = (products * values).sum()
            # Gradients that cancel leave rounding, which has no direction.
            left = squared > eps * jnp.abs(values).sum() ** 2
            length = jnp.sqrt(jnp.where(left, squared, 0.0))
            phi = jnp.clip(products[j] * reciprocal(length), -1.0, 1.0)
            goal = jnp.clip(goals[j], -LARGEST_TARGET, LARGEST_TARGET)
            both = left & (unit[j, j] > 0)
            # Eq. 5.18 with the root of its denominator divided out.
            ratio = jnp.sqrt((1 - phi) * (1 + phi) / ((1 - goal) * (1 + goal)))
            step = jnp.where(both & (phi < goal), length * (goal * ratio - phi), 0.0)
            moved = jnp.where(both, (1 - beta) * goals[j] + beta * phi, goals[j])
            return (values.at[j].add(step), goals.at[j].set(moved)), None

        return jax.lax.scan(correct, (start, goals), order)[0]

    start = jnp.eye(len(gramian), dtype=dtype)
    coefficients, targets = jax.vmap(vaccinate_one)(start, targets.astype(dtype), orders)
    return sum_of_units(coefficients, gramian), targets


def weights(gramian: Gramian, state: GradVacState, *_, beta: Number) -> tuple[Vector, GradVacState]:
    """Weights for orders that are drawn anew, and the targets of the next step."""
    key, draw = jax.random.split(state.key)
    orders = random_orders(draw, len(gramian))
    values, targets = vaccinate(gramian, state.targets, orders, beta)
    return values, GradVacState(values, targets, key)


@method("gramian")
def gradvac(num_tasks: int, *, beta: Number = 0.01, seed: Seed = 0, **options: Any) -> Weighting:
    """The sum of the task gradients after each has been turned towards the others.

    phi is the cosine of g_i', so far, with the original g_j. Where it lies below the target p_ij,

        g_i' += g_j |g_i'| (p_ij sqrt(1 - phi^2) - phi sqrt(1 - p_ij^2)) / (|g_j| sqrt(1 - p_ij^2))

    makes it p_ij; below or not, p_ij becomes (1 - beta) p_ij + beta phi. The other tasks j come
    one after the other in an order that each task i draws anew in each step. Targets start at 0,
    where the rule is PCGrad's, and may be negative. With `granularity` each group of parameters has
    targets of its own and all have the same orders.

    Args:
        num_tasks: number of tasks K.
        beta: how fast the targets follow the cosines, from 0 (never: PCGrad) to 1 (at once).
        seed: of the orders, from 0 to 2^32 - 1, or a key. With two tasks there is only one order.

    Laws: homogeneous in a common factor of the gradients.

    Differs from the paper: pairs with a gradient of length zero are left out; targets above
    1 - 1e-6 count as that. LibMTL and TorchJD have beta = 0.5.

    Source: Wang et al., arXiv 2010.05874, Section 3; Eq. 5.18 and 5.19 of the thesis, where 5.18
    has a transposed phi in the place of one of the targets.
    """
    beta = check.number("beta", beta, "be a number from 0 to 1", lambda x: 0 <= x <= 1)
    key = check.key(seed)

    def initial() -> GradVacState:
        targets = jnp.zeros((num_tasks, num_tasks), jnp.float32)
        return GradVacState(ones(num_tasks), targets, key)

    return from_gramian(num_tasks, initial, partial(weights, beta=beta), **options)
