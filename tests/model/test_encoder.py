"""Positions, norms, gates and widths of the encoder, against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maskformer_jax.model.encoder import (
    HIGHEST_FREQUENCY,
    LOWEST_FREQUENCY,
    Embedding,
    Encoder,
    EncoderLayer,
    sinusoids,
)
from maskformer_jax.model.layers import FeedForward, Style


@pytest.mark.parametrize(("fields", "embed_dim"), [(4, 16), (4, 23), (1, 5), (3, 6), (2, 32)])
def test_sinusoids_are_sines_and_cosines_and_zeros(fields, embed_dim):
    positions = np.random.default_rng(0).normal(size=(2, 3, fields)).astype(np.float32)
    found = np.asarray(sinusoids(jnp.asarray(positions), embed_dim))
    count = embed_dim // (2 * fields)
    if count > 1:
        frequencies = np.geomspace(HIGHEST_FREQUENCY, LOWEST_FREQUENCY, count)
    else:
        frequencies = np.array([HIGHEST_FREQUENCY])
    expected = np.zeros((2, 3, embed_dim))
    for field in range(fields):
        columns = slice(field * count, (field + 1) * count)
        angle = positions[..., field, None].astype(np.float64) * frequencies
        expected[..., columns] = np.sin(angle)
        expected[..., fields * count :][..., columns] = np.cos(angle)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_position_enters_beside_the_linear_input():
    embed_dim, index = 8, (2, 0)
    tracks = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 4)), jnp.float32)

    def embedding(positions):
        return Embedding(4, (5,), embed_dim, positions, Style(), nnx.Rngs(0))(tracks)

    difference = embedding(index) - embedding(())
    np.testing.assert_allclose(difference, sinusoids(tracks[..., index], embed_dim), atol=1e-5)


def test_a_gate_multiplies_the_activation():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 4)), jnp.float32)
    module = FeedForward(4, 6, Style(gated=True, activation="silu"), nnx.Rngs(0))
    hidden = module.hidden(x)
    assert hidden.shape[-1] == 12
    expected = module.output(jax.nn.silu(hidden[..., :6]) * hidden[..., 6:])
    np.testing.assert_allclose(module(x), expected, atol=1e-6)


def normed(x, name, epsilon):
    x = np.asarray(x, np.float64)
    if name == "layer_norm":
        x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("position", ["pre", "post", "hybrid"])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_norms_stand_before_the_layers_or_behind_the_sums(name, position, learnt):
    style = Style(norm=name, position=position, learnt_norm=learnt, epsilon=0.1)
    layer = EncoderLayer(4, 2, 6, style, nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 3, 4)), jnp.float32)
    every = jnp.ones((1, 1, 3), bool)

    def residual(x, layer):
        is_attention = layer is not feedforward
        if position == "post" or (position == "hybrid" and is_attention):
            return normed(x + layer(x), name, 0.1)
        if position == "pre":
            return x + layer(jnp.asarray(normed(x, name, 0.1), jnp.float32))
        return x + layer(x)

    feedforward = layer.feedforward
    expected = residual(x, lambda x: layer.attention(x, x, every))
    expected = residual(jnp.asarray(expected, jnp.float32), feedforward)
    np.testing.assert_allclose(layer(x, every, None), expected, atol=1e-5)
    has_weights = bool(jax.tree.leaves(nnx.state(layer.attended)))
    assert has_weights == learnt


@pytest.mark.parametrize("norm_after", [False, True])
def test_last_norm_stands_before_or_after_the_output_width(norm_after):
    encoder = Encoder(4, 1, 2, 6, 0, 6, norm_after, Style(), nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 3, 4)), jnp.float32)
    own, states = jnp.ones((1, 1, 3), bool), encoder.layers[0](x, jnp.ones((1, 1, 3), bool), None)
    if norm_after:
        expected = normed(encoder.output(states), "layer_norm", 1e-6)
    else:
        expected = encoder.output(jnp.asarray(normed(states, "layer_norm", 1e-6), jnp.float32))
    found, same = encoder(x, own, jnp.ones(1, bool), None)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert same is own


def test_every_real_jet_of_a_row_has_registers_of_its_own():
    encoder = Encoder(4, 1, 2, 6, 2, None, False, Style(), nnx.Rngs(0))
    own = jnp.asarray([[[1, 1, 0], [0, 0, 0], [0, 0, 1]], [[0, 0, 0]] * 3], bool)
    jet_valid = jnp.asarray([True, True, True, True, False, False])
    states, found = encoder(jnp.ones((2, 3, 4)), own, jet_valid, None)
    assert states.shape == (2, 9, 4)
    np.testing.assert_array_equal(found[..., :3], own)
    of_jet = np.repeat(np.eye(3, dtype=bool), 2, axis=1)
    np.testing.assert_array_equal(found[0, :, 3:], of_jet)
    np.testing.assert_array_equal(found[1, :, 3:], of_jet & np.array([[True], [False], [False]]))
