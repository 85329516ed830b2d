"""Methods whose weights are given by the Gramian in a few steps, beside their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gramian_runs import gradients, weights_of

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._krum import scores


def align(gramian, preference, scale):
    """B p with eigenvalues in float64."""
    values, vectors = np.linalg.eigh(gramian)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps * 10
    values, vectors = values[kept], vectors[:, kept]
    common = {"min": values[0], "median": values[(len(values) - 1) // 2], "rmse": values.mean()}[
        scale
    ]
    return np.sqrt(common) * (vectors / np.sqrt(values)) @ vectors.T @ preference


@pytest.mark.parametrize("rank", [None, 3, 1])
@pytest.mark.parametrize("scale", ["min", "median", "rmse"])
def test_aligned_mtl_is_its_definition(scale, rank):
    preference = [1.0, 0.5, 2.0, 0.1, 1.0]
    with jax.enable_x64(True):
        for num_tasks in (4, 5):
            grads = gradients(num_tasks, 2, rank=rank)
            chosen = preference[:num_tasks]
            found, _ = weights_of("aligned_mtl", grads, scale=scale, preference=chosen)
            expected = align(grads @ grads.T, chosen, scale)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_aligned_gradients_are_orthogonal_and_as_long_as_the_weakest_direction():
    grads = gradients(3)
    rows = [
        weights_of("aligned_mtl", grads, preference=p)[0] @ grads
        for p in (np.eye(3) + 1e-9).tolist()
    ]
    smallest = np.linalg.svd(grads)[1][-1]
    np.testing.assert_allclose(
        np.array(rows) @ np.array(rows).T, smallest**2 * np.eye(3), atol=1e-4
    )


@pytest.mark.parametrize("rank", [None, 2])
def test_config_is_its_definition(rank):
    preference = [1.0, 0.5, 2.0, 3.0]
    with jax.enable_x64(True):
        for seed in range(10):
            grads = gradients(4, seed, rank=rank)
            units = grads / np.linalg.norm(grads, axis=1, keepdims=True)
            direction = np.linalg.pinv(units, rcond=1e-9) @ preference
            direction /= np.linalg.norm(direction)
            expected = (grads @ direction).sum() * direction
            weights, _ = weights_of("config", grads, preference=preference)
            np.testing.assert_allclose(weights @ grads, expected, rtol=1e-7, atol=1e-9)


def test_config_has_no_direction_between_opposite_gradients():
    weights, _ = weights_of("config", np.array([[1.0, 2.0], [-3.0, -6.0]]))
    np.testing.assert_array_equal(weights, [0, 0])


def test_imtl_g_is_its_definition():
    with jax.enable_x64(True):
        for seed in range(10):
            grads = gradients(5, seed)
            lengths = np.linalg.norm(grads, axis=1)
            expected = np.linalg.solve(grads @ grads.T, lengths)
            weights, _ = weights_of("imtl_g", grads)
            np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-7)
            along = grads @ (weights @ grads) / lengths
            np.testing.assert_allclose(along, along[0], rtol=1e-7)


def test_imtl_g_projections_follow_the_preference():
    grads = gradients(3)
    weights, _ = weights_of("imtl_g", grads, preference=[1.0, 2.0, 4.0])
    along = grads @ (weights @ grads) / np.linalg.norm(grads, axis=1)
    np.testing.assert_allclose(along / along[0], [1, 2, 4], rtol=1e-4)


def krum_by_search(grads, f, m):
    distances = ((grads[:, None] - grads) ** 2).sum(-1)
    found = []
    for i in range(len(grads)):
        others = sorted(distances[i][j] for j in range(len(grads)) if j != i)
        found.append(sum(others[: len(grads) - f - 2]))
    chosen = sorted(range(len(grads)), key=lambda i: (found[i], i))[:m]
    return found, np.isin(np.arange(len(grads)), chosen) / m


@pytest.mark.parametrize(("num_tasks", "f", "m"), [(3, 0, 1), (6, 1, 1), (6, 3, 2), (8, 2, 8)])
def test_krum_is_its_definition_with_ties(num_tasks, f, m):
    """Small integers have many equal scores, which float32 holds exactly."""
    for seed in range(30):
        grads = np.random.default_rng(seed).integers(-2, 3, (num_tasks, 3)).astype(np.float32)
        expected_scores, expected = krum_by_search(grads, f, m)
        np.testing.assert_array_equal(scores(jnp.asarray(grads @ grads.T), f), expected_scores)
        weights, _ = weights_of("krum", grads, n_byzantine=f, n_selected=m)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_krum_of_equal_gradients_takes_the_first():
    """Also where rounding makes their distances differ."""
    row = np.random.default_rng(0).normal(size=50).astype(np.float32)
    grads = np.stack([-row, row, row, row, row]) * np.float32(0.1)
    gramian = (grads @ grads.T) * (1 + 1e-8 * np.arange(25).reshape(5, 5))
    method = METHODS["krum"](5, n_byzantine=1)
    state = method.weigh(jnp.asarray(gramian, jnp.float32), method.init(jnp.zeros(1)))
    np.testing.assert_array_equal(state.weights, [0, 1, 0, 0, 0])


def test_cr_mogm_is_the_running_mean_of_its_base():
    steps = [gradients(4, seed) for seed in range(4)]
    expected, state = weights_of("config", steps[0])[0], None
    for number, grads in enumerate(steps):
        base, _ = weights_of("config", grads)
        expected = base if number == 0 else 0.7 * expected + 0.3 * base
        found, state = weights_of("cr_mogm", grads, state, base="config", a=0.7)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(state.weights, expected, rtol=1e-5)


def test_cr_mogm_keeps_the_state_of_its_base():
    options = {"base": "gradvac", "base_options": {"beta": 0.5, "seed": 3}}
    state = base_state = None
    for seed in range(3):
        grads = gradients(4, seed)
        base, base_state = weights_of("gradvac", grads, base_state, beta=0.5, seed=3)
        found, state = weights_of("cr_mogm", grads, state, a=0.0, **options)
        np.testing.assert_allclose(found, base, rtol=1e-5)
        jax.tree.map(np.testing.assert_array_equal, state.base, base_state)


def test_cr_mogm_refuses_options_that_its_base_lacks():
    with pytest.raises(TypeError, match="no_such_option"):
        METHODS["cr_mogm"](4, base="config", base_options={"no_such_option": 1})
    with pytest.raises(ValueError, match=r"`base_options` must leave .*\['granularity'\]"):
        METHODS["cr_mogm"](4, base="config", base_options={"granularity": "layer"})


def test_cr_mogm_scales_the_gradients_of_its_base():
    options = {"base": "pcgrad", "base_options": {"preference": [1.0, 2.0, 3.0, 4.0]}}
    found, _ = weights_of("cr_mogm", gradients(4), **options)
    expected, _ = weights_of("pcgrad", gradients(4), preference=[1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(found, expected)
