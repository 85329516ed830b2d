"""Pooling of the constituents of a jet into one vector; zero for a jet without any.

Several jets may share a row: `own` says which constituents belong to each.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.model.attention import NEVER
from maskformer_jax.model.layers import Style


class AttentionPooling(nnx.Module):
    """Means weighted by the softmax of a learnt score.

    Args:
        width: of the states.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(self, width: int, style: Style, rngs: nnx.Rngs):
        self.score = nnx.Linear(width, 1, dtype=style.dtype, rngs=rngs)

    def __call__(
        self, states: Float[Array, "N L E"], own: Bool[Array, "N J L"]
    ) -> Float[Array, "N J E"]:
        score = self.score(states)[..., 0].astype(jnp.float32)
        weights = jax.nn.softmax(jnp.where(own, score[:, None], NEVER)) * own
        return jnp.einsum("njl,nle->nje", weights, states.astype(jnp.float32))


class MeanPooling(nnx.Module):
    """Means, which have no parameter; the arguments are those of `AttentionPooling`."""

    def __init__(self, width: int, style: Style, rngs: nnx.Rngs):
        del width, style, rngs

    def __call__(
        self, states: Float[Array, "N L E"], own: Bool[Array, "N J L"]
    ) -> Float[Array, "N J E"]:
        return _sums(states, own) / jnp.maximum(own.sum(-1, keepdims=True), 1)


class SumPooling(MeanPooling):
    """Sums."""

    def __call__(
        self, states: Float[Array, "N L E"], own: Bool[Array, "N J L"]
    ) -> Float[Array, "N J E"]:
        return _sums(states, own)


def _sums(states: Float[Array, "N L E"], own: Bool[Array, "N J L"]) -> Float[Array, "N J E"]:
    states = states.astype(jnp.float32)
    return jnp.einsum("njl,nle->nje", own.astype(jnp.float32), states, precision="highest")


POOLINGS = {"attention": AttentionPooling, "mean": MeanPooling, "sum": SumPooling}
