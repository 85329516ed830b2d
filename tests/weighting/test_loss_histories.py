"""Methods on losses that remember: learnt numbers, FAMO, and means of epochs, step by step.

The references are written from the definitions, in float64.
"""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from loss_runs import TASKS, history, run

from maskformer_jax.weighting import METHODS


class Adam:
    """Kingma and Ba's Algorithm 1 in float64."""

    def __init__(self, rate):
        self.rate, self.t, self.first, self.second = rate, 0, 0.0, 0.0

    def move(self, slope):
        self.t += 1
        self.first = 0.9 * self.first + 0.1 * slope
        self.second = 0.999 * self.second + 0.001 * slope**2
        first, second = self.first / (1 - 0.9**self.t), self.second / (1 - 0.999**self.t)
        return -self.rate * first / (np.sqrt(second) + 1e-8)


LEARNT = {
    "uw": (-0.5, lambda s: np.exp(-s) / 2, lambda s, x: (1 - np.exp(-s) * x) / 2),
    "imtl_l": (0.0, np.exp, lambda s, x: np.exp(s) * x - 1),
}


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("rate", [None, 0.03])
def test_learnt_numbers_move_by_adam(name, rate):
    start, weights_of, slope_of = LEARNT[name]
    losses, adam = history(100), Adam(rate or 1e-3)
    s, expected = np.full(TASKS, start), []
    for now in losses:
        expected.append(weights_of(s))
        s = s + adam.move(slope_of(s, now))
    options = {} if rate is None else {"optimiser": optax.adam(rate)}
    weights, state = run(name, losses, **options)
    np.testing.assert_allclose(weights, expected, rtol=1e-4)
    np.testing.assert_allclose(state.learnt, s, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNT)
def test_learnt_numbers_go_down_the_derivative(name):
    start, _, slope_of = LEARNT[name]
    losses = history(1)
    _, state = run(name, losses, optimiser=optax.sgd(1.0))
    np.testing.assert_allclose(state.learnt, start - slope_of(start, losses[0]), rtol=1e-5)


@pytest.mark.parametrize(("name", "at_rest"), [("uw", 0.5), ("imtl_l", 1.0)])
def test_learnt_numbers_rest_where_the_weighted_losses_are_equal(name, at_rest):
    losses = np.array([0.1, 1.0, 3.0])
    weights, _ = run(name, np.tile(losses, (300, 1)), optimiser=optax.sgd(0.3))
    np.testing.assert_allclose(weights[-1] * losses, at_rest, rtol=1e-3)


@pytest.mark.parametrize("name", LEARNT)
def test_optimiser_sees_the_learnt_numbers_and_its_schedule(name):
    """AdamW pulls them to 0; a schedule of zero leaves them where they are."""
    losses = history(3)
    decayed = optax.adamw(1e-2, weight_decay=5.0)
    free, _ = run(name, losses, init=0.8, optimiser=optax.adam(1e-2))
    pulled, state = run(name, losses, init=0.8, optimiser=decayed)
    assert (np.abs(pulled[1:] - free[1:]) > 1e-3).all() and (state.learnt < 0.75).all()
    still, _ = run(name, losses, optimiser=optax.adam(optax.constant_schedule(0.0)))
    assert (still == still[0]).all()


def famo_by_hand(losses, after, rate, decay, least):
    """Algorithm 2 in float64, with Adam for m."""
    m, adam, weights = np.zeros(TASKS), Adam(rate), []
    for now, then in zip(losses, after, strict=True):
        z = np.exp(m) / np.exp(m).sum()
        distance, later = now - least + 1e-8, then - least + 1e-8
        weights.append(z / distance / np.sum(z / distance))
        delta = np.log(distance) - np.log(later)
        m = m + adam.move(z * (delta - z @ delta) + decay * m)
    return np.array(weights)


@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.1, "decay": 0.5, "min_losses": 0.01}])
def test_famo_follows_its_algorithm(options):
    rate, decay = options.get("learning_rate", 0.025), options.get("decay", 1e-3)
    losses = 0.1 + history(60)
    after = losses * np.random.default_rng(1).uniform(0.8, 1.1, losses.shape)
    expected = famo_by_hand(losses, after, rate, decay, options.get("min_losses", 0.0))
    # The losses after a step arrive at the next update; nothing is known at the first.
    arrive = np.concatenate([np.full((1, TASKS), np.nan), after[:-1]])
    weights, state = run("famo", losses, after=arrive, **options)
    np.testing.assert_allclose(weights, expected, rtol=2e-4)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    assert np.ptp(state.logits) > 0.1


