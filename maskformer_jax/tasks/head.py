"""The head of tasks whose entries are jets or the constituents of a stream."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from maskformer_jax.model.layers import Dense, key_of
from maskformer_jax.model.network import Features, to_constituents
from maskformer_jax.model.pooling import AttentionPooling
from maskformer_jax.tasks.task import Context
from maskformer_jax.types import JETS, Batch, Outputs


class EntryHead(nnx.Module):
    """Outputs of each jet `[B, C]`, or of each constituent of a stream with its jet `[N, L, C]`.

    Args:
        of: `jets` or a stream.
        num_outputs: classes C, or values of a regression, for each.
        widths: hidden layers.
        context: of the task.
        pool_queries: objects task whose queries are pooled and joined; none: no such.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        of: str,
        num_outputs: int,
        widths: tuple[int, ...],
        context: Context,
        pool_queries: str | None,
        rngs: nnx.Rngs,
    ):
        sizes, style = context.widths, context.style
        self.of, self.pool_queries = of, pool_queries
        width = sizes.pooled + (sizes.constituent if of != JETS or pool_queries else 0)
        pooling = AttentionPooling(sizes.constituent, style, rngs) if pool_queries else None
        self.pooling = pooling
        self.network = Dense(width, widths, num_outputs, style, rngs)

    def __call__(
        self, features: Features, outputs: Outputs, batch: Batch, key: Key[Array, ""] | None
    ) -> Float[Array, "... C"]:
        del batch
        if self.of != JETS:
            own = features.own[self.of]
            states = [features.streams[self.of], to_constituents(features.pooled, own)]
            return self.network(jnp.concatenate(states, axis=-1), key_of(key, "head"))
        pooled = features.pooled.reshape(-1, features.pooled.shape[-1])
        if self.pooling is not None:
            queries = outputs[self.pool_queries].queries
            every = jnp.ones((queries.shape[0], 1, queries.shape[1]), dtype=bool)
            pooled = jnp.concatenate([pooled, self.pooling(queries, every)[:, 0]], -1)
        return self.network(pooled, key_of(key, "head"))
