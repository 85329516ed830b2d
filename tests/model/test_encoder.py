"""The positional encoding of the tracks."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maskformer_jax.model.encoder import (
    HIGHEST_FREQUENCY,
    LOWEST_FREQUENCY,
    TrackEmbedding,
    sinusoids,
)


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
    jets = jnp.ones((2, 3, 1))

    def embedding(positions):
        return TrackEmbedding(
            5, embed_dim, positions, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)
        )(jets, tracks)

    difference = embedding(index) - embedding(())
    np.testing.assert_allclose(difference, sinusoids(tracks[..., index], embed_dim), atol=1e-5)
