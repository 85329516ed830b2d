"""Task heads: dense networks from an embedding to logits or regressed values."""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Head(nnx.Module):
    """Linear layers with ReLU between them; the output is float32.

    Args:
        num_inputs: width of the input.
        widths: widths of the hidden layers.
        num_outputs: width of the output.
        dtype: type of the arithmetic.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        num_inputs: int,
        widths: tuple[int, ...],
        num_outputs: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        sizes = (num_inputs, *widths, num_outputs)
        self.layers = nnx.List(
            nnx.Linear(a, b, dtype=dtype, rngs=rngs) for a, b in itertools.pairwise(sizes)
        )

    def __call__(self, x: Float[Array, "... E"]) -> Float[Array, "... C"]:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x).astype(jnp.float32)
