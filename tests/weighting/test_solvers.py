"""Weights that solve a problem are the solution: against float64, over gradients of all kinds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from distances import distances
from rows import close, task_grads
from solutions import (
    CASES,
    EACH,
    EPS,
    gramians,
    has_solution,
    measure,
    projected,
    solve,
    solve_projections,
    split,
    tolerance,
)

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._gramian import exact_product
from maskformer_jax.weighting._upgrad import weights as upgrad_weights

TASKS = (2, 3, 6, 16)
ALPHAS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
# Label of a case, number of tasks, Gramians of each kind.
SOLVED = [(label, k, EACH) for label in ("mgda", "dualproj", "nash_mtl") for k in TASKS]
SOLVED += [("upgrad", k, EACH // k + 2) for k in TASKS]
SOLVED += [("cagrad:0.5", k, 3 * EACH // 2) for k in TASKS]
SOLVED += [(f"cagrad:{c}", k, 3 * EACH // 2) for c, k in ((0.2, 6), (1.5, 3))]
# Of so many tasks the search starts where pivoting ends.
SOLVED += [("dualproj", 20, 3), ("cagrad:0.5", 20, 1)]
SOLVED += [*((f"fairgrad:{a}", 6, EACH) for a in ALPHAS), ("fairgrad:0.25", 2, EACH)]
SOLVED += [("fairgrad:2.0", 16, EACH), ("pcd", 6, EACH)]
RESIDUALS = {"mgda": 2e-6, "dualproj": 2e-6, "upgrad": 4e-6, "cagrad": 2e-6, "pcd": 1e-5}


@pytest.mark.parametrize(("label", "k", "each"), SOLVED)
def test_weights_are_the_solution(label, k, each):
    """Where there is one: for CAGrad by a lower bound of its dual objective."""
    matrices, names = gramians(k, each)
    excess, residual = measure(label, matrices)
    assert (~np.isnan(excess)).sum() > each
    worst = np.nanargmax(excess)
    assert excess[worst] <= 1, names[worst]
    assert residual.max() < RESIDUALS.get(label.split(":")[0], np.inf)


@pytest.mark.parametrize("k", TASKS)
def test_mgda_is_a_convex_combination(k):
    weights, _ = solve("mgda", gramians(k)[0])
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("k", TASKS)
def test_upgrad_is_the_mean_of_the_projections(k):
    """With a preference for one task alone, the sum over tasks is one projection."""
    matrices, _ = gramians(k, each=EACH // k + 2)
    parts, _ = solve_projections("upgrad", matrices)
    total, _ = solve("upgrad", matrices)
    scale = np.sqrt(np.einsum("nii->ni", matrices))
    error = scale * np.abs(total - parts.mean(1))
    assert (error <= 1e-5 * (scale * total).max(1, keepdims=True)).all()


@pytest.mark.parametrize("k", TASKS)
def test_nash_mtl_says_how_far_it_is(k):
    matrices, names = gramians(k)
    weights, residual = solve("nash_mtl", matrices, max_norm=0)
    for matrix, alpha, said, name in zip(matrices, weights, residual, names, strict=True):
        if has_solution(*split(matrix)):
            largest = (alpha**2 * np.diag(matrix)).max()
            assert said <= 1e-5 + 8 * EPS * largest, name


@pytest.mark.parametrize(("k", "largest"), [(40, 2e-5)])
def test_upgrad_of_many_tasks_says_how_far_it_is(k, largest):
    """Of gradients of all kinds by the residual; of those that do not depend on each other too by
    the objective of one projection."""
    matrices, names = gramians(k, each=2)
    chosen = [names.index("conflicting"), names.index("normal", 16), names.index("equal rows", 16)]
    weights, residual = solve("upgrad", matrices[chosen])
    assert residual.max() < largest and (weights >= 0).all()
    first = jax.jit(lambda matrix: upgrad_weights(matrix, preference=jnp.eye(k)[0])[0])
    matrix = matrices[chosen[1]]
    found = np.asarray(first(jnp.asarray(matrix, jnp.float32)), np.float64)
    lengths, cosines = split(matrix)
    bounds = np.eye(k)[0] * lengths
    least, scaled = projected(cosines, bounds), found * lengths
    assert scaled @ cosines @ scaled <= least + max(1e-4 * least, tolerance(least, found, lengths))


def test_pcd_has_the_length_of_the_primary_gradient():
    matrices, _ = gramians(6)
    weights, _ = solve("pcd", matrices, **CASES["pcd"].options)
    assert (weights >= 0).all()
    sizes = np.sqrt(np.einsum("ni,nij,nj->n", weights, matrices, weights))
    terms = weights * np.sqrt(np.einsum("nii->ni", matrices))
    # Where the constraints nearly contradict, large terms cancel.
    kept = ~np.isnan(measure("pcd", matrices)[0]) & (terms.sum(1) <= 30 * terms[:, 0])
    np.testing.assert_allclose(sizes[kept], np.sqrt(matrices[kept, 0, 0]), rtol=1e-4)


def test_products_whose_terms_cancel_are_exact():
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(6, 6)).astype(np.float32) for _ in range(2))
    terms = np.hstack([a, a]), np.vstack([b, -b * np.float32(1 + 1e-6)])
    expected = terms[0].astype(float) @ terms[1].astype(float)
    found = jax.jit(exact_product)(*terms)
    np.testing.assert_allclose(found, expected, rtol=2 * EPS)


def two(a, b, cosine):
    return np.array([[a * a, a * b * cosine], [a * b * cosine, b * b]])


@pytest.mark.parametrize(("a", "b", "cosine"), [(1, 1, -0.5), (2, 0.5, 0.3), (1, 30, -0.9)])
def test_closed_forms_for_two_tasks(a, b, cosine):
    matrix = two(a, b, cosine)
    product = matrix[0, 1]
    u = np.clip((b * b - product) / (a * a + b * b - 2 * product), 0, 1)
    close(solve("mgda", matrix[None])[0][0], np.array([u, 1 - u]), 1e-5, 1e-6)

    # The bisector of the directions.
    alpha = np.array([1 / a, 1 / b]) / np.sqrt(1 + cosine)
    close(solve("nash_mtl", matrix[None], max_norm=0)[0][0], alpha, 1e-5)
    close(solve("nash_mtl", matrix[None])[0][0], alpha / np.sqrt(2), 1e-5)

    # Of all u the best one on a fine grid.
    grid = np.linspace(0, 1, 200_001)
    rows = np.column_stack([grid, 1 - grid])
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", rows, matrix, rows))
    values = rows @ matrix.mean(1) + 0.5 * np.sqrt(matrix.mean()) * lengths
    best = np.argmin(values)
    expected = 0.5 + 0.5 * np.sqrt(matrix.mean()) * rows[best] / lengths[best]
    close(solve("cagrad", matrix[None])[0][0], expected, 1e-3, 1e-4)


def test_pcd_is_the_primary_gradient_where_constraints_contradict():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -2.0]])
    close(solve("pcd", (rows @ rows.T)[None])[0][0], np.array([1.0, 0.0, 0.0]))


def test_pcd_follows_its_definition_over_steps():
    """One secondary task: d = h_0 + max(0, (tau |h_1|^2 - h_0.h_1) / |h_1|^2) h_1."""
    method = METHODS["pcd"](2, tau=0.1, beta=0.9)
    state, average = method.init(jnp.zeros(1)), np.zeros(2)
    for t in (1, 2, 3):
        g = np.random.default_rng(t).normal(size=(2, 3)) + np.outer([1, -1], [1, 0, 0])
        average = 0.9 * average + 0.1 * (g**2).sum(1)
        h = g / np.sqrt(average / (1 - 0.9**t) + 1e-8)[:, None]
        d = h[0] + max(0.0, 0.1 - h[0] @ h[1] / (h[1] @ h[1])) * h[1]
        found, state = method.update(jnp.asarray(g, jnp.float32), state)
        close(found, d * np.linalg.norm(g[0]) / np.linalg.norm(d), 1e-5)


def test_contradiction_is_shown_by_the_residual():
    rows = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    for name in ("nash_mtl", "fairgrad"):
        assert solve(name, (rows @ rows.T)[None])[1][0] > 0.1


def test_mgda_divides_by_what_it_is_told():
    rows = np.array([[2.0, 0.0], [0.0, 4.0]])
    matrix, losses = jnp.asarray(rows @ rows.T, jnp.float32), jnp.array([2.0, 1.0])
    expected = {"none": [0.8, 0.2], "l2": [0.25, 0.125], "loss": [8 / 17, 1 / 17]}
    expected["loss+"] = [0.2, 0.05]
    for normalise, values in expected.items():
        method = METHODS["mgda"](2, normalise=normalise)
        found = method.weigh(matrix, method.init(jnp.zeros(1)), losses).weights
        close(found, np.array(values, np.float32), 1e-5)
    method = METHODS["mgda"](2, normalise="l2", divide=False)
    found = method.weigh(matrix, method.init(jnp.zeros(1))).weights
    close(found, np.array([0.5, 0.5], np.float32))
    method = METHODS["mgda"](2, normalise="loss")
    with pytest.raises(ValueError, match=r"`losses` must be given to mgda with .normalise: loss"):
        method.weigh(matrix, method.init(jnp.zeros(1)))


def test_nash_mtl_keeps_alpha_and_clips_every_step():
    method = METHODS["nash_mtl"](4, update_every=2)
    each = METHODS["nash_mtl"](4)
    state = method.init(task_grads())
    grads = [task_grads(seed=s) for s in range(3)]
    alphas = []
    for g in grads:
        update, state = method.update(g, state)
        alphas.append(state.method.alpha)
        square = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(update))
        assert square <= 1 + 1e-5
    np.testing.assert_array_equal(alphas[0], alphas[1])
    fresh = [each.update(g, each.init(g))[1].method.alpha for g in grads]
    np.testing.assert_array_equal(alphas[0], fresh[0])
    np.testing.assert_array_equal(alphas[2], fresh[2])


def test_nash_mtl_gives_own_parameters_the_weight_before_the_clip():
    shared = {"a": True, "b": False}
    grads = {"a": task_grads()["a"], "b": task_grads()["b"][1][0]}
    method = METHODS["nash_mtl"](4, shared=shared, preference=[1.0, 2.0, 1.0, 1.0])
    update, state = method.update(grads, method.init(jax.tree.map(lambda x: x[0], grads)))
    assert state.method.clip < 1
    close(update["b"], state.method.alpha @ grads["b"], 1e-5, 1e-5)


def test_preference_is_the_bargaining_power():
    matrices, _ = gramians(4, each=1)
    powers = np.array([1.0, 2.0, 0.5, 3.0])
    for name, options in (("nash_mtl", {"max_norm": 0.0}), ("fairgrad", {"alpha": 1.0})):
        weights, _ = solve(name, matrices[:2], preference=list(powers), **options)
        close(weights * np.einsum("nij,nj->ni", matrices[:2], weights), powers + 0 * weights, 1e-4)
    close(solve("fairgrad", matrices[:1], alpha=0.0)[0], np.full((1, 4), 0.25))


def test_distances_have_a_line_for_each_method_and_number_of_tasks():
    ((*found, worst, missed, large),) = distances([2], 16 * EACH, ["mgda"])
    assert found == ["mgda", 2, 320] and 0 <= worst < 1 and missed == large == 0
