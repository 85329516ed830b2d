"""Embedding of the constituents and the self-attention encoder (Section 4.1 of the thesis)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from maskformer_jax.model.attention import MultiHeadAttention
from maskformer_jax.model.layers import Dense, FeedForward, Residual, Style, key_of

# Angular frequencies of the positional encoding, in units of the standardised field: from one
# turn over the whole range of a field to one over a tenth of its finest structure.
LOWEST_FREQUENCY = 0.01
HIGHEST_FREQUENCY = 100.0


def sinusoids(positions: Float[Array, "N L P"], embed_dim: int) -> Float[Array, "N L E"]:
    """Sines and cosines of each position at geometrically spaced frequencies.

    Args:
        positions: standardised fields of each constituent.
        embed_dim: width E; each of the P fields gets E // 2P frequencies, the rest is zero.

    Source: arXiv 1706.03762, Section 3.5, with continuous positions.
    """
    count = embed_dim // (2 * positions.shape[-1])
    frequencies = jnp.geomspace(HIGHEST_FREQUENCY, LOWEST_FREQUENCY, count, dtype=jnp.float32)
    angles = (positions[..., None] * frequencies).reshape(*positions.shape[:-1], -1)
    encoding = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(encoding, ((0, 0), (0, 0), (0, embed_dim - encoding.shape[-1])))


class Embedding(nnx.Module):
    """Inputs of a constituent through linear layers, plus the positional encoding.

    Args:
        num_inputs: inputs of a constituent, with those of its jet that are joined to them.
        widths: hidden layers.
        embed_dim: width E.
        position_index: inputs that are encoded as positions.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        num_inputs: int,
        widths: tuple[int, ...],
        embed_dim: int,
        position_index: tuple[int, ...],
        style: Style,
        rngs: nnx.Rngs,
    ):
        self.embed_dim, self.position_index = embed_dim, position_index
        style = style._replace(head_dropout=0.0)
        self.network = Dense(num_inputs, widths, embed_dim, style, rngs)

    def __call__(self, values: Float[Array, "N L F"]) -> Float[Array, "N L E"]:
        embedding = self.network(values)
        if not self.position_index:
            return embedding
        return embedding + sinusoids(values[..., self.position_index], self.embed_dim)


class EncoderLayer(nnx.Module):
    """Self-attention and feed-forward, each added to its input.

    Args:
        embed_dim: width E.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layer.
        style: of the network; `hybrid` norms of the first layer stand as `pre` besides.
        rngs: source of the initial parameters.
        is_first: of the encoder.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden_dim: int,
        style: Style,
        rngs: nnx.Rngs,
        is_first: bool = False,
    ):
        is_hybrid, attended, fed_forward = style.position == "hybrid", style, style
        if is_hybrid:
            attended = fed_forward = style._replace(position="pre")
            if not is_first:
                attended, fed_forward = style._replace(position="post"), style._replace(norm="none")
        norm = style._replace(norm="rms_norm", learnt_norm=True).make_norm if is_hybrid else None
        self.attention = MultiHeadAttention(
            embed_dim, num_heads, dtype=style.dtype, rngs=rngs, norm=norm
        )
        self.feedforward = FeedForward(embed_dim, hidden_dim, style, rngs)
        self.attended = Residual(embed_dim, attended, rngs)
        self.fed_forward = Residual(embed_dim, fed_forward, rngs)

    def __call__(
        self,
        states: Float[Array, "N L E"],
        attend: Bool[Array, "N #L L"],
        key: Key[Array, ""] | None,
        bias: Float[Array, "N H L L"] | None = None,
    ) -> Float[Array, "N L E"]:
        states = self.attended(
            states, lambda x: self.attention(x, x, attend, bias), key_of(key, "attention")
        )
        return self.fed_forward(states, self.feedforward, key_of(key, "feedforward"))


def same_jet(own: Bool[Array, "N J L"]) -> Bool[Array, "N #L L"]:
    """True where a constituent may look at another: both are of one jet."""
    if own.shape[1] == 1:
        return own
    jet = own.argmax(1)
    return (jet[:, :, None] == jet[:, None, :]) & own.any(1)[:, None]


def with_tokens(
    states: Float[Array, "N L E"],
    own: Bool[Array, "N J L"],
    tokens: Float[Array, "R E"],
    there: Bool[Array, "N J"],
) -> tuple[Float[Array, "N T E"], Bool[Array, "N J T"]]:
    """The constituents of a row and, behind them, tokens for each of its jets; whose they are.

    Args:
        states: of the constituents.
        own: True where a constituent belongs to a jet.
        tokens: that every jet has.
        there: False for the places of jets that have none.
    """
    num_rows, num_jets, _ = own.shape
    tiled = jnp.tile(tokens, (num_rows, num_jets, 1))
    of_jet = jnp.repeat(jnp.eye(num_jets, dtype=bool), len(tokens), axis=1)
    of_jet = of_jet & there[..., None]
    return jnp.concatenate([states, tiled], 1), jnp.concatenate([own, of_jet], 2)


class Encoder(nnx.Module):
    """Layers of self-attention over all constituents of a jet and its registers, then a norm.

    Args:
        embed_dim: width E.
        num_layers: at least 1.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layers.
        registers: learnt constituents that every jet has beside its own.
        output_dim: width of the result; none: E, without a layer more.
        norm_after: whether the norm stands behind the layer to `output_dim`.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        embed_dim: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        registers: int,
        output_dim: int | None,
        norm_after: bool,
        style: Style,
        rngs: nnx.Rngs,
    ):
        self.registers = nnx.Param(rngs.normal((registers, embed_dim))) if registers else None
        self.layers = nnx.List(
            EncoderLayer(embed_dim, num_heads, hidden_dim, style, rngs, number == 0)
            for number in range(num_layers)
        )
        has_output = output_dim is not None
        self.output = (
            nnx.Linear(embed_dim, output_dim, dtype=style.dtype, rngs=rngs) if has_output else None
        )
        self.norm_after = norm_after and has_output
        self.norm = style.make_norm(output_dim if self.norm_after else embed_dim, rngs)

    def __call__(
        self,
        states: Float[Array, "N L E"],
        own: Bool[Array, "N J L"],
        jet_valid: Bool[Array, " B"],
        key: Key[Array, ""] | None,
        bias: Float[Array, "K N H L L"] | None = None,
    ) -> tuple[Float[Array, "N T D"], Bool[Array, "N J T"]]:
        """States of the constituents and, behind them, of the registers; whose they are.

        Args:
            states: of the constituents.
            own: True where a constituent belongs to a jet.
            jet_valid: False for the places of jets that have none.
            key: of dropout.
            bias: of the attention between constituents in each of the K layers.
        """
        if self.registers is not None:
            there = jet_valid.reshape(*own.shape[:2])
            states, own = with_tokens(states, own, self.registers[...], there)
        attend = same_jet(own)
        if bias is not None:
            more = states.shape[1] - bias.shape[-1]
            bias = jnp.pad(bias, (*[(0, 0)] * 3, (0, more), (0, more)))
        for number, layer in enumerate(self.layers):
            of_layer = None if bias is None else bias[number]
            states = layer(states, attend, key_of(key, str(number)), of_layer)
        if self.output is None:
            return self.norm(states).astype(jnp.float32), own
        if self.norm_after:
            return self.norm(self.output(states)).astype(jnp.float32), own
        return self.output(self.norm(states)).astype(jnp.float32), own
