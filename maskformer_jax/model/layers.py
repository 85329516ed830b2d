"""The pre-norm residual pieces that encoder and decoder are made of."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class FeedForward(nnx.Module):
    """Two linear layers with a ReLU between them.

    Args:
        embed_dim: width E of input and output.
        hidden_dim: width of the hidden layer.
        dtype: type of the arithmetic.
        rngs: source of the initial parameters.
    """

    def __init__(self, embed_dim: int, hidden_dim: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(embed_dim, hidden_dim, dtype=dtype, rngs=rngs)
        self.output = nnx.Linear(hidden_dim, embed_dim, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "B N E"]) -> Float[Array, "B N E"]:
        return self.output(jax.nn.relu(self.hidden(x)))


class Residual(nnx.Module):
    """Adds the dropped-out output of a layer to the stream, which stays in float32.

    Args:
        dropout: probability of dropping an activation when `rngs` is given in the call.
    """

    def __init__(self, dropout: float):
        self.dropout = nnx.Dropout(dropout)

    def __call__(
        self, stream: Float[Array, "B N E"], update: Float[Array, "B N E"], rngs: nnx.Rngs | None
    ) -> Float[Array, "B N E"]:
        update = self.dropout(update, deterministic=rngs is None, rngs=rngs)
        return stream + update.astype(stream.dtype)
