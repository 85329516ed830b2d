"""Weights that solve a problem are the solution: against float64, over gradients of all kinds."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import close, task_grads

from benchmarks import solvers as benchmark
from benchmarks.reference_solvers import (
    EACH,
    EPS,
    cagrad_minimum,
    cagrad_value,
    given_cosines,
    gramians,
    has_solution,
    minimum,
    projected,
    shortest,
    solve,
    split,
    tolerance,
)
from maskformer_jax.errors import InputError
from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._gramian import exact_product
from maskformer_jax.weighting._upgrad import weights as upgrad_weights

TASKS = (2, 3, 6, 16)


@pytest.mark.parametrize("k", TASKS)
def test_mgda_is_the_shortest_combination(k):
    matrices, names = gramians(k)
    weights, residual = solve("mgda", matrices)
    assert residual.max() < 2e-6
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    for matrix, u, name in zip(matrices, weights, names, strict=True):
        lengths, cosines = split(matrix)
        y, best = u * lengths, shortest(lengths, cosines)
        assert y @ cosines @ y - best <= tolerance(best, u, lengths), name


@pytest.mark.parametrize("k", TASKS)
def test_dualproj_is_the_shortest_above_the_bounds(k):
    matrices, names = gramians(k)
    weights, residual = solve("dualproj", matrices)
    assert residual.max() < 2e-6
    assert (weights >= np.float32(1 / k)).all()
    for matrix, w, name in zip(matrices, weights, names, strict=True):
        lengths, cosines = split(matrix)
        v, best = w * lengths, projected(cosines, lengths / k)
        assert v @ cosines @ v - best <= tolerance(best, w, lengths), name


@pytest.mark.parametrize("k", TASKS)
def test_upgrad_projects_every_gradient(k):
    """With a preference for one task alone, the sum over tasks is one projection."""
    matrices, names = gramians(k, each=EACH // k + 2)

    def project(matrix, preference):
        return upgrad_weights(matrix, preference=preference)

    each_task = jax.jit(jax.vmap(jax.vmap(project, (None, 0)), (0, None)))
    narrow = jnp.asarray(matrices, jnp.float32)
    parts, residuals = each_task(narrow, jnp.eye(k))
    assert residuals.max() < 4e-6
    parts = np.asarray(parts, np.float64)
    for matrix, part, name in zip(matrices, parts, names, strict=True):
        lengths, cosines = split(matrix)
        for i in np.flatnonzero(lengths):
            # Weights of the projection of the gradient of length 1.
            v, bounds = part[i] * lengths / lengths[i], np.eye(k)[i]
            best = projected(cosines, bounds)
            assert (v >= (1 - EPS) * bounds).all()
            assert v @ cosines @ v - best <= tolerance(best, v, np.ones(k)), name
    total = np.asarray(each_task(narrow, jnp.full((1, k), 1 / k))[0])[:, 0]
    scale = np.sqrt(np.einsum("nii->ni", matrices))
    error = scale * np.abs(total - parts.mean(1))
    assert (error <= 1e-5 * (scale * total).max(1, keepdims=True)).all()


@pytest.mark.parametrize(("k", "c"), [*((k, 0.5) for k in TASKS), (6, 0.2), (6, 1.5)])
def test_cagrad_reaches_its_dual_value(k, c):
    """min_k g_k.d is a lower bound of the objective for every d in the ball, so also for ours."""
    matrices, names = gramians(k, each=3 * EACH // 2)
    weights, residual = solve("cagrad", matrices, c=c)
    assert residual.max() < 2e-6
    for matrix, w, name in zip(matrices, weights, names, strict=True):
        lengths, cosines = split(matrix)
        scaled = cosines * lengths[:, None] * lengths
        extra = np.maximum(w - np.float32(1 / k), 0.0)
        radius = c * np.sqrt(max(scaled.mean(), 0.0))
        if extra.max() <= EPS:
            # Dropped: the value is zero, so the ball reaches the cone of no conflict.
            square = scaled.mean()
            distance = square - projected(cosines, lengths / k)
            reached = distance <= 1.001 * c**2 * square + 16 * EPS
            # Or u is on gradients that are too short to have a direction.
            assert reached or shortest(lengths, cosines) <= 2 * EPS * (lengths @ lengths), name
            continue
        u = extra / extra.sum()
        length = np.sqrt(max(u @ scaled @ u, 1e-300))
        value = cagrad_value(scaled, u, c)
        bound = (scaled @ (1 / k + radius * u / length)).min()
        allowed = tolerance(value, w, lengths)
        # Where g_u nearly vanishes the bound is loose: there the dual problem is solved again.
        assert value - bound <= allowed or value - cagrad_minimum(scaled, c) <= allowed, name


@pytest.mark.parametrize("k", TASKS)
def test_nash_mtl_solves_its_equations_where_they_have_a_solution(k):
    matrices, names = gramians(k)
    weights, residual = solve("nash_mtl", matrices, max_norm=0)
    for matrix, alpha, said, name in zip(matrices, weights, residual, names, strict=True):
        lengths, cosines = split(matrix)
        if not has_solution(lengths, cosines):
            continue
        cosines = given_cosines(matrix)
        a = alpha * np.sqrt(np.diag(matrix))
        found = np.abs(a * (cosines @ a) - 1)[lengths > 0].max()
        assert found <= 1e-5 + 4 * EPS * (a**2).max(), name
        assert said <= 1e-5 + 8 * EPS * (a**2).max(), name


@pytest.mark.parametrize(
    ("k", "alpha"), [(2, 0.25), (6, 0.25), (6, 1.0), (6, 2.0), (6, 10.0), (16, 2.0)]
)
def test_fairgrad_solves_its_equations_where_they_have_a_solution(k, alpha):
    matrices, names = gramians(k)
    weights, _ = solve("fairgrad", matrices, alpha=alpha)
    for matrix, w, name in zip(matrices, weights, names, strict=True):
        lengths, cosines = split(matrix)
        if not lengths.all() or not has_solution(lengths, cosines):
            continue
        cosines, size = given_cosines(matrix), np.sqrt(np.diag(matrix))
        # (M w)_k w_k^(1/alpha) = 1; a weight below the range of float32 has no equation.
        counts = w * lengths > 1e-27 * (w * lengths).max()
        y, root = (w * size)[counts], w[counts] ** (1 / alpha) * size[counts]
        error = np.abs((cosines @ (w * size))[counts] * root - 1)
        terms = (np.abs(cosines) @ (w * size))[counts] * root
        assert counts.any() and (y > 0).all()
        assert (error <= 1e-5 + 8 * EPS * terms.max()).all(), name


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


def test_pcd_projects_the_primary_gradient():
    matrices, names = gramians(6)
    weights, residual = solve("pcd", matrices, tau=0.1, eps=0.0, beta=0.0)
    assert (weights >= 0).all() and residual.max() < 1e-5
    for matrix, w, name in zip(matrices, weights, names, strict=True):
        lengths, cosines = split(matrix)
        if not lengths.all() or not has_solution(np.ones(6), cosines):
            continue
        # All h_k have length 1, and d = S y with y_0 = 1.
        y = w * lengths / (w[0] * lengths[0])
        bounds = 0.1 - cosines[1:, 0]
        try:
            dual = minimum(cosines[1:, 1:], bounds, np.eye(5), np.zeros(5))
        except ValueError:
            continue
        best = np.append(1.0, np.maximum(dual, 0))
        if best.sum() > 30:
            continue
        value, least = (v @ cosines @ v / 2 - 0.1 * v[1:].sum() for v in (y, best))
        assert value - least <= tolerance(least, y, np.ones(6)), name
        size = np.sqrt(w @ matrix @ w)
        np.testing.assert_allclose(size, np.sqrt(matrix[0, 0]), rtol=1e-4, err_msg=name)


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


def test_benchmark_prints_a_line_for_each_method_and_number_of_tasks():
    head, line = benchmark.run([2], 16 * EACH, ["mgda"]).splitlines()
    assert head.split() == ["method", "K", "solved", "worst", "missed", "residual", ">", "0.5"]
    assert re.fullmatch(r"mgda +2 +320 +0\.\d\d +0 +0", line)


@pytest.mark.parametrize(
    ("tasks", "number", "methods", "message"),
    [
        ([1], 2000, None, r"`--tasks` must be at least 2 and `--gramians` 16; got \[1\], 2000"),
        ([2], 15, None, r"`--gramians` 16; got \[2\], 15"),
        ([2], 2000, ["equal"], r"`--methods`: no equal; known: cagrad, dualproj"),
    ],
)
def test_benchmark_refuses_what_it_can_not_measure(tasks, number, methods, message):
    with pytest.raises(InputError, match=message):
        benchmark.run(tasks, number, methods)
