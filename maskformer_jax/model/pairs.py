"""What two constituents of a jet have in common, as terms of the logits of attention.

Pairwise inputs as a bias of the attention: Particle Transformer, arXiv 2202.03772, Section 3.
"""

from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from maskformer_jax.model.layers import Dense, Style
from maskformer_jax.types import Batch

HIDDEN_WIDTHS = (16, 16)
# Differences below this fraction of the spread of an input are not told apart.
FINEST = 1e-3


def differences(values: Float[Array, "N L P"]) -> Float[Array, "N L L R"]:
    """Of every two constituents in each input: with its sign, and the logarithm of its size."""
    signed = values[:, :, None] - values[:, None]
    size = jnp.log(jnp.sqrt(jnp.square(signed) + FINEST**2))
    return jnp.concatenate([signed, size], axis=-1)


class PairBias(nnx.Module):
    """A term for every head of every layer, zero at the start; each stream has its own network.

    Args:
        inputs: stream -> its inputs that are compared.
        num_layers: K of the encoder.
        num_heads: attention heads H.
        style: of the network.
        rngs_of: name of a part -> source of its initial parameters.
    """

    def __init__(
        self,
        inputs: Mapping[str, tuple[int, ...]],
        num_layers: int,
        num_heads: int,
        style: Style,
        rngs_of: Callable[[str], nnx.Rngs],
    ):
        self.inputs, self.num_layers = dict(inputs), num_layers
        style = style._replace(head_dropout=0.0)

        def network(stream: str) -> Dense:
            sizes = (2 * len(inputs[stream]), HIDDEN_WIDTHS, num_layers * num_heads)
            made = Dense(*sizes, style, rngs_of(f"pairs.{stream}"))
            last = made.layers[-1].kernel
            last[...] = jnp.zeros_like(last[...])
            return made

        self.networks = nnx.Dict({stream: network(stream) for stream in inputs})

    def __call__(self, batch: Batch, order: Sequence[str]) -> Float[Array, "K N H L L"]:
        """Terms of all constituents of a row, joined in this order; zero between two streams."""
        widths = [batch.streams[stream].values.shape[1] for stream in order]
        terms, begin = jnp.zeros(()), 0
        for stream, width in zip(order, widths, strict=True):
            if stream in self.inputs:
                around = (begin, sum(widths) - begin - width)
                own = self._of_stream(stream, batch.streams[stream].values)
                terms += jnp.pad(own, (*[(0, 0)] * 3, around, around))
            begin += width
        return terms

    def _of_stream(self, stream: str, values: Float[Array, "N L F"]) -> Float[Array, "K N H L L"]:
        found = self.networks[stream](differences(values[..., list(self.inputs[stream])]))
        found = found.reshape(*found.shape[:3], self.num_layers, -1)
        return jnp.transpose(found, (3, 0, 4, 1, 2))
