"""The object decoder: queries that become objects, and the masks of their constituents.

Masked attention and the order of the sub-layers follow Mask2Former (arXiv 2112.01527); constituents
are updated from the queries in every layer, as in the ATLAS MaskFormer (Section 4.1 of the thesis).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from maskformer_jax.model.attention import MultiHeadAttention, records
from maskformer_jax.model.encoder import with_tokens
from maskformer_jax.model.layers import FeedForward, Residual, Style, key_of
from maskformer_jax.model.network import Features
from maskformer_jax.model.object_heads import ObjectHeads
from maskformer_jax.types import Batch, Objects, Outputs

Norms = Literal["inside", "first", "behind"]


class Decoded(NamedTuple):
    """What a decoder gives.

    Attributes:
        objects: predictions of the last layer.
        intermediate: those of the states before each layer but the first; empty unless asked for.
        queries: final states of the queries, for heads that read them.
    """

    objects: Objects
    intermediate: tuple[Objects, ...]
    queries: Float[Array, "B Q E"]


def attend_to_mask(
    mask_logits: Float[Array, "N S L"], own: Bool[Array, "N S L"], threshold: float = 0.0
) -> Bool[Array, "N S L"]:
    """True where a query attends: its positive mask, or all of its jet if that is empty.

    Args:
        mask_logits: of every query of the row with every constituent.
        own: True where the constituent belongs to the jet of the query.
        threshold: logit above which a constituent is of the mask.
    """
    positive = (mask_logits > threshold) & own
    return positive | (~positive.any(-1, keepdims=True) & own)


class DecoderLayer(nnx.Module):
    """Queries look at their constituents and at each other; then these look at the queries.

    The queries of all jets of a row stand side by side, `S = J Q` of them; nothing passes from one
    jet to another. Norms stand inside, before each sub-layer, or once behind all of them.

    Args:
        embed_dim: width E.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layers.
        style: of the network.
        rngs: source of the initial parameters.
        norms: where they stand.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden_dim: int,
        style: Style,
        rngs: nnx.Rngs,
        norms: Norms = "inside",
    ):
        behind = style if norms == "behind" else style._replace(norm="none")
        style = style._replace(position="pre", norm=style.norm if norms == "inside" else "none")

        def attention() -> MultiHeadAttention:
            return MultiHeadAttention(embed_dim, num_heads, dtype=style.dtype, rngs=rngs)

        self.cross, self.cross_attention = Residual(embed_dim, style, rngs), attention()
        self.constituent_norm = style.make_norm(embed_dim, rngs)
        self.between, self.self_attention = Residual(embed_dim, style, rngs), attention()
        self.query, self.query_feedforward = (
            Residual(embed_dim, style, rngs),
            FeedForward(embed_dim, hidden_dim, style, rngs),
        )
        self.update, self.update_attention = Residual(embed_dim, style, rngs), attention()
        self.query_norm = style.make_norm(embed_dim, rngs)
        self.constituent, self.constituent_feedforward = (
            Residual(embed_dim, style, rngs),
            FeedForward(embed_dim, hidden_dim, style, rngs),
        )
        self.queries_behind = behind.make_norm(embed_dim, rngs)
        self.constituents_behind = behind.make_norm(embed_dim, rngs)

    def __call__(
        self,
        queries: Float[Array, "N S E"],
        states: Float[Array, "N L E"],
        attend: Bool[Array, "N S L"],
        own: Bool[Array, "N J L"],
        key: Key[Array, ""] | None,
    ) -> tuple[Float[Array, "N S E"], Float[Array, "N L E"]]:
        num_jets, num_queries = own.shape[1], queries.shape[1] // own.shape[1]

        def to_constituents(x: Float[Array, "N S E"]) -> Float[Array, "N S E"]:
            return self.cross_attention(x, self.constituent_norm(states), attend)

        def to_each_other(x: Float[Array, "N S E"]) -> Float[Array, "N S E"]:
            of_jet = x.reshape(-1, num_queries, x.shape[-1])
            return self.self_attention(of_jet, of_jet).reshape(x.shape)

        def to_queries(x: Float[Array, "N L E"]) -> Float[Array, "N L E"]:
            of_jet = None
            if num_jets > 1:
                of_jet = jnp.repeat(own, num_queries, axis=1).swapaxes(1, 2)
            return self.update_attention(x, self.query_norm(queries), of_jet)

        queries = self.cross(queries, to_constituents, key_of(key, "cross"))
        queries = self.between(queries, to_each_other, key_of(key, "between"))
        queries = self.query(queries, self.query_feedforward, key_of(key, "query"))
        states = self.update(states, to_queries, key_of(key, "update"))
        states = self.constituent(states, self.constituent_feedforward, key_of(key, "constituent"))
        return self.queries_behind(queries), self.constituents_behind(states)


