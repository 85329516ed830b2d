"""Weights from less than all gradients: what is computed is what the options say."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.gradients import CheaperWeights, LossSums, Parts, Weighting, weighted_gradient
from maskformer_jax.weighting import METHODS, inner_products

K, JETS = 3, 8
METHOD = partial(METHODS["cagrad"], K, shared={"trunk": True, "branch": True, "heads": [False] * K})


@pytest.fixture(scope="module")
def params():
    generator = np.random.default_rng(0)
    sizes = {"trunk": (4, 5), "branch": (5,), "heads": (K, 5)}
    params = {k: jnp.asarray(generator.normal(size=s), jnp.float32) for k, s in sizes.items()}
    return {**params, "heads": list(params["heads"])}


def representation(params, x):
    return jnp.tanh(x @ params["trunk"])


def losses_behind(params, z, part):
    """A trunk, a branch of the last two tasks, and heads, as leaves that one task reaches each."""
    deep = z * params["branch"]
    predicted = [(deep if k else z) @ params["heads"][k] for k in range(K)]
    used = [part["used"][:, k] for k in range(K)]
    terms = [used[k] * (predicted[k] - part["y"][:, k]) ** 2 for k in range(K)]
    return [LossSums(terms[k].sum(), used[k].sum()) for k in range(K)]


def sums_of(params, part):
    return losses_behind(params, representation(params, part["x"]), part)


@pytest.fixture(scope="module")
def batch():
    generator = np.random.default_rng(1)
    used = (generator.random((JETS, K)) < 0.7).astype(np.float32)
    batch = {"x": generator.normal(size=(JETS, 4)), "y": generator.normal(size=(JETS, K))}
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), {**batch, "used": used})


def parts_of(batch, number, spare=0):
    def split(x):
        parts = x.reshape(number, -1, *x.shape[1:])
        return jnp.concatenate([parts, *[jnp.full_like(parts[:1], jnp.nan)] * spare])

    return Parts(jax.tree.map(split, batch), jnp.asarray(number))


def exact(params, batch):
    """Losses and gradients of the whole batch, task by task."""

    def losses(params):
        return jnp.stack([x.mean() for x in sums_of(params, batch)])

    return losses(params), jax.jacrev(losses)(params)


def found(params, parts, state, how, *, sample=None, due=True, method=None):
    weighting = Weighting(method or METHOD(), scalarise=False, cheaper=how)
    return jax.jit(
        lambda params, state, parts, sample, due: weighted_gradient(
            sums_of, params, weighting, state, parts, sample=sample, due=due
        )
    )(params, state, parts, sample, jnp.asarray(due))


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5), a, b)


def combined(gradients, weights, own):
    return {
        name: jax.tree.map(
            lambda g, w=own if name == "heads" else weights: jnp.tensordot(w, g, 1), g
        )
        for name, g in gradients.items()
    }


LAYOUTS = [(1, 0), (2, 0), (1, 2), (4, 1)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("due", [True, False])
def test_weights_are_kept_between_renewals(params, batch, layout, due):
    losses, gradients = exact(params, batch)
    method = METHOD()
    state = method.init(params)._replace(weights=jnp.asarray([0.25, 2.0, -1.0]))
    result = found(params, parts_of(batch, *layout), state, CheaperWeights(every=3), due=due)
    np.testing.assert_allclose(result.losses, losses, rtol=1e-5)
    if due:
        expected, after = method.update(gradients, state, params, losses=losses)
        close(result.gradient, expected)
        close(result.weighting_state, after)
    else:
        close(result.gradient, combined(gradients, state.weights, jnp.ones(K)))
        close(result.weighting_state, state)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("every", [1, 3])
def test_gramian_of_a_sample_and_gradient_of_the_whole_batch(params, batch, layout, every):
    _, gradients = exact(params, batch)
    few = jax.tree.map(lambda x: x[:3], batch)
    losses, of_few = exact(params, few)
    shared = {k: of_few[k] for k in ("trunk", "branch")}
    state = METHOD().init(params)
    expected = METHOD().weigh(inner_products(shared, shared), state, losses)
    result = found(
        *(params, parts_of(batch, *layout), state, CheaperWeights(every=every, fraction=0.4)),
        sample=parts_of(few, 1, layout[1]),
    )
    close(result.weighting_state, expected)
    close(result.gradient, combined(gradients, expected.weights, jnp.ones(K)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of_sample", [False, True])
def test_gramian_at_the_representation(params, batch, layout, of_sample):
    losses, gradients = exact(params, batch)
    few = jax.tree.map(lambda x: x[:3], batch) if of_sample else batch

    def behind(z):
        return jnp.stack([x.mean() for x in losses_behind(params, z, few)])

    rows = jax.jacrev(behind)(representation(params, few["x"]))
    gramian = inner_products([rows], [rows])
    state = METHOD().init(params)
    expected = METHOD().weigh(gramian, state, losses)
    result = found(
        *(params, parts_of(batch, *layout), state, CheaperWeights(at_representation=True)),
        sample=parts_of(few, 1, layout[1]) if of_sample else None,
    )
    close(result.weighting_state, expected)
    close(result.gradient, combined(gradients, expected.weights, jnp.ones(K)))


def test_own_parameters_get_the_weights_of_the_rule(params, batch):
    _, gradients = exact(params, batch)
    method = METHOD(own_weights="weights")
    state = method.init(params)._replace(weights=jnp.asarray([0.25, 2.0, -1.0]))
    result = found(
        *(params, parts_of(batch, 2), state, CheaperWeights(every=2)), due=False, method=method
    )
    close(result.gradient, combined(gradients, state.weights, state.weights))
