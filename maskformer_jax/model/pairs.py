"""What two constituents of a jet have in common, as terms of the logits of attention.

Pairwise inputs as a bias of the attention: Particle Transformer, arXiv 2202.03772, Section 3.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from maskformer_jax.model.layers import Dense, Style

HIDDEN_WIDTHS = (16, 16)
# Differences below this fraction of the spread of an input are not told apart.
FINEST = 1e-3


def differences(values: Float[Array, "N L P"]) -> Float[Array, "N L L R"]:
    """Of every two constituents in each input: with its sign, and the logarithm of its size."""
    signed = values[:, :, None] - values[:, None]
    size = jnp.log(jnp.sqrt(jnp.square(signed) + FINEST**2))
    return jnp.concatenate([signed, size], axis=-1)


class PairBias(nnx.Module):
    """A term for every head of every layer, zero at the start.

    Args:
        num_inputs: inputs P of a constituent that are compared.
        num_layers: of the encoder.
        num_heads: attention heads.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, num_inputs: int, num_layers: int, num_heads: int, style: Style, rngs: nnx.Rngs
    ):
        self.num_layers = num_layers
        style = style._replace(head_dropout=0.0)
        self.network = Dense(2 * num_inputs, HIDDEN_WIDTHS, num_layers * num_heads, style, rngs)
        self.network.layers[-1].kernel[...] = jnp.zeros_like(self.network.layers[-1].kernel[...])

    def __call__(self, values: Float[Array, "N L P"]) -> Float[Array, "K N H L L"]:
        """Terms of each of the K layers."""
        found = self.network(differences(values))
        num_rows, length = values.shape[:2]
        found = found.reshape(num_rows, length, length, self.num_layers, -1)
        return jnp.transpose(found, (3, 0, 4, 1, 2))