class Decoder(nnx.Module):
    """Learnt queries, the layers of the decoder and the heads of the objects.

    Args:
        embed_dim: width E.
        num_queries: queries Q of a jet.
        num_layers: layers.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layers.
        heads: of the objects.
        intermediate: return the predictions before the last layer as well.
        style: of the network.
        rngs: source of the initial parameters.
        norms: `inside` of the layers; `first`, of queries and constituents before all layers; or
            there and once more `behind` each layer.
        threshold: mask logit above which a query attends to a constituent.
        dummy: every jet has a constituent of zeros beside its own, without a mask.
    """

    def __init__(
        self,
        embed_dim: int,
        num_queries: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        heads: ObjectHeads,
        intermediate: bool,
        style: Style,
        rngs: nnx.Rngs,
        norms: Norms = "inside",
        threshold: float = 0.0,
        dummy: bool = False,
    ):
        self.intermediate, self.threshold, self.dummy = intermediate, threshold, dummy
        self.queries = nnx.Param(rngs.normal((num_queries, embed_dim)))
        first = style._replace(norm="none") if norms == "inside" else style
        self.queries_first = first.make_norm(embed_dim, rngs)
        self.constituents_first = first.make_norm(embed_dim, rngs)
        self.layers = nnx.List(
            DecoderLayer(embed_dim, num_heads, hidden_dim, style, rngs, norms)
            for _ in range(num_layers)
        )
        self.heads = heads

    def __call__(
        self,
        states: Float[Array, "N L E"],
        own: Bool[Array, "N J L"],
        values: Float[Array, "N L F"],
        key: Key[Array, ""] | None = None,
    ) -> Decoded:
        num_rows, num_jets, width = own.shape
        num_queries = len(self.queries[...])
        queries = jnp.tile(self.queries_first(self.queries[...]), (num_rows, num_jets, 1))
        states = self.constituents_first(states)
        if self.dummy:
            zero, there = jnp.zeros_like(states[0, :1]), jnp.ones(own.shape[:2], bool)
            states, own = with_tokens(states, own, zero, there)
        of_query = jnp.repeat(own, num_queries, axis=1)

        def read(key: Key[Array, ""] | None) -> Objects:
            own = of_query[..., :width]
            return self.heads(queries, states[:, :width], num_jets, key, values, own)

        intermediate = []
        for number, layer in enumerate(self.layers):
            at = key_of(key, str(number))
            if self.intermediate and number > 0:
                intermediate.append(read(key_of(at, "heads")))
            masks = self.heads.masks(queries, states, key_of(at, "heads"))
            attend = of_query
            if masks is not None:
                attend = attend_to_mask(masks, of_query, self.threshold)
                if (found := records("mask_logits")) is not None:
                    apart = jnp.where(of_query, masks - self.threshold, jnp.inf)
                    found[f"{id(self)}.{number}"] = apart
            queries, states = layer(queries, states, attend, own, at)
        return Decoded(
            read(key_of(key, "heads")),
            tuple(intermediate),
            queries.reshape(num_rows * num_jets, num_queries, -1),
        )


class ObjectsHead(nnx.Module):
    """The decoder on the constituents of a stream.

    Args:
        of: the stream.
        decoder: `decoder(rngs)`.
        rngs: source of the initial parameters.
    """

    def __init__(self, of: str, decoder: Callable[[nnx.Rngs], Decoder], rngs: nnx.Rngs):
        self.of, self.decoder = of, decoder(rngs)

    def __call__(
        self, features: Features, outputs: Outputs, batch: Batch, key: Key[Array, ""] | None
    ) -> Decoded:
        del outputs
        values = batch.streams[self.of].values
        return self.decoder(features.streams[self.of], features.own[self.of], values, key)
