"""Attention pooling of a set into one vector."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.model.attention import NEVER


class AttentionPooling(nnx.Module):
    """Mean of the elements weighted by the softmax of a learned score; zero for an empty set.

    Args:
        embed_dim: width E.
        dtype: type of the arithmetic of the score.
        rngs: source of the initial parameters.
    """

    def __init__(self, embed_dim: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.score = nnx.Linear(embed_dim, 1, dtype=dtype, rngs=rngs)

    def __call__(
        self, elements: Float[Array, "B N E"], valid: Bool[Array, "B N"]
    ) -> Float[Array, "B E"]:
        score = self.score(elements)[..., 0].astype(jnp.float32)
        weights = jax.nn.softmax(jnp.where(valid, score, NEVER)) * valid
        return jnp.einsum("bn,bne->be", weights, elements.astype(jnp.float32))
