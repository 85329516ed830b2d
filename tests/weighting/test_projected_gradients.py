"""PCGrad and GradVac on the Gramian, beside the same rules on the gradients themselves."""

from functools import partial
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gramian_runs import gradients, weights_of

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._gradvac import vaccinate
from maskformer_jax.weighting._pcgrad import project, random_orders

CONFLICT = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])


def orders_of(num_tasks, seed):
    generator = np.random.default_rng(seed)
    others = [[j for j in range(num_tasks) if j != i] for i in range(num_tasks)]
    return np.array([generator.permutation(row) for row in others])


def project_vectors(grads, orders):
    """Eq. 5.12 on the gradients themselves."""
    total = 0
    for own, order in zip(grads, orders, strict=True):
        changed = own.copy()
        for j in order:
            inner = changed @ grads[j]
            if inner < 0:
                changed -= inner / (grads[j] @ grads[j]) * grads[j]
        total = total + changed
    return total


def vaccinate_vectors(grads, targets, orders, beta):
    """Eq. 5.18 and 5.19 on the gradients themselves."""
    total, targets = 0, targets.copy()
    for i, order in enumerate(orders):
        changed = grads[i].copy()
        for j in order:
            length, other, p = np.linalg.norm(changed), np.linalg.norm(grads[j]), targets[i, j]
            phi = changed @ grads[j] / length / other
            if phi < p:
                change = length * (p * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - p**2))
                changed += change / (other * np.sqrt(1 - p**2)) * grads[j]
            targets[i, j] = (1 - beta) * p + beta * phi
        total = total + changed
    return total, targets


@pytest.mark.parametrize("num_tasks", [2, 3, 6])
def test_pcgrad_on_the_gramian_is_pcgrad_on_the_gradients(num_tasks):
    solve = jax.jit(project)
    with jax.enable_x64(True):
        for seed in range(20):
            grads, orders = gradients(num_tasks, seed, 4), orders_of(num_tasks, seed)
            found = solve(jnp.asarray(grads @ grads.T), orders) @ grads
            np.testing.assert_allclose(found, project_vectors(grads, orders), atol=1e-11)


def test_pcgrad_of_two_tasks_by_hand():
    """g_i' = g_i - g_1.g_2/|g_j|^2 g_j: the product is -22, the squares are 18 and 38."""
    weights, _ = weights_of("pcgrad", CONFLICT)
    np.testing.assert_allclose(weights, [1 + 22 / 18, 1 + 22 / 38], rtol=1e-6)


def test_pcgrad_without_conflicts_is_the_sum():
    weights, _ = weights_of("pcgrad", np.abs(gradients(5)))
    np.testing.assert_array_equal(weights, np.ones(5))


def test_pcgrad_draws_every_choice_of_orders_of_three_tasks():
    grads = gradients(3, seed=3, size=4)
    others = [list(permutations([j for j in range(3) if j != i])) for i in range(3)]
    possible = np.array([project_vectors(grads, orders) for orders in product(*others)])
    possible = np.unique(possible.round(4), axis=0)
    assert len(possible) == 8
    state, seen = None, set()
    for _ in range(60):
        weights, state = weights_of("pcgrad", grads, state)
        distances = np.linalg.norm(possible - weights @ grads, axis=1)
        assert distances.min() < 1e-3
        seen.add(int(distances.argmin()))
    assert len(seen) == len(possible)


def test_orders_are_permutations_of_the_other_tasks_that_differ_from_task_to_task():
    orders = np.array([random_orders(jax.random.PRNGKey(seed), 5) for seed in range(20)])
    for i in range(5):
        rest = [j for j in range(5) if j != i]
        np.testing.assert_array_equal(np.sort(orders[:, i]), [rest] * 20)
    # Positions among the other tasks: the same for all tasks only if they shared one order.
    shifted = (orders - np.arange(5)[:, None]) % 5
    assert (shifted != shifted[:, :1]).any()
    assert len({order.tobytes() for order in orders}) == 20


