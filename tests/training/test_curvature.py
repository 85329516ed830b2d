"""Curvature along an update against explicit Hessians, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.gradients import LossSums, Parts, gradients_of_losses
from maskformer_jax.training.curvature import along_update

WEIGHTS = np.array([1.0, 3.0])
COUNTS = np.array([[2.0, 1.0], [1.0, 4.0]])  # [parts, tasks]


def loss_terms(params, part):
    """Two losses of degree `power`, over two leaves that both reach, part by part."""
    data, counts, power = part
    a, b = params["a"], params["b"]
    first = (data @ a) ** power + (b * a[0]).sum()
    second = ((a * b[0]).sum() - data.sum()) ** power
    return [LossSums(x * c, c) for x, c in zip((first, second), counts, strict=True)]


def total(params, parts, power):
    """The weighted losses of the whole batch, written down without parts."""
    sums = [loss_terms(params, (*part, power)) for part in zip(*parts, strict=True)]
    means = [sum(s[k].total for s in sums) / COUNTS[:, k].sum() for k in range(2)]
    return WEIGHTS[0] * means[0] + WEIGHTS[1] * means[1]


def explicit(parts, power, before, after, points):
    """g . H g at every point, with the whole Hessian, and g . g."""
    flat, unravel = jax.flatten_util.ravel_pytree(before)
    end = jax.flatten_util.ravel_pytree(after)[0]

    def function(x):
        return total(unravel(x), parts, power)

    gradient, hessian = jax.grad(function)(flat), jax.hessian(function)
    fractions = np.linspace(0, 1, points)
    return [gradient @ hessian(flat + f * (end - flat)) @ gradient for f in fractions], (
        gradient @ gradient
    )


def case(seed=0):
    generator = np.random.default_rng(seed)
    data = jnp.asarray(generator.normal(size=(2, 3)))
    before = {"a": generator.normal(size=3), "b": generator.normal(size=2)}
    after = {name: x - 0.3 * generator.normal(size=x.shape) for name, x in before.items()}
    return (data, jnp.asarray(COUNTS)), *(jax.tree.map(jnp.asarray, x) for x in (before, after))


def found(parts, power, before, after, points):
    def sums_of(params, part):
        return loss_terms(params, (*part, power))

    parts, weights = Parts(parts, jnp.asarray(2)), jnp.asarray(WEIGHTS)
    gradients = gradients_of_losses(sums_of, before, parts).gradients
    return along_update(sums_of, before, after, weights, gradients, parts, points=points)


@pytest.mark.parametrize("power", [2, 3])
def test_against_explicit_hessians(power):
    with jax.enable_x64(True):
        parts, before, after = case()
        expected, squared_norm = explicit(parts, power, before, after, 5)
        curvature = found(parts, power, before, after, 5)
        np.testing.assert_allclose(curvature["along"], expected, rtol=1e-10)
        weights = np.array([1, 2, 2, 2, 1]) / 8
        mean = weights @ np.array(expected)
        np.testing.assert_allclose(curvature["mean"], mean, rtol=1e-10)
        np.testing.assert_allclose(curvature["in_direction"], mean / squared_norm, rtol=1e-10)


def test_against_finite_differences():
    """The second difference of the loss along the gradient, at both ends."""
    with jax.enable_x64(True):
        parts, before, after = case(1)
        gradient = jax.grad(lambda p: total(p, parts, 3))(before)
        curvature = found(parts, 3, before, after, 2)
        for point, value in zip((before, after), curvature["along"], strict=True):

            def at(h, point=point):
                return total(jax.tree.map(lambda x, g: x + h * g, point, gradient), parts, 3)

            h = 1e-5
            assert (at(h) - 2 * at(0.0) + at(-h)) / h**2 == pytest.approx(float(value), rel=1e-4)


def test_the_rule_converges_as_a_trapezoid_rule_does():
    with jax.enable_x64(True):
        parts, before, after = case(2)
        fine = found(parts, 4, before, after, 65)["mean"]
        errors = [abs(found(parts, 4, before, after, n)["mean"] - fine) for n in (5, 9)]
        assert float(errors[0] / errors[1]) == pytest.approx(4.0, rel=0.1)
