"""Schedules, AdamW's decay and the clipping, by name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.optimisers import (
    SCHEDULES,
    AdamWConfig,
    ConstantConfig,
    CosineConfig,
    MuonConfig,
    OneCycleConfig,
    OptimiserConfig,
    ScheduleConfig,
    build,
)

RATES = {"initial": 1e-7, "peak": 5e-4, "final": 1e-5, "warmup_fraction": 0.05}


def values(steps, name, options):
    schedule = SCHEDULES[name].build(steps, options)
    return np.asarray(jax.vmap(schedule)(jnp.arange(steps + 5)), np.float64)


def rates(steps, **changes):
    return values(steps, "one_cycle", OneCycleConfig(**{**RATES, **changes}))


def test_default_schedule_is_that_of_the_thesis():
    _, schedule = build(OptimiserConfig(), ScheduleConfig(), None, 1000)
    found = [float(schedule(step)) for step in (0, 50, 999)]
    assert found == pytest.approx([1e-7, 5e-4, 1e-5], rel=1e-4)


@pytest.mark.parametrize("warmup", [0, 40])
def test_cosine_falls_after_a_linear_rise(warmup):
    options = CosineConfig(peak=0.5, final=0.1, warmup_fraction=warmup / 200)
    found = values(200, "cosine", options)[:200]
    rise = 0.5 * np.arange(warmup) / max(warmup, 1)
    turn = np.pi * np.arange(200 - warmup) / (199 - warmup)
    expected = np.append(rise, 0.1 + 0.2 * (1 + np.cos(turn)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_constant_is_the_same_at_every_step():
    np.testing.assert_allclose(values(7, "constant", ConstantConfig(0.3)), 0.3, rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2])
def test_every_schedule_survives_a_single_step(name, steps):
    found = values(steps, name, SCHEDULES[name].options())
    assert np.isfinite(found).all() and (found >= 0).all()


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


def run(decay, schedule, gradients, params, norm=None):
    schedule = ScheduleConfig(*schedule)
    adam = OptimiserConfig("adamw", AdamWConfig(weight_decay=decay))
    optimiser, rate = build(adam, schedule, norm, len(gradients))
    state = optimiser.init(params)
    for gradient in gradients:
        update, state = optimiser.update(gradient, state, params)
        params = optax.apply_updates(params, update)
    return params, rate


def test_weights_decay_at_the_learning_rate():
    """With a gradient of zero every step multiplies by 1 - rate * decay."""
    schedule = ("one_cycle", OneCycleConfig(0.1, 0.5, 1e-5, 0.5))
    start = {"a": jnp.asarray([1.0, -2.0])}
    found, rate = run(0.1, schedule, [{"a": jnp.zeros(2)}] * 4, start)
    factor = np.prod([1 - 0.1 * float(rate(step)) for step in range(4)])
    np.testing.assert_allclose(found["a"], factor * np.asarray(start["a"]), rtol=1e-5)
    assert 0.8 < factor < 0.95


def constant(rate):
    return "constant", ConstantConfig(rate)


def test_first_step_of_adam_has_the_size_of_the_learning_rate():
    gradient = {"a": jnp.asarray([5.0, -0.2])}
    found, _ = run(0.0, constant(1e-3), [gradient], {"a": jnp.zeros(2)})
    np.testing.assert_allclose(found["a"], [-1e-3, 1e-3], rtol=1e-4)


def test_an_update_of_muon_is_as_large_in_every_direction_of_a_matrix():
    """As large as one of Adam, on average; what is no matrix is left to Adam."""
    rng = np.random.default_rng(0)
    steep = rng.normal(size=(12, 4)) * np.array([3e3, 1e3, 5e2, 2e2])
    gradient = {"a": jnp.asarray(steep, jnp.float32), "b": jnp.asarray([5.0, -0.2])}
    optimiser, _ = build(
        OptimiserConfig("muon", MuonConfig(rms=0.5)), ScheduleConfig(*constant(1e-3)), None, 5
    )
    params = jax.tree.map(jnp.zeros_like, gradient)
    update, _ = jax.jit(optimiser.update)(gradient, optimiser.init(params), params)
    adam = optax.adamw(1e-3, nesterov=True, weight_decay=1e-5)
    expected, _ = adam.update(gradient, adam.init(params), params)
    np.testing.assert_allclose(update["b"], expected["b"], rtol=1e-4)
    sizes = np.linalg.svd(np.asarray(update["a"]), compute_uv=False) / (1e-3 * 0.5)
    # Five Newton-Schulz iterations bring singular values near 1, not to it.
    assert (sizes > 0.6 * 12**0.5).all() and (sizes < 1.3 * 12**0.5).all()


def test_gradients_are_clipped_to_their_global_norm_by_option():
    """Adam forgets the size of a gradient, but not the sizes of two relative to each other."""
    params = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    small = {"a": jnp.asarray([0.03, -0.01]), "b": jnp.asarray(0.02)}
    large = {"a": jnp.asarray([30.0, 0.0]), "b": jnp.asarray(40.0)}
    clipped = {"a": jnp.asarray([0.3, 0.0]), "b": jnp.asarray(0.4)}
    found, _ = run(0.0, constant(1e-2), [small, large, small], params, 0.5)
    expected, _ = run(0.0, constant(1e-2), [small, clipped, small], params)
    without, _ = run(0.0, constant(1e-2), [small, large, small], params)
    for name in params:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    assert abs(without["a"][0] - found["a"][0]) > 1e-4
