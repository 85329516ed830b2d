"""One backward pass and K of them give the same update where both may be used."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.model import maskformer
from maskformer_jax.tasks import build_losses
from maskformer_jax.training.task_gradients import per_task, scalarised
from maskformer_jax.weighting import METHODS

WEIGHTS = [1.0, 0.5, 2.0, 10.0, 2.0, 1.0]
OPTIONS = {"equal": {}, "static": {"weights": WEIGHTS}}


def close(found, expected, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected
    )


def test_both_paths_give_the_same_update_of_a_network(tiny_config, make_batch, with_options):
    smaller = {"embed_dim": 8, "head_widths": [4], "encoder_layers": 1, "decoder_layers": 1}
    apply, params = maskformer.build(with_options(tiny_config, model=smaller), seed=1)
    loss_sums = build_losses(tiny_config)

    # The weights of both methods are in their states, so that one compilation serves them.
    @jax.jit
    def updates(params, state, batch, targets):
        def losses_of(params):
            return loss_sums(apply(params, batch), batch, targets).mean()

        arguments = (losses_of, params, METHODS["static"](6, **OPTIONS["static"]), state)
        return scalarised(*arguments), per_task(*arguments)

    queries = []
    for name, options in OPTIONS.items():
        state = METHODS[name](6, **options).init(params)
        one, many = updates(params, state, *make_batch())
        close(one, many)
        assert all(leaf.any() for leaf in jax.tree.leaves(one.gradient))
        queries.append(one.gradient["queries"])
    assert (queries[0] != queries[1]).any()


PARAMS = {"a": jnp.asarray([1.0, 2.0]), "b": jnp.asarray(3.0)}


def losses_of(params):
    """Three losses whose gradients are easy: (2a, 0), (0, 2b), (b, sum a)."""
    a, b = params["a"], params["b"]
    return jnp.stack([(a**2).sum(), b**2, a.sum() * b])


@pytest.mark.parametrize("path", [scalarised, per_task])
def test_update_is_the_weighted_sum_of_the_gradients(path):
    for weights in ([1.0, 1.0, 1.0], [0.5, 0.0, 2.0]):
        method = METHODS["static"](3, weights=weights)
        found = path(losses_of, PARAMS, method, method.init(PARAMS))
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

    def update(grads, state, params=None, *, losses, **extra):
        del params, extra
        weights = factor * losses
        total = jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), grads)
        return total, Seen(weights, losses, state.calls + 1)

    return optax.GradientTransformationExtraArgs(init, update)


@pytest.mark.parametrize("path", [scalarised, per_task])
def test_method_sees_the_losses_and_its_state_moves_on(path):
    method = spy(0.5)
    state = method.init(PARAMS)._replace(calls=jnp.asarray(4, jnp.int32))
    found = path(losses_of, PARAMS, method, state)
    losses = np.array([5.0, 9.0, 9.0])
    np.testing.assert_allclose(found.losses, losses)
    np.testing.assert_allclose(found.weighting_state.losses, losses)
    assert found.weighting_state.calls == 5
    w = 0.5 * losses
    expected = {
        "a": w[0] * np.array([2.0, 4.0]) + w[2] * np.array([3.0, 3.0]),
        "b": np.asarray(w[1] * 6.0 + w[2] * 3.0),
    }
    close(found.gradient, expected)


def test_method_that_reads_gradients_receives_one_row_for_each_task():
    received = []

    def update(grads, state, params=None, *, losses, **extra):
        received.append((grads, params))
        return jax.tree.map(lambda g: g[1], grads), state

    method = optax.GradientTransformationExtraArgs(lambda params: (), update)
    found = per_task(losses_of, PARAMS, method, ())
    close(found.gradient, {"a": np.zeros(2), "b": np.asarray(6.0)})
    (grads, params), *others = received
    assert not others and params is PARAMS
    close(grads, {"a": np.array([[2.0, 4], [0, 0], [3, 3]]), "b": np.array([0.0, 6, 3])})


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
    arguments = (lambda p: losses_of({**p, "a": watched(p["a"])}), PARAMS, method)
    found = scalarised(*arguments, method.init(PARAMS))
    assert rows == [1]
    close(per_task(*arguments, method.init(PARAMS)).gradient, found.gradient)
