"""The OneCycle schedule, AdamW's decay and the clipping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.config import TrainingConfig
from maskformer_jax.training.optimiser import build, one_cycle

RATES = {"initial": 1e-7, "peak": 5e-4, "final": 1e-5, "warmup_fraction": 0.05}


def rates(steps, **changes):
    schedule = one_cycle(steps, **{**RATES, **changes})
    return np.asarray(jax.vmap(schedule)(jnp.arange(steps + 5)), np.float64)


def test_default_schedule_is_that_of_the_thesis():
    _, schedule = build(TrainingConfig(), 1000)
    found = [float(schedule(step)) for step in (0, 50, 999)]
    assert found == pytest.approx([1e-7, 5e-4, 1e-5], rel=1e-4)


@pytest.mark.parametrize("steps", [20, 1000, 12345])
def test_schedule_rises_to_the_peak_and_falls_to_the_end(steps):
    found, peak = rates(steps), round(0.05 * steps)
    assert found[0] == pytest.approx(1e-7, rel=1e-4)
    assert found[peak] == pytest.approx(5e-4, rel=1e-4) and found.argmax() == peak
    assert found[steps - 1] == pytest.approx(1e-5, rel=1e-4)
    assert (np.diff(found[: peak + 1]) > 0).all() and (np.diff(found[peak:steps]) <= 0).all()
    np.testing.assert_allclose(found[steps:], found[steps - 1], rtol=1e-6)


def test_schedule_is_a_cosine_on_both_sides():
    found, last = rates(2001, warmup_fraction=0.5), 2000
    for step in (250, 500, 900):
        expected = 5e-4 + (1e-7 - 5e-4) * (1 + np.cos(np.pi * step / 1000)) / 2
        assert found[step] == pytest.approx(expected, rel=1e-4)
        expected = 1e-5 + (5e-4 - 1e-5) * (1 + np.cos(np.pi * step / 1000)) / 2
        assert found[1000 + step] == pytest.approx(expected, rel=1e-4)
    assert found[last] == pytest.approx(1e-5, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_very_short_trainings_stay_between_the_rates(steps):
    found = rates(steps)[:steps]
    assert found[0] == pytest.approx(1e-7, rel=1e-4)
    assert found.min() >= 0.999e-7 and found.max() <= 5.001e-4
    if steps > 1:
        assert found[-1] == pytest.approx(1e-5, rel=1e-4)
    if steps > 2:
        assert found[1] == pytest.approx(5e-4, rel=1e-4)


def run(config, gradients, params):
    optimiser, _ = build(config, len(gradients))
    state = optimiser.init(params)
    for gradient in gradients:
        update, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, update)
    return params


def test_weights_decay_at_the_learning_rate():
    """With a gradient of zero every step multiplies by 1 - rate * decay."""
    config = TrainingConfig(
        weight_decay=0.1, peak_learning_rate=0.5, initial_learning_rate=0.1, warmup_fraction=0.5
    )
    schedule = build(config, 4)[1]
    start = {"a": jnp.asarray([1.0, -2.0])}
    found = run(config, [{"a": jnp.zeros(2)}] * 4, start)
    factor = np.prod([1 - 0.1 * float(schedule(step)) for step in range(4)])
    np.testing.assert_allclose(found["a"], factor * np.asarray(start["a"]), rtol=1e-5)
    assert 0.8 < factor < 0.95


def test_first_step_of_adam_has_the_size_of_the_learning_rate():
    config = TrainingConfig(initial_learning_rate=1e-3, peak_learning_rate=1e-3, weight_decay=0.0)
    found = run(config, [{"a": jnp.asarray([5.0, -0.2])}], {"a": jnp.zeros(2)})
    np.testing.assert_allclose(found["a"], [-1e-3, 1e-3], rtol=1e-4)


def test_gradients_are_clipped_to_their_global_norm_by_option():
    """Adam forgets the size of a gradient, but not the sizes of two relative to each other."""
    params = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    small = {"a": jnp.asarray([0.03, -0.01]), "b": jnp.asarray(0.02)}
    large = {"a": jnp.asarray([30.0, 0.0]), "b": jnp.asarray(40.0)}
    clipped = {"a": jnp.asarray([0.3, 0.0]), "b": jnp.asarray(0.4)}
    rates = {"initial_learning_rate": 1e-2, "peak_learning_rate": 1e-2, "weight_decay": 0.0}
    plain, option = TrainingConfig(**rates), TrainingConfig(**rates, max_gradient_norm=0.5)
    found = run(option, [small, large, small], params)
    expected = run(plain, [small, clipped, small], params)
    without = run(plain, [small, large, small], params)
    for name in params:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    assert abs(without["a"][0] - found["a"][0]) > 1e-4
