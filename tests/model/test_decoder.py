"""Where the queries attend, and the product that makes a mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maskformer_jax.model.decoder import attend_to_mask
from maskformer_jax.model.layers import Style
from maskformer_jax.model.object_heads import LOG_SINK, ConstituentMeans, HeadWidths, ObjectHeads

T, F = True, False
ROWS = {
    "positive logits": ([1.0, -1.0, 2.0], [T, T, T], [T, F, T]),
    "zero is not positive": ([1.0, 0.0, 0.0], [T, T, T], [T, F, F]),
    "nowhere: everywhere": ([-1.0, -2.0, -3.0], [T, T, T], [T, T, T]),
    "padding never": ([1.0, 2.0, 3.0], [T, F, T], [T, F, T]),
    "positive in padding alone": ([-1.0, -1.0, 3.0], [T, T, F], [T, T, F]),
    "no track": ([1.0, -1.0, 1.0], [F, F, F], [F, F, F]),
}


@pytest.mark.parametrize(("logits", "valid", "expected"), ROWS.values(), ids=ROWS)
def test_queries_attend_to_their_mask_or_everywhere(logits, valid, expected):
    found = attend_to_mask(jnp.asarray([[logits]]), jnp.asarray([[valid]]))
    np.testing.assert_array_equal(found, [[expected]])


def test_queries_of_a_jet_attend_each_to_their_own():
    logits = jnp.asarray([[[1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]]])
    found = attend_to_mask(logits, jnp.ones((1, 3, 2), bool))
    np.testing.assert_array_equal(found, [[[T, F], [T, T], [F, T]]])


def test_mask_logit_is_the_product_of_token_and_track():
    generator = np.random.default_rng(0)
    queries, tracks = (jnp.asarray(generator.normal(size=(2, n, 8)), jnp.float32) for n in (3, 5))
    widths = HeadWidths((6,), (6,), (6,))
    heads = ObjectHeads(8, widths, 3, 4, True, {}, Style(), nnx.Rngs(0))
    inputs = jnp.zeros((2, 5, 0)), jnp.ones((2, 3, 5), bool)
    found = jax.jit(lambda q, t: heads(q, t, 1, None, *inputs))(queries, tracks)
    assert [x.shape for x in found] == [(2, 3, 3), (2, 3, 5), (2, 3, 4)]
    alone = jax.jit(lambda q, t: heads.masks(q, t, None))(queries, tracks)
    np.testing.assert_allclose(found.mask_logits, alone, atol=1e-6)
    tokens = jax.jit(lambda q: heads.mask_token(heads.query_norm(q)))(queries)
    tokens = np.asarray(tokens, np.float64)
    for jet, q, track in np.ndindex(2, 3, 5):
        x = np.asarray(tracks[jet, track], np.float64)
        normed = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
        expected = tokens[jet, q] @ normed / np.sqrt(8)
        assert found.mask_logits[jet, q, track] == pytest.approx(expected, abs=1e-4)


def made_up_means(own):
    """A module whose parameters are all random, and what it is called with."""
    generator, (number, queries, tracks) = np.random.default_rng(1), own.shape
    module = ConstituentMeans(8, 2, Style(), nnx.Rngs(0))
    graph, state = nnx.split(module)
    state = jax.tree.map(lambda x: jnp.asarray(generator.normal(size=x.shape), jnp.float32), state)
    shapes = (queries, 8), (tracks, 8), (queries, tracks), (tracks, 2)
    arrays = [jnp.asarray(generator.normal(size=(number, *x)), jnp.float32) for x in shapes]
    return nnx.merge(graph, state), arrays


def test_means_are_those_of_the_formula():
    own = np.random.default_rng(2).random((2, 3, 5)) < 0.7
    own[0, 0] = False
    module, arrays = made_up_means(own)
    found = module(*arrays, jnp.asarray(own))
    queries, states, masks, values = (np.asarray(x, np.float64) for x in arrays)

    def linear(layer, x):
        return x @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...])

    z = np.einsum("bqe,ble->bql", linear(module.token, queries), linear(module.key, states))
    weights = np.exp(z / np.sqrt(8)) / (1 + np.exp(-masks)) * own
    total = np.exp(linear(module.sink, queries)) + weights.sum(-1, keepdims=True)
    expected = linear(module.gain, queries) * np.einsum("bql,blt->bqt", weights / total, values)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(found[0, 0], 0.0)


def test_means_start_at_those_of_the_mask_and_are_odd():
    own = np.ones((1, 2, 4), bool)
    _, (queries, states, masks, values) = made_up_means(own)
    module = ConstituentMeans(8, 2, Style(), nnx.Rngs(0))
    found = [module(queries, 0 * states, masks, x, jnp.asarray(own)) for x in (values, -values)]
    np.testing.assert_array_equal(found[0], -found[1])
    weights = jax.nn.sigmoid(masks)
    expected = weights @ values / (np.exp(LOG_SINK) + weights.sum(-1, keepdims=True))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
