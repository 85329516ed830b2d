"""The toy problem of CAGrad: who reaches its Pareto front from all five starts, and who not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_rows import claiming

from benchmarks import toy

# Learning rate and steps: four times the papers' rate, and less than a third of the steps. With so
# high a rate the sum of the gradients would jump across.
QUICK, SLOW = (4e-3, 45_000), (2e-3, 75_000)


@pytest.fixture(scope="module")
def front():
    return np.asarray(toy.front())


def test_losses_by_hand():
    """Above x2 = 0 the valleys, c1 f; below it the bowls, c2 g."""
    upper = np.tanh(1.0) * (np.log([4.5 - np.tanh(2.0), 2.5 + np.tanh(2.0)]) + 6)
    np.testing.assert_allclose(toy.losses(jnp.array([2.0, 2.0])), upper, rtol=1e-6)
    lower = np.tanh(1.0) * (np.array([2.5 + 0.36, 8.1 + 0.36]) - 20)
    np.testing.assert_allclose(toy.losses(jnp.array([2.0, -2.0])), lower, rtol=1e-6)


def test_gradients_are_opposite_on_the_front(front):
    assert (np.abs(front[:, 1] + 8.4) < 0.05).all()
    np.testing.assert_allclose(front[[0, -1], 0], [-7, 7], atol=1e-4)
    a, b = np.moveaxis(np.asarray(jax.vmap(jax.jacobian(toy.losses))(front[1:-1])), 1, 0)
    cosines = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    assert (cosines < -0.999).all()


def test_no_point_is_better_than_the_front_in_both_losses(front):
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-11, 11, 200)]), -1).reshape(-1, 2)
    elsewhere, best = (np.asarray(jax.vmap(toy.losses)(x)) for x in (grid, front[::20]))
    assert not (elsewhere[:, None] < best - 1e-4).all(-1).any()


def arrived(name, learning_rate, steps):
    points = toy.trajectories(name, steps, learning_rate, num_points=1)
    return np.asarray(toy.distance(points[:, -1])) < 0.1


@claiming("pareto")
def test_front_is_reached_from_every_start(row):
    assert arrived(row.name, *QUICK).all()


def test_sum_of_the_gradients_gets_stuck():
    assert arrived("equal", *SLOW).tolist() == [False, True, False, True, True]
