"""Embedding of the tracks and the self-attention encoder (Section 4.1 of the thesis)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.model.attention import MultiHeadAttention
from maskformer_jax.model.layers import FeedForward, Residual

# Angular frequencies of the positional encoding, in units of the standardised field: from one
# turn over the whole range of a field to one over a tenth of its finest structure.
LOWEST_FREQUENCY = 0.01
HIGHEST_FREQUENCY = 100.0


def sinusoids(positions: Float[Array, "B L P"], embed_dim: int) -> Float[Array, "B L E"]:
    """Sines and cosines of each position at geometrically spaced frequencies.

    Args:
        positions: standardised fields of each track.
        embed_dim: width E; each of the P fields gets E // 2P frequencies, the rest is zero.

    Source: arXiv 1706.03762, Section 3.5, with continuous positions.
    """
    count = embed_dim // (2 * positions.shape[-1])
    frequencies = jnp.geomspace(HIGHEST_FREQUENCY, LOWEST_FREQUENCY, count, dtype=jnp.float32)
    angles = (positions[..., None] * frequencies).reshape(*positions.shape[:-1], -1)
    encoding = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(encoding, ((0, 0), (0, 0), (0, embed_dim - encoding.shape[-1])))


class TrackEmbedding(nnx.Module):
    """Track and jet inputs through two linear layers, plus the positional encoding.

    Args:
        num_inputs: track and jet inputs together, F + J.
        embed_dim: width E.
        position_index: columns of the track inputs that are encoded as positions.
        dtype: type of the arithmetic.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        num_inputs: int,
        embed_dim: int,
        position_index: tuple[int, ...],
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.embed_dim = embed_dim
        self.position_index = position_index
        self.hidden = nnx.Linear(num_inputs, embed_dim, dtype=dtype, rngs=rngs)
        self.output = nnx.Linear(embed_dim, embed_dim, dtype=dtype, rngs=rngs)

    def __call__(
        self, jets: Float[Array, "N L I"], tracks: Float[Array, "N L F"]
    ) -> Float[Array, "N L E"]:
        inputs = jnp.concatenate([tracks, jets], axis=-1)
        embedding = self.output(jax.nn.relu(self.hidden(inputs))).astype(jnp.float32)
        if not self.position_index:
            return embedding
        return embedding + sinusoids(tracks[..., self.position_index], self.embed_dim)


class EncoderLayer(nnx.Module):
    """Pre-norm self-attention and feed-forward, each added to its input.

    Args:
        embed_dim: width E.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layer.
        dropout: probability of dropping an activation.
        dtype: type of the arithmetic.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden_dim: int,
        dropout: float,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.attention_norm = nnx.LayerNorm(embed_dim, dtype=dtype, rngs=rngs)
        self.attention = MultiHeadAttention(embed_dim, num_heads, dtype=dtype, rngs=rngs)
        self.feedforward_norm = nnx.LayerNorm(embed_dim, dtype=dtype, rngs=rngs)
        self.feedforward = FeedForward(embed_dim, hidden_dim, dtype=dtype, rngs=rngs)
        self.residual = Residual(dropout)

    def __call__(
        self,
        tracks: Float[Array, "N L E"],
        attend: Bool[Array, "N #L L"],
        rngs: nnx.Rngs | None,
    ) -> Float[Array, "N L E"]:
        normed = self.attention_norm(tracks)
        tracks = self.residual(tracks, self.attention(normed, normed, attend), rngs)
        return self.residual(tracks, self.feedforward(self.feedforward_norm(tracks)), rngs)
