"""Attention and pooling against JAX's own attention and against formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maskformer_jax.model.attention import MultiHeadAttention
from maskformer_jax.model.layers import Style
from maskformer_jax.model.pooling import POOLINGS, AttentionPooling

B, S, T, E, H = 3, 4, 6, 8, 2


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def attention():
    module = MultiHeadAttention(E, H, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    for i, layer in enumerate((module.query, module.key, module.value, module.output)):
        layer.bias[...] = random(E, seed=10 + i)
    return module


@pytest.fixture(scope="module")
def attend(attention):
    return jax.jit(lambda queries, keys, mask: attention(queries, keys, mask))


def reference(module, queries, keys, mask):
    """The same projections around `jax.nn.dot_product_attention`."""

    def heads(x):
        return x.reshape(*x.shape[:2], H, E // H)

    mixed = jax.nn.dot_product_attention(
        heads(module.query(queries)),
        heads(module.key(keys)),
        heads(module.value(keys)),
        mask=None if mask is None else jnp.broadcast_to(mask, (B, S, T))[:, None],
    )
    return module.output(mixed.reshape(queries.shape))


MASKS = {
    "none": None,
    "keys": np.arange(T) < np.array([6, 4, 1])[:, None, None],
    "pairs": (np.random.default_rng(3).random((B, S, T)) < 0.5) | (np.arange(T) == 2),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_attention_agrees_with_that_of_jax(attention, attend, mask):
    queries, keys = random(B, S, E, seed=1), random(B, T, E, seed=2)
    mask = None if mask is None else jnp.asarray(mask)
    found = attend(queries, keys, mask)
    np.testing.assert_allclose(found, reference(attention, queries, keys, mask), atol=1e-5)


def test_query_with_nothing_to_attend_to_receives_the_bias(attention, attend):
    mask = jnp.asarray(MASKS["pairs"]).at[1].set(False)
    found = attend(random(B, S, E), random(B, T, E), mask)
    np.testing.assert_array_equal(found[1], jnp.broadcast_to(attention.output.bias[...], (S, E)))


def test_keys_outside_the_mask_have_no_influence(attend):
    """Neither values nor gradients, however large the logits are."""
    mask = jnp.asarray(MASKS["pairs"]).at[1].set(False)
    queries, keys = random(B, S, E, seed=1), random(B, T, E, seed=2)
    hidden = ~mask.any(1)[..., None] | (jnp.arange(T) == 5)[None, :, None]
    mask = mask & ~hidden[:, None, :, 0]
    expected = attend(queries, keys, mask)
    found = attend(queries, jnp.where(hidden, 1e3 * keys, keys), mask)
    np.testing.assert_array_equal(found, expected)
    gradient = jax.grad(lambda k: (attend(queries, k, mask) ** 2).sum())(keys)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal((gradient != 0).any(-1), ~hidden[..., 0])


def test_large_logits_stay_finite(attend):
    queries, keys = 1e3 * random(B, S, E, seed=1), 1e3 * random(B, T, E, seed=2)
    mask = jnp.asarray(MASKS["keys"])
    value, gradient = jax.value_and_grad(lambda q: attend(q, keys, mask).sum())(queries)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_pooling_is_the_softmax_mean_of_real_elements():
    module = AttentionPooling(E, Style(), nnx.Rngs(0))
    elements, valid = random(B, T, E), np.arange(T) < np.array([6, 3, 0])[:, None]
    found = np.asarray(module(elements, jnp.asarray(valid)[:, None])[:, 0])
    score = np.asarray(elements) @ np.asarray(module.score.kernel[...])[:, 0]
    for jet in range(B):
        weights = np.exp(score[jet, valid[jet]])
        expected = weights @ np.asarray(elements)[jet, valid[jet]] / max(weights.sum(), 1e-9)
        np.testing.assert_allclose(found[jet], expected, atol=1e-5)
    assert not found[2].any()


@pytest.mark.parametrize(("name", "function"), [("mean", np.mean), ("sum", np.sum)])
def test_pooling_without_parameters(name, function):
    module, elements = POOLINGS[name](E, Style(), nnx.Rngs(0)), random(B, T, E)
    valid = np.arange(T) < np.array([6, 3, 0])[:, None]
    found = np.asarray(module(elements, jnp.asarray(valid)[:, None])[:, 0])
    for jet in range(2):
        np.testing.assert_allclose(
            found[jet], function(elements[jet, valid[jet]], axis=0), atol=1e-5
        )
    assert not found[2].any()


@pytest.mark.parametrize("name", POOLINGS)
def test_sets_that_share_a_row_are_pooled_apart(name):
    module = POOLINGS[name](E, Style(), nnx.Rngs(0))
    elements = random(1, T, E)
    sets = jnp.arange(T) // 2 == jnp.arange(4)[:, None]
    found = module(elements, sets[None])[0]
    for number in range(3):
        alone = module(elements[:, 2 * number : 2 * number + 2], jnp.ones((1, 1, 2), bool))
        np.testing.assert_allclose(found[number], alone[0, 0], atol=1e-6)
    assert not found[3].any()
