"""Attention pooling of sets into one vector each."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.model.attention import NEVER


class AttentionPooling(nnx.Module):
    """Means of the elements weighted by the softmax of a learned score; zero for an empty set.

    Several sets may share a row of elements: `valid` says which of them belong to each.

    Args:
        embed_dim: width E.
        dtype: type of the arithmetic of the score.
        rngs: source of the initial parameters.
    """

    def __init__(self, embed_dim: int, *, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.score = nnx.Linear(embed_dim, 1, dtype=dtype, rngs=rngs)

    def __call__(
        self, elements: Float[Array, "N L E"], valid: Bool[Array, "N J L"]
    ) -> Float[Array, "N J E"]:
        score = self.score(elements)[..., 0].astype(jnp.float32)
        weights = jax.nn.softmax(jnp.where(valid, score[:, None], NEVER)) * valid
        return jnp.einsum("njl,nle->nje", weights, elements.astype(jnp.float32))
