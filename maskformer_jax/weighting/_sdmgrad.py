"""SDMGrad: min-norm weights near a preferred direction, from two batches (arXiv 2305.18409)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._checks import Number, Values
from maskformer_jax.weighting._gradients import from_gradients
from maskformer_jax.weighting._gramian import Vector, norms
from maskformer_jax.weighting._losses import Given, Weighting
from maskformer_jax.weighting._method import method
from maskformer_jax.weighting._rows import (
    active_share,
    check_second,
    inner_products,
    weighted_sum_of_two,
)
from maskformer_jax.weighting._solvers import project_simplex, within_simplex


class SDMGradState(NamedTuple):
    """State of SDMGrad.

    Attributes:
        weights: (u + lam p)/(1 + lam) of the last update.
        residual: largest change of an entry of u in the last iteration.
        solution: u, on the simplex, from which the next update starts.
    """

    weights: Float[Array, " K"]
    residual: Float[Array, ""]
    solution: Float[Array, " K"]


def descend(
    products: Float[Array, "K K"],
    start: Vector,
    pull: Vector,
    active: Bool[Array, " K"],
    *,
    lr: Number,
    momentum: Number,
    n_iter: int,
) -> tuple[Vector, Float[Array, ""]]:
    """u after `n_iter` iterations from `start`, and how far it moved in the last."""
    scaled = products / (norms(products).mean(where=active) ** 2 + 1e-8)

    def body(_, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        u, v, _ = carry
        v = momentum * v + jnp.einsum("ij,j->i", scaled, u + pull, precision="highest")
        moved = project_simplex(u - lr * v, active)
        return moved, v, jnp.abs(moved - u).max()

    begin = (start, jnp.zeros_like(start), jnp.zeros((), start.dtype))
    solution, _, change = jax.lax.fori_loop(0, n_iter, body, begin)
    return solution, change


@method("gradient", needs=("task_grads_2",))
def sdmgrad(
    num_tasks: int,
    *,
    lam: Number = 0.3,
    lr: Number = 10.0,
    momentum: Number = 0.5,
    n_iter: int = 20,
    preference: Values | None = None,
    **options: Any,
) -> Weighting:
    """The shortest convex combination of the gradients, with a pull towards a preferred one.

    X = G_1 G_2^T of two independent batches, divided by mean(sqrt(max(diag X, 0)))^2 + 1e-8. With
    v = 0 at the start of each call, `n_iter` times v = momentum v + X (u + lam p) and
    u = Proj_simplex(u - lr v); the weights are w = (u + lam p)/(1 + lam).

    Args:
        num_tasks: number of tasks K.
        lam: not negative; 0 is the shortest combination alone, large values give p.
        lr: step size in u, positive.
        momentum: from 0 to below 1.
        n_iter: iterations per update, positive.
        preference: p, positive, taken as given: weights add up to 1 if p does. None: 1/K.

    Laws: equivariant under permutations of tasks and preference together.

    With the defaults u need not settle: lr 10 overshoots where gradients are long. `residual` shows
    it, and a smaller lr with more iterations finds the minimum. On orthogonal gradients u takes the
    preference out again, which is a direction and no share here.

    Differs from the paper: the sum over the two batches (twice the mean) makes the update, where
    the paper and LibMTL draw a third. The division of X, the momentum and the defaults are those
    of the authors' code.

    Source: Xiao et al., Direction-oriented Multi-objective Learning, NeurIPS 2023, arXiv
    2305.18409, Algorithm 1.
    """
    lam = check.not_negative("lam", lam)
    lr = check.positive("lr", lr)
    momentum = check.below_one("momentum", momentum)
    n_iter = check.integer("n_iter", n_iter, 1)
    wanted = check.preference(num_tasks, preference, total=1.0)

    def initial(params: PyTree) -> SDMGradState:
        del params
        start = jnp.full(num_tasks, 1.0 / num_tasks, jnp.float32)
        weights = (start + lam * jnp.asarray(wanted, start.dtype)) / (1 + lam)
        return SDMGradState(weights, jnp.zeros((), jnp.float32), start)

    def combine(
        task_grads: PyTree, state: SDMGradState, given: Given
    ) -> tuple[PyTree, SDMGradState]:
        second, active = given.second, given.active
        check_second("sdmgrad", task_grads, second)
        products = inner_products(task_grads, second)
        share = active_share(active) if preference is None else 1.0
        towards = jnp.where(active, lam * jnp.asarray(wanted, products.dtype) * share, 0.0)
        start, to_state = within_simplex(state.solution.astype(products.dtype), active)
        how = {"lr": lr, "momentum": momentum, "n_iter": n_iter}
        solution, change = descend(products, start, towards, active, **how)
        weights = (solution + towards) / (1 + lam)
        update = weighted_sum_of_two(task_grads, second, weights)
        return update, SDMGradState(weights, change, to_state(solution))

    return from_gradients(num_tasks, initial, combine, **options)