def test_seeds_draw_different_orders():
    states = [METHODS["pcgrad"](4, seed=s).init(jnp.zeros(1)) for s in range(5)]
    keys = {state.method.key.tobytes() for state in states}
    assert len(keys) == 5


@pytest.mark.parametrize("num_tasks", [2, 3, 6])
def test_gradvac_on_the_gramian_is_gradvac_on_the_gradients(num_tasks):
    solve = jax.jit(partial(vaccinate, beta=0.3))
    with jax.enable_x64(True):
        targets, expected_targets = np.zeros((2, num_tasks, num_tasks))
        for seed in range(20):
            grads, orders = gradients(num_tasks, seed, 4), orders_of(num_tasks, seed)
            weights, targets = solve(jnp.asarray(grads @ grads.T), targets, orders)
            expected, expected_targets = vaccinate_vectors(grads, expected_targets, orders, 0.3)
            np.testing.assert_allclose(weights @ grads, expected, atol=1e-9)
            np.testing.assert_allclose(targets, expected_targets, atol=1e-11)
    assert np.asarray(targets).min() < 0


def test_gradvac_starts_as_pcgrad():
    grads = gradients(4, seed=3, size=3)
    found, _ = weights_of("gradvac", grads, seed=5)
    expected, _ = weights_of("pcgrad", grads, seed=5)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gradvac_takes_the_cosine_before_its_correction_for_the_target():
    """The cosine is -22 / sqrt(18 * 38); after the correction it would be 0."""
    _, state = weights_of("gradvac", CONFLICT, beta=0.1)
    target = -0.1 * 22 / np.sqrt(18 * 38)
    np.testing.assert_allclose(state.targets, [[0, target], [target, 0]], rtol=1e-5)
    _, state = weights_of("gradvac", CONFLICT, state, beta=0.1)
    np.testing.assert_allclose(state.targets[0, 1], 1.9 * target, rtol=1e-5)


def test_gradvac_reaches_its_target():
    targets = jnp.asarray([[0.0, 0.4], [0.4, 0.0]])
    start = METHODS["gradvac"](2).init(jnp.zeros(1)).method._replace(targets=targets)
    weights, _ = weights_of("gradvac", CONFLICT, start)
    expected = 0
    for own, other in (CONFLICT, CONFLICT[::-1]):
        unit = other / np.linalg.norm(other)
        across = own - own @ unit * unit
        # The part across stays; the cosine fixes the part along.
        expected = expected + across + 0.4 / np.sqrt(1 - 0.16) * np.linalg.norm(across) * unit
    np.testing.assert_allclose(weights @ CONFLICT, expected, rtol=1e-5)


def test_gradvac_is_finite_after_targets_of_one():
    _, state = weights_of("gradvac", np.ones((3, 2)), beta=1.0)
    assert state.targets[0, 1] > 0.999999
    weights, _ = weights_of("gradvac", gradients(3), state, beta=1.0)
    assert np.isfinite(weights).all()


def test_gradvac_leaves_gradients_of_length_zero_out():
    grads = np.array([[1.0, 2.0], [0.0, 0.0], [-1.0, 1.0]])
    _, state = weights_of("gradvac", grads, beta=0.5)
    assert (state.targets[1] == 0).all() and (state.targets[:, 1] == 0).all()
    assert state.targets[0, 2] != 0


def test_groups_have_their_own_targets_and_the_same_orders():
    grads = {
        name: jnp.asarray(gradients(4, seed, 3), jnp.float32)
        for name, seed in zip("abc", [1, 2, 1], strict=True)
    }
    method = METHODS["gradvac"](4, granularity="tensor", beta=0.5)
    state, update = method.init(jax.tree.map(lambda g: g[0], grads)), jax.jit(method.update)
    for _ in range(3):
        _, state = update(grads, state)
    targets, keys = state.method.targets, state.method.key
    # Equal gradients in equal orders have equal targets.
    np.testing.assert_allclose(targets[0], targets[2], rtol=1e-5)
    assert np.abs(targets[0] - targets[1]).max() > 0.1
    assert (keys == keys[0]).all()
