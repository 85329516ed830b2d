"""Methods on losses: weights as derivatives and by hand, draws, extremes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import logsumexp
from loss_runs import TASKS, run

from maskformer_jax.weighting import METHODS

RAY = np.array([0.4, 0.1, 0.2, 0.3])
PREFERENCE = np.array([1.0, 2.0, 0.5, 3.0])
NADIR = np.array([1.5, 0.7, 0.2, 1.1])


def unit(vector):
    return vector / jnp.sqrt(jnp.sum(vector**2))


def gls(losses):
    return jnp.exp(jnp.mean(jnp.log(losses + 1e-8)))


def fls(losses):
    logs = jnp.log(losses + 1e-8)
    return jnp.exp(jnp.mean(logs) + (logs[0] + logs[2]) / 2)


def stch_max(losses):
    return 0.3 * logsumexp(PREFERENCE * (losses - jax.lax.stop_gradient(losses.max())) / 0.3)


def stch_log(losses):
    logs = jnp.log(losses)
    return 0.3 * logsumexp(PREFERENCE * (logs - jax.lax.stop_gradient(logs.max())) / 0.3)


def stch_nadir(losses):
    return TASKS * 0.3 * logsumexp(PREFERENCE * jnp.log(losses / NADIR) / 0.3)


def cosmos(losses):
    return RAY @ losses - 0.7 * unit(RAY) @ unit(losses)


def pbi(losses):
    q = RAY / np.linalg.norm(RAY)
    distance = losses - 0.05
    along = q @ distance
    return along + 3.0 * jnp.sqrt(jnp.sum((distance - along * q) ** 2) + 1e-12)


# Name of the method, its options, S(L), and the losses of the steps before.
SCALARISATIONS = {
    "gls": ("gls", {}, gls, []),
    "focused": ("gls", {"focus": [0, 2]}, fls, []),
    "uw": ("uw", {"init": 0.4}, lambda x: jnp.sum(np.exp(-0.4) * x + 0.4) / 2, []),
    "imtl_l": ("imtl_l", {"init": 0.4}, lambda x: jnp.sum(np.exp(0.4) * x - 0.4), []),
    "stch max": ("stch", {"mu": 0.3, "preference": [*PREFERENCE]}, stch_max, []),
    "stch log": (
        "stch",
        {"mu": 0.3, "preference": [*PREFERENCE], "log_losses": True},
        stch_log,
        [],
    ),
    "stch nadir": (
        "stch",
        {
            "mu": 0.3,
            "preference": [*PREFERENCE],
            "reference": "nadir",
            "warmup_epochs": 0,
            "steps_per_epoch": 2,
        },
        stch_nadir,
        [0.5 * NADIR, 1.5 * NADIR],
    ),
    "cosmos": ("cosmos", {"lam": 0.7, "weights": [*RAY]}, cosmos, []),
    "pbi": ("pbi", {"theta": 3.0, "weights": [*RAY], "reference": 0.05}, pbi, []),
}


@pytest.mark.parametrize("case", SCALARISATIONS)
def test_weights_are_the_derivative_of_the_scalarisation(case):
    name, options, scalarisation, before = SCALARISATIONS[case]
    for seed in range(3):
        losses = np.random.default_rng(seed).uniform(0.1, 2.0, TASKS)
        weights, _ = run(name, np.stack([*before, losses]), **options)
        with jax.enable_x64(True):
            expected = jax.grad(scalarisation)(jnp.asarray(losses))
        np.testing.assert_allclose(weights[-1], expected, rtol=2e-5, atol=1e-6)


# For the losses 1, 4, 16, by hand.
BY_HAND = [
    ("gls", {}, [4 / 3, 1 / 3, 1 / 12]),
    ("gls", {"focus": [1]}, [16 / 3, 16 / 3, 1 / 3]),
    ("uw", {"init": 0.0}, [0.5, 0.5, 0.5]),
    ("imtl_l", {}, [1.0, 1.0, 1.0]),
    ("stch", {"mu": 3 / math.log(2)}, np.array([1 / 32, 1 / 16, 1]) / (35 / 32)),
    ("stch", {"log_losses": True}, [1 / 21, 1 / 21, 1 / 21]),
    ("famo", {}, [16 / 21, 4 / 21, 1 / 21]),
    ("pbi", {"theta": 0.0}, [3**-0.5] * 3),
    ("pbi", {"weights": [0, 1, 0], "reference": [1, 2, 16]}, [0.0, 1.0, 0.0]),
    ("cosmos", {"lam": 2.0, "weights": [1, 4, 16]}, [1.0, 4.0, 16.0]),
    ("cosmos", {"lam": 0.0}, [1 / 3] * 3),
]


@pytest.mark.parametrize(("name", "options", "expected"), BY_HAND, ids=str)
def test_weights_by_hand(name, options, expected):
    weights, _ = run(name, np.array([[1.0, 4.0, 16.0]]), **options)
    np.testing.assert_allclose(weights[0], expected, rtol=2e-6, atol=1e-6)


DRAWS = 5000
# Mean and variance of one of three weights. softmax of U(0, 1) and of N(0, 1): by quadrature.
MOMENTS = {
    "normal": (1 / 3, 0.04941),
    "uniform": (1 / 3, 0.005970),
    "dirichlet": (1 / 3, 1 / 18),
    "bernoulli": (4 / 7, 12 / 49),
}


@pytest.mark.parametrize("distribution", MOMENTS)
def test_rlw_draws_from_its_distribution(distribution):
    weights, _ = run("rlw", np.ones((DRAWS, 3)), distribution=distribution)
    mean, variance = MOMENTS[distribution]
    np.testing.assert_allclose(weights.mean(0), mean, atol=0.015)
    np.testing.assert_allclose(weights.var(0), variance, rtol=0.08)
    if distribution != "bernoulli":
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    # Successive draws, and the same draw of two tasks in two steps, know nothing of each other.
    centred = weights - weights.mean(0)
    assert np.abs(centred[1:].T @ centred[:-1]).max() / DRAWS < 0.06 * variance


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_bernoulli_weights_are_equally_likely_and_never_all_zero(tasks):
    weights, _ = run("rlw", np.ones((DRAWS, tasks)), distribution="bernoulli")
    found, counts = np.unique(weights, axis=0, return_counts=True)
    patterns = 2**tasks - 1
    assert len(found) == patterns and (found.sum(1) > 0).all() and set(found.ravel()) <= {0, 1}
    np.testing.assert_allclose(counts / DRAWS, 1 / patterns, atol=0.03)


def test_rlw_draws_anew_at_each_step_and_the_same_from_one_seed():
    losses = np.ones((5, TASKS))
    weights, _ = run("rlw", losses, seed=3)
    assert len(np.unique(weights, axis=0)) == 5
    np.testing.assert_array_equal(weights, run("rlw", losses, seed=3)[0])
    np.testing.assert_array_equal(weights, run("random", losses, seed=3)[0])
    assert (weights != run("rlw", losses, seed=4)[0]).all()


NADIR_NOW = {"reference": "nadir", "warmup_epochs": 0, "steps_per_epoch": 1}
WITH_LOGARITHMS = [
    ("gls", {}),
    ("famo", {}),
    ("dwa", {"steps_per_epoch": 2}),
    ("stch", {"log_losses": True}),
    ("stch", NADIR_NOW),
]


@pytest.mark.parametrize(("name", "options"), WITH_LOGARITHMS, ids=str)
def test_negative_losses_are_refused(name, options):
    method = METHODS[name](2, **options)
    with pytest.raises(ValueError, match=f"`losses` of {name} must be at least 0; got"):
        method.update(jnp.eye(2), method.init(None), losses=jnp.asarray([1.0, -0.5]))


def test_negative_losses_have_weights_where_no_logarithm_is_taken():
    losses = np.array([[-1.0, 0.5, -2.0]])
    for name, options in (("stch", {}), ("uw", {}), ("imtl_l", {}), ("famo", {"min_losses": -3})):
        assert np.isfinite(run(name, losses, **options)[0]).all()


EVERY = [
    *WITH_LOGARITHMS,
    ("gls", {"focus": [0, 1]}),
    ("uw", {}),
    ("stch", {}),
    ("imtl_l", {}),
    ("dwa", {"steps_per_epoch": 1, "temperature": 1e-3}),
    ("cosmos", {"lam": 1.0}),
    ("pbi", {}),
]


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_losses_of_any_size_give_finite_weights(name, options):
    """From 0 and 1e-12 to 1e12, apart and together, rising and falling between steps."""
    apart = [[0.0, 1e-12, 1.0, 1e12], [1e12, 1.0, 1e-12, 0.0], [0.0, 1e-12, 1e12, 1e12]]
    together = [[size] * TASKS for size in (0.0, 0.0, 0.0, 1e-12, 1e12, 1.0)]
    losses = np.array([*apart, *together, *apart])
    weights, state = run(name, losses, after=losses[::-1], **options)
    assert np.isfinite(weights).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("name", ["gls", "famo", "dwa", "stch"])
def test_nothing_changes_where_all_losses_are_zero(name):
    """Weights of equal tasks are equal."""
    options = {"dwa": {"steps_per_epoch": 1}, "stch": NADIR_NOW}.get(name, {})
    weights, _ = run(name, np.zeros((4, TASKS)), **options)
    np.testing.assert_allclose(weights, weights[:, :1].repeat(TASKS, axis=1), rtol=1e-6)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_narrow_losses_are_computed_with_in_float32(name, options):
    method = METHODS[name](TASKS, **options)
    losses = jnp.asarray([0.3, 0.7, 1.1, 2.3], jnp.bfloat16)
    found = method.update(jnp.eye(TASKS), method.init(None), losses=losses)
    wide = losses.astype(jnp.float32)
    expected = method.update(jnp.eye(TASKS), method.init(None), losses=wide)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
