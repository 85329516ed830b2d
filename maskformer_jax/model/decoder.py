"""The object decoder: queries that become objects, and the masks of their constituents.

Masked attention and the order of the sub-layers follow Mask2Former (arXiv 2112.01527); constituents
are updated from the queries in every layer, as in the ATLAS MaskFormer (Section 4.1 of the thesis).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from maskformer_jax.model.attention import MultiHeadAttention
from maskformer_jax.model.layers import Dense, FeedForward, Residual, Style, key_of
from maskformer_jax.model.network import Features
from maskformer_jax.types import Batch, Objects, Outputs


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
    mask_logits: Float[Array, "N S L"], own: Bool[Array, "N S L"]
) -> Bool[Array, "N S L"]:
    """True where a query attends: its positive mask, or all of its jet if that is empty.

    Args:
        mask_logits: of every query of the row with every constituent.
        own: True where the constituent belongs to the jet of the query.
    """
    positive = (mask_logits > 0) & own
    return positive | (~positive.any(-1, keepdims=True) & own)


class DecoderLayer(nnx.Module):
    """Queries look at their constituents and at each other; then these look at the queries.

    The queries of all jets of a row stand side by side, `S = J Q` of them; nothing passes from one
    jet to another. Norms stand before the layers.

    Args:
        embed_dim: width E.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layers.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, hidden_dim: int, style: Style, rngs: nnx.Rngs
    ):
        style = style._replace(post_norm=False)

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
        return queries, self.constituent(
            states, self.constituent_feedforward, key_of(key, "constituent")
        )


class ObjectHeads(nnx.Module):
    """Class, mask and regression of every query, from the state of the decoder.

    The mask logit of query q and constituent l is the product of the query's mask token and the
    normalised state of the constituent over sqrt(E). What has no loss has no head.

    Args:
        embed_dim: width E.
        widths: hidden layers of each head.
        num_classes: classes with `none`; 0: no such head.
        num_targets: regression targets R; 0: no such head.
        has_masks: whether there are masks.
        style: of the network.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        embed_dim: int,
        widths: tuple[int, ...],
        num_classes: int,
        num_targets: int,
        has_masks: bool,
        style: Style,
        rngs: nnx.Rngs,
    ):
        def head(width: int) -> Dense | None:
            return Dense(embed_dim, widths, width, style, rngs) if width else None

        self.query_norm = style.make_norm(embed_dim, rngs)
        self.constituent_norm = style.make_norm(embed_dim, rngs) if has_masks else None
        self.object_class = head(num_classes)
        self.mask_token = head(embed_dim if has_masks else 0)
        self.regression = head(num_targets)

    def masks(
        self,
        queries: Float[Array, "N S E"],
        states: Float[Array, "N L E"],
        key: Key[Array, ""] | None,
    ) -> Float[Array, "N S L"] | None:
        """Mask logits alone, for the masked attention of the next layer; none without masks."""
        if self.mask_token is None:
            return None
        tokens = self.mask_token(self.query_norm(queries), key_of(key, "mask_token"))
        embedding = self.constituent_norm(states)
        logits = jnp.einsum(
            "bqe,ble->bql",
            tokens.astype(embedding.dtype),
            embedding,
            preferred_element_type=jnp.float32,
        )
        return logits / jnp.sqrt(jnp.float32(states.shape[-1]))

    def __call__(
        self,
        queries: Float[Array, "N S E"],
        states: Float[Array, "N L E"],
        num_jets: int,
        key: Key[Array, ""] | None,
    ) -> Objects:
        """Predictions jet by jet, `num_jets` of a row."""
        normed = self.query_norm(queries)
        masks = self.masks(queries, states, key)
        num_queries = queries.shape[1] // num_jets

        def of_jets(x: Float[Array, "N S X"]) -> Float[Array, "B Q X"]:
            return x.reshape(-1, num_queries, x.shape[-1])

        def read(head: Dense | None, name: str) -> Float[Array, "B Q X"] | None:
            return None if head is None else of_jets(head(normed, key_of(key, name)))

        return Objects(
            class_logits=read(self.object_class, "object_class"),
            mask_logits=None if masks is None else of_jets(masks),
            regression=read(self.regression, "regression"),
        )


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
    ):
        self.intermediate = intermediate
        self.queries = nnx.Param(rngs.normal((num_queries, embed_dim)))
        self.layers = nnx.List(
            DecoderLayer(embed_dim, num_heads, hidden_dim, style, rngs) for _ in range(num_layers)
        )
        self.heads = heads

    def __call__(
        self,
        states: Float[Array, "N L E"],
        own: Bool[Array, "N J L"],
        key: Key[Array, ""] | None = None,
    ) -> Decoded:
        num_rows, num_jets, _ = own.shape
        num_queries = len(self.queries[...])
        queries = jnp.tile(self.queries[...], (num_rows, num_jets, 1))
        of_query = jnp.repeat(own, num_queries, axis=1)
        intermediate = []
        for number, layer in enumerate(self.layers):
            at = key_of(key, str(number))
            if self.intermediate and number > 0:
                intermediate.append(self.heads(queries, states, num_jets, key_of(at, "heads")))
            masks = self.heads.masks(queries, states, key_of(at, "heads"))
            attend = of_query if masks is None else attend_to_mask(masks, of_query)
            queries, states = layer(queries, states, attend, own, at)
        return Decoded(
            self.heads(queries, states, num_jets, key_of(key, "heads")),
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
        del outputs, batch
        return self.decoder(features.streams[self.of], features.own[self.of], key)
