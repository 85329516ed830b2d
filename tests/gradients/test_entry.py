"""One backward pass and K of them give the same update where both may be used."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.build import build
from maskformer_jax.gradients import (
    LossSums,
    Parts,
    Weighting,
    gradients_of_losses,
    losses,
    weighted_gradient,
)
from maskformer_jax.weighting import METHODS

WEIGHTS = [1.0, 0.5, 2.0, 10.0, 2.0, 1.0]


def scalarised(sums_of, params, method, *arguments, **extra):
    return weighted_gradient(sums_of, params, Weighting(method), *arguments, **extra)


def by_loss(sums_of, params, method, *arguments, two_batches=False, **extra):
    weighting = Weighting(method, scalarise=False, two_batches=two_batches)
    return weighted_gradient(sums_of, params, weighting, *arguments, **extra)


PATHS = [scalarised, by_loss, partial(by_loss, backward="map")]


def close(found, expected, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected
    )


def test_both_paths_give_the_same_update_of_a_network(tiny_with, make_batch):
    model = build(tiny_with("--model.embed_dim=8", "--model.head_widths=[4]"))

    def sums_of(params, part):
        return model.terms(model.apply(params, part[0]), *part)

    method = METHODS["static"](6, weights=WEIGHTS)

    @jax.jit
    def updates(params, state, parts):
        arguments = (sums_of, params, method, state, parts)
        return scalarised(*arguments), by_loss(*arguments)

    one, many = updates(model.params, method.init(model.params), in_parts(make_batch(), 1))
    close(one, many)
    assert all(leaf.any() for leaf in jax.tree.leaves(one.gradient))


def in_parts(batch, number, spare=0):
    """Parts of every `number`-th entry, and some of rubbish that are not used."""

    def split(x):
        x = x[: len(x) // number * number]
        parts = x.reshape(-1, number, *x.shape[1:]).swapaxes(0, 1)
        return jnp.concatenate([parts, *[jnp.full_like(parts[:1], jnp.nan)] * spare])

    return Parts(jax.tree.map(split, batch), jnp.asarray(number))


@pytest.mark.parametrize("backward", ["vmap", "map"])
def test_parts_give_the_gradients_of_the_whole_batch(backward):
    """Although they count different numbers of entries, none at all in one of them."""
    generator = np.random.default_rng(0)
    used = generator.random((12, 3)) < 0.6
    used[::3, 1] = False
    batch = {"x": generator.normal(size=(12, 4)), "y": generator.normal(size=(12, 3)), "used": used}
    params = {"layer": generator.normal(size=(4, 5)), "heads": generator.normal(size=(5, 3))}
    batch, params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (batch, params))

    def sums_of(params, part):
        predicted = jnp.tanh(part["x"] @ params["layer"]) @ params["heads"]
        terms = part["used"] * (predicted - part["y"]) ** 2
        return [LossSums(terms[:, k].sum(), part["used"][:, k].sum()) for k in range(3)]

    @jax.jit
    def everything(params, parts):
        method = METHODS["gls"](3)
        return (
            gradients_of_losses(sums_of, params, parts, backward),
            scalarised(sums_of, params, method, method.init(params), parts),
            losses(sums_of, params, parts),
        )

    whole, three, spare, alone = (
        everything(params, in_parts(batch, *numbers)) for numbers in ((1,), (3,), (3, 2), (1, 2))
    )
    close(three, whole)
    close(spare, whole)
    close(alone, whole)
    close(whole[0].sums.mean(), whole[2])
    assert whole[0].gradients["layer"].any(axis=(1, 2)).all()


PARAMS = {"a": jnp.asarray([1.0, 2.0]), "b": jnp.asarray(3.0)}
ONCE = Parts({"factor": jnp.ones((1, 1))}, jnp.asarray(1))


def sums_of(params, part):
    """Three losses whose gradients are easy: (2a, 0), (0, 2b), (b, sum a), times the factor."""
    a, b = params["a"], params["b"]
    values = ((a**2).sum(), b**2, a.sum() * b)
    return [LossSums(4 * x * part["factor"].sum(), jnp.asarray(4.0)) for x in values]


@pytest.mark.parametrize("path", PATHS)
def test_update_is_the_weighted_sum_of_the_gradients(path):
    for weights in ([1.0, 1.0, 1.0], [0.5, 0.0, 2.0]):
        method = METHODS["static"](3, weights=weights)
        found = path(sums_of, PARAMS, method, method.init(PARAMS), ONCE)
        w = np.array(weights)
        a = w[0] * np.array([2.0, 4.0]) + w[2] * np.array([3.0, 3.0])
        close(found.gradient, {"a": a, "b": np.asarray(w[1] * 6.0 + w[2] * 3.0)})
        np.testing.assert_allclose(found.losses, [5.0, 9.0, 9.0])


class Seen(NamedTuple):
    """What a method was given, and the weights that every log expects."""

    weights: jax.Array
    losses: jax.Array
    calls: jax.Array


def spy(factor):
    """A method whose weights follow the losses: w = factor L, and which keeps what it saw."""

    def init(params):
        del params
        return Seen(jnp.ones(3), jnp.zeros(3), jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, *, losses, more=1.0, **extra):
        del params, extra
        weights = factor * more * losses
        total = jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), grads)
        return total, Seen(weights, losses, state.calls + 1)

    return optax.GradientTransformationExtraArgs(init, update)


@pytest.mark.parametrize("path", PATHS)
def test_method_sees_the_losses_and_its_state_moves_on(path):
    method = spy(0.25)
    state = method.init(PARAMS)._replace(calls=jnp.asarray(4, jnp.int32))
    found = path(sums_of, PARAMS, method, state, ONCE, more=2.0)
    values = np.array([5.0, 9.0, 9.0])
    np.testing.assert_allclose(found.losses, values)
    np.testing.assert_allclose(found.weighting_state.losses, values)
    assert found.weighting_state.calls == 5
    w = 0.5 * values
    expected = {
        "a": w[0] * np.array([2.0, 4.0]) + w[2] * np.array([3.0, 3.0]),
        "b": np.asarray(w[1] * 6.0 + w[2] * 3.0),
    }
    close(found.gradient, expected)


def recorder(received):
    """A method that returns the gradient of the second task and notes what it was given."""

    def update(grads, state, params=None, **extra):
        received.append((grads, params, extra))
        return jax.tree.map(lambda g: g[1], grads), state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


ROWS = {"a": np.array([[2.0, 4], [0, 0], [3, 3]]), "b": np.array([0.0, 6, 3])}


def test_method_that_reads_gradients_receives_one_row_for_each_task():
    received = []
    found = by_loss(sums_of, PARAMS, recorder(received), (), ONCE)
    close(found.gradient, {"a": np.zeros(2), "b": np.asarray(6.0)})
    (grads, params, extra), *others = received
    assert not others and params is PARAMS and set(extra) == {"losses"}
    close(grads, ROWS)


def test_method_that_needs_two_batches_receives_the_gradients_of_both_halves():
    received = []
    factors = jnp.asarray([[1.0], [2.0], [jnp.nan], [3.0], [6.0], [jnp.nan]])
    parts = Parts({"factor": factors}, jnp.asarray([2, 2]))
    found = by_loss(sums_of, PARAMS, recorder(received), (), parts, two_batches=True)
    ((grads, _, extra),) = received
    close(grads, jax.tree.map(lambda g: 1.5 * g, ROWS))
    close(extra["task_grads_2"], jax.tree.map(lambda g: 4.5 * g, ROWS))
    np.testing.assert_allclose(found.losses, 3 * np.array([5.0, 9.0, 9.0]))


def test_scalarisation_makes_one_backward_pass():
    """The cotangent is a single row, so that the reverse pass is traced once and not mapped."""
    rows = []

    @jax.custom_vjp
    def watched(x):
        return x

    def backward(_, cotangent):
        rows.append(cotangent.ndim)
        return (cotangent,)

    watched.defvjp(lambda x: (x, None), backward)
    method = METHODS["equal"](3)
    arguments = (lambda p, part: sums_of({**p, "a": watched(p["a"])}, part), PARAMS, method)
    found = scalarised(*arguments, method.init(PARAMS), ONCE)
    assert rows == [1]
    close(by_loss(*arguments, method.init(PARAMS), ONCE).gradient, found.gradient)
