"""Regression of jets and constituents against the definitions, with and without NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from maskformer_jax.build import build_tasks
from maskformer_jax.tasks.regression import LOG_STD_RANGE

LOSSES = {
    "l1": lambda x, t: abs(x - t),
    "l2": lambda x, t: (x - t) ** 2,
    "huber": lambda x, t: (x - t) ** 2 / 2 if abs(x - t) < 1 else abs(x - t) - 0.5,
    # A normal density without its constant.
    "gaussian": lambda m, t, log_std: -norm.logpdf(t, m, np.exp(log_std)) - np.log(2 * np.pi) / 2,
    "gaussian, spread: variance": lambda m, t, x: (
        -norm.logpdf(t, m, np.sqrt(np.log1p(np.exp(x)))) - np.log(2 * np.pi) / 2
    ),
}


@pytest.fixture(params=["jets", "tracks"])
def of(request):
    return request.param


def task_of(tiny_with, of, loss, *more):
    task = (
        f"{{kind: regression, of: {of}, targets: {{a: {{}}, b: {{}}}}, loss: {loss}, nan: ignore}}"
    )
    left_out = "--without=[jet_class, track_origin, hadrons]"
    (found,) = build_tasks(tiny_with(left_out, f"--tasks.slope={task}", *more))
    return found


def case(make_batch, of, width):
    """Batch, predictions and targets of which some are NaN."""
    generator, (batch, _) = np.random.default_rng(0), make_batch()
    real = batch.jet_valid if of == "jets" else batch.streams["tracks"].valid
    output = 2 * generator.normal(size=(*real.shape, width))
    target = 2 * generator.normal(size=(*real.shape, 2))
    target[0, ..., 0] = np.nan
    return (
        batch,
        np.asarray(real),
        jnp.asarray(output, jnp.float32),
        jnp.asarray(target, jnp.float32),
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_the_mean_of_its_definition(loss, weighted, of, tiny_with, make_batch):
    batch, real, output, target = case(make_batch, of, 4 if "gaussian" in loss else 2)
    more = ["--data.labels.weight={of: jets, field: w}", "--tasks.slope.sample_weight=weight"]
    task = task_of(tiny_with, of, loss, *(more if weighted else []))
    labels = {"slope": target, "weight": jnp.asarray([0.5, 3.0, 1.0, 0.0, 7.0])}
    total = count = 0.0
    for *where, r in np.argwhere(real[..., None] & ~np.isnan(target)):
        x, t = np.asarray(output[*where], np.float64), float(target[*where, r])
        weight = float(labels["weight"][where[0]]) / 2 if weighted else 0.5
        total += weight * LOSSES[loss](x[r], t, *x[r + 2 :][: "gaussian" in loss])
        count += weight
    found, gradient = jax.value_and_grad(lambda x: task.terms(x, batch, labels)[0].total)(output)
    np.testing.assert_allclose(found, total, rtol=2e-5)
    np.testing.assert_allclose(task.terms(output, batch, labels)[0].count, count, rtol=1e-6)
    # Neither NaN nor padding comes back in the derivative.
    assert np.isfinite(gradient).all()
    nothing = ~(real[..., None] & ~np.isnan(target))
    assert not np.asarray(gradient)[..., :2][nothing].any()


def test_extreme_standard_deviations_are_finite(tiny_with, make_batch):
    batch, _, output, target = case(make_batch, "jets", 4)
    task = task_of(tiny_with, "jets", "gaussian")
    for size in (1e4, -1e4):
        extreme = output.at[:, 2:].set(size)
        value, gradient = jax.value_and_grad(
            lambda x: task.terms(x, batch, {"slope": target})[0].mean()
        )(extreme)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        std = task.predict(extreme, batch, {})["std"]
        np.testing.assert_allclose(std, np.exp(LOG_STD_RANGE[size > 0]), rtol=1e-5)


def test_errors_are_means_over_what_is_there(of, tiny_with, make_batch):
    batch, real, output, target = case(make_batch, of, 2)
    task = task_of(tiny_with, of, "l2")
    sums = jax.device_get(task.count(output, batch, {"slope": target}))
    there = real[..., None] & ~np.isnan(target)
    for r, name in enumerate("ab"):
        where = np.asarray(there)[..., r]
        expected = np.abs(np.asarray(output - target))[..., r][where].mean()
        assert task.figures(sums)[f"error/slope/{name}"] == pytest.approx(expected, rel=1e-5)
    nothing = task.count(output, batch, {"slope": jnp.full_like(target, jnp.nan)})
    assert task.figures(jax.device_get(nothing)) == {} and task.count(output, batch, {}) == {}