def test_famo_does_not_move_at_its_first_update():
    method = METHODS["famo"](TASKS)
    start = method.init(None)
    losses = jnp.asarray([0.5, 1.0, 2.0, 4.0])
    _, state = method.update(jnp.eye(TASKS), start, losses=losses, losses_after=losses[::-1])
    np.testing.assert_array_equal(state.logits, 0)
    jax.tree.map(np.testing.assert_array_equal, state.optimiser, start.optimiser)


def test_famo_without_a_second_forward_pass_takes_the_next_losses():
    losses = history(8)
    expected, _ = run("famo", losses)
    given, _ = run("famo", losses, after=losses)
    refused, _ = run("famo", losses, after=5 * losses[::-1], second_forward=False)
    other, _ = run("famo", losses, after=5 * losses[::-1])
    np.testing.assert_array_equal(given, expected)
    np.testing.assert_array_equal(refused, expected)
    assert np.abs(other[1:] - expected[1:]).max() > 1e-3


def test_famo_raises_the_task_that_fell_least():
    fall = np.stack([np.full(50, 1.0), 0.9 ** np.arange(50)], axis=1)
    _, state = run("famo", fall)
    assert state.logits[0] > 0.3 > -0.3 > state.logits[1]


def test_famo_checks_the_losses_after_a_step(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    method = METHODS["famo"](TASKS)
    update = dict(losses=jnp.ones(TASKS), losses_after=jnp.ones(TASKS + 1))
    with pytest.raises(ValueError, match=r"`losses_after` must have shape \(4,\); got \(5,\)"):
        method.update(jnp.eye(TASKS), method.init(None), **update)


def test_dwa_compares_the_means_of_epochs():
    steps, temperature = 3, 0.5
    losses = history(5 * steps)
    mean = losses.reshape(5, steps, TASKS).mean(1)
    expected = np.ones((5, TASKS))
    for epoch in (2, 3, 4):
        terms = np.exp(mean[epoch - 1] / mean[epoch - 2] / temperature)
        expected[epoch] = TASKS * terms / terms.sum()
    weights, _ = run("dwa", losses, steps_per_epoch=steps, temperature=temperature)
    np.testing.assert_allclose(weights, expected.repeat(steps, axis=0), rtol=1e-5)


def test_dwa_ignores_the_scale_of_a_loss():
    losses = history(6)
    expected, _ = run("dwa", losses, steps_per_epoch=2)
    scaled, _ = run("dwa", losses * [1e-6, 1.0, 1e3, 1e6], steps_per_epoch=2)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)
    assert np.ptp(expected[-1]) > 0.1


def test_dwa_forgets_the_losses_of_earlier_epochs():
    """However large they were; and what stays at zero counts as unchanged."""
    losses = np.array([[1e10, 0.0, 1.0], [1.3, 0.0, 1.0], [2.6, 0.0, 1.0], [2.6, 0.0, 1.0]])
    weights, _ = run("dwa", losses, steps_per_epoch=1, temperature=1.0)
    terms = np.exp([2.0, 1.0, 1.0])
    np.testing.assert_allclose(weights[3], 3 * terms / terms.sum(), rtol=1e-5)


def test_stch_warms_up_and_keeps_the_mean_of_the_last_epoch_of_it():
    steps, warmup = 3, 1
    losses = history(4 * steps)
    options = dict(reference="nadir", warmup_epochs=warmup, steps_per_epoch=steps)
    weights, state = run("stch", losses, **options)
    np.testing.assert_allclose(weights[: 2 * steps], 1 / losses[: 2 * steps], rtol=1e-6)
    nadir = losses[steps : 2 * steps].mean(0)
    np.testing.assert_allclose(state.nadir, nadir, rtol=1e-6)
    later = losses[2 * steps :]
    share = later / nadir / (later / nadir).sum(1, keepdims=True)
    np.testing.assert_allclose(weights[2 * steps :], TASKS * share / later, rtol=1e-5)
