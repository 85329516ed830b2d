"""The pieces that encoder, decoder and heads are made of."""

import itertools
import zlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "mish": jax.nn.mish,
}


class Style(NamedTuple):
    """What all layers of a network have in common.

    Attributes:
        norm: layer_norm, rms_norm, or none: nothing where a norm would stand.
        learnt_norm: whether norms have parameters.
        epsilon: added to the variance by a norm.
        position: of the norms, as `model.encoder.norm_position`.
        gated: feed-forward layers with a gate.
        activation: an entry of `ACTIVATIONS`.
        dropout: probability of dropping an activation of encoder and decoder.
        head_dropout: likewise in heads.
        dtype: of the arithmetic; parameters and sums are float32.
    """

    norm: Literal["layer_norm", "rms_norm", "none"] = "layer_norm"
    learnt_norm: bool = True
    epsilon: float = 1e-6
    position: Literal["pre", "post", "hybrid"] = "pre"
    gated: bool = False
    activation: str = "relu"
    dropout: float = 0.0
    head_dropout: float = 0.0
    dtype: jnp.dtype = jnp.dtype("float32")

    def make_norm(self, width: int, rngs: nnx.Rngs) -> Callable[[Array], Array]:
        """A norm over the last axis."""
        if self.norm == "none":
            return _unchanged
        options = {"epsilon": self.epsilon, "dtype": self.dtype, "rngs": rngs}
        if self.norm == "rms_norm":
            return nnx.RMSNorm(width, use_scale=self.learnt_norm, **options)
        learnt = self.learnt_norm
        return nnx.LayerNorm(width, use_scale=learnt, use_bias=learnt, **options)


def _unchanged(x: Array) -> Array:
    return x


def key_of(key: Key[Array, ""] | None, name: str) -> Key[Array, ""] | None:
    """The key of a part of the network, by its name: other parts have no influence on it."""
    return None if key is None else jax.random.fold_in(key, zlib.crc32(name.encode()))


def dropout(x: Float[Array, "..."], rate: float, key: Key[Array, ""] | None) -> Float[Array, "..."]:
    """Drops entries with probability `rate` and scales up the others; without a key none."""
    if key is None or rate == 0:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0).astype(x.dtype)


class Dense(nnx.Module):
    """Linear layers with an activation between them; the output is float32.

    Args:
        num_inputs: width of the input.
        widths: widths of the hidden layers.
        num_outputs: width of the output.
        style: activation and type; dropout where `key` is given in the call.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        num_inputs: int,
        widths: tuple[int, ...],
        num_outputs: int,
        style: Style,
        rngs: nnx.Rngs,
    ):
        sizes = itertools.pairwise((num_inputs, *widths, num_outputs))
        self.style = style
        self.layers = nnx.List(nnx.Linear(a, b, dtype=style.dtype, rngs=rngs) for a, b in sizes)

    def __call__(
        self, x: Float[Array, "... A"], key: Key[Array, ""] | None = None
    ) -> Float[Array, "... Z"]:
        return self.after_first(self.layers[0](x), key)

    def after_first(
        self, x: Float[Array, "... A"], key: Key[Array, ""] | None = None
    ) -> Float[Array, "... Z"]:
        """The output, from that of the first layer before its activation."""
        activation = ACTIVATIONS[self.style.activation]
        for number, layer in enumerate(self.layers[1:]):
            x = dropout(activation(x), self.style.head_dropout, key_of(key, str(number)))
            x = layer(x)
        return x.astype(jnp.float32)


class FeedForward(nnx.Module):
    """Two linear layers with an activation between them, with a gate if the style has it.

    Args:
        embed_dim: width E of input and output.
        hidden_dim: width of the hidden layer.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(self, embed_dim: int, hidden_dim: int, style: Style, rngs: nnx.Rngs):
        self.style = style
        width = hidden_dim * (2 if style.gated else 1)
        self.hidden = nnx.Linear(embed_dim, width, dtype=style.dtype, rngs=rngs)
        self.output = nnx.Linear(hidden_dim, embed_dim, dtype=style.dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "B N E"]) -> Float[Array, "B N E"]:
        activation = ACTIVATIONS[self.style.activation]
        if not self.style.gated:
            return self.output(activation(self.hidden(x)))
        passed, gate = jnp.split(self.hidden(x), 2, axis=-1)
        return self.output(activation(passed) * gate)


class Residual(nnx.Module):
    """Adds what a layer makes of a state to that state, which stays in float32.

    With `pre` norm the layer sees the normalised state, with `post` norm the sum is normalised.

    Args:
        embed_dim: width E.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(self, embed_dim: int, style: Style, rngs: nnx.Rngs):
        self.style = style
        self.norm = style.make_norm(embed_dim, rngs)

    def __call__(
        self,
        state: Float[Array, "B N E"],
        layer: Callable[[Float[Array, "B N E"]], Float[Array, "B N E"]],
        key: Key[Array, ""] | None,
    ) -> Float[Array, "B N E"]:
        if self.style.position == "post":
            return self.norm(self._sum(state, layer(state), key)).astype(jnp.float32)
        return self._sum(state, layer(self.norm(state)), key)

    def _sum(self, state: Array, update: Array, key: Key[Array, ""] | None) -> Array:
        return state + dropout(update, self.style.dropout, key).astype(jnp.float32)
