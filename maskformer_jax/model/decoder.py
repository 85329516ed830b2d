"""The object decoder: queries that become hadrons, and the masks of their tracks.

Masked attention and the order of the sub-layers follow Mask2Former (arXiv 2112.01527); tracks are
updated from the queries in every layer, as in the ATLAS MaskFormer (Section 4.1 of the thesis).
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.model.attention import MultiHeadAttention
from maskformer_jax.model.heads import Head
from maskformer_jax.model.layers import FeedForward, Residual
from maskformer_jax.types import Objects


def attend_to_mask(
    mask_logits: Float[Array, "N S L"], own: Bool[Array, "N S L"]
) -> Bool[Array, "N S L"]:
    """True where a query attends: its positive mask, or every track of its jet if that is empty.

    Args:
        mask_logits: of every query of the row with every track.
        own: True where the track belongs to the jet of the query.
    """
    positive = (mask_logits > 0) & own
    return positive | (~positive.any(-1, keepdims=True) & own)


class DecoderLayer(nnx.Module):
    """Queries look at their tracks and at each other; then the tracks look at the queries.

    The queries of all jets of a row stand side by side, `S = J Q` of them; nothing passes from one
    jet to another.

    Args:
        embed_dim: width E.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layers.
        dropout: probability of dropping an activation.
        dtype: type of the arithmetic.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        hidden_dim: int,
        dropout: float,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        def norm() -> nnx.LayerNorm:
            return nnx.LayerNorm(embed_dim, dtype=dtype, rngs=rngs)

        def attention() -> MultiHeadAttention:
            return MultiHeadAttention(embed_dim, num_heads, dtype=dtype, rngs=rngs)

        def feedforward() -> FeedForward:
            return FeedForward(embed_dim, hidden_dim, dtype=dtype, rngs=rngs)

        self.cross_norm, self.cross_attention = norm(), attention()
        self.track_norm = norm()
        self.self_norm, self.self_attention = norm(), attention()
        self.query_norm, self.query_feedforward = norm(), feedforward()
        self.update_norm, self.update_attention = norm(), attention()
        self.update_query_norm = norm()
        self.tracks_norm, self.track_feedforward = norm(), feedforward()
        self.residual = Residual(dropout)

    def __call__(
        self,
        queries: Float[Array, "N S E"],
        tracks: Float[Array, "N L E"],
        attend: Bool[Array, "N S L"],
        own: Bool[Array, "N J L"],
        rngs: nnx.Rngs | None,
    ) -> tuple[Float[Array, "N S E"], Float[Array, "N L E"]]:
        num_jets, num_queries = own.shape[1], queries.shape[1] // own.shape[1]
        update = self.cross_attention(self.cross_norm(queries), self.track_norm(tracks), attend)
        queries = self.residual(queries, update, rngs)
        normed = self.self_norm(queries).reshape(-1, num_queries, queries.shape[-1])
        update = self.self_attention(normed, normed).reshape(queries.shape)
        queries = self.residual(queries, update, rngs)
        update = self.query_feedforward(self.query_norm(queries))
        queries = self.residual(queries, update, rngs)
        of_jet = jnp.repeat(own, num_queries, axis=1).swapaxes(1, 2) if num_jets > 1 else None
        update = self.update_attention(
            self.update_norm(tracks), self.update_query_norm(queries), of_jet
        )
        tracks = self.residual(tracks, update, rngs)
        update = self.track_feedforward(self.tracks_norm(tracks))
        return queries, self.residual(tracks, update, rngs)


class ObjectHeads(nnx.Module):
    """Class, mask and regression of every query, from the state of the decoder.

    The mask logit of query q and track l is the product of the query's mask token and the
    normalised track embedding over sqrt(E).

    Args:
        embed_dim: width E.
        widths: hidden layers of each head.
        num_classes: hadron classes with `none`.
        num_targets: regression targets R.
        dtype: type of the arithmetic.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        embed_dim: int,
        widths: tuple[int, ...],
        num_classes: int,
        num_targets: int,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.query_norm = nnx.LayerNorm(embed_dim, dtype=dtype, rngs=rngs)
        self.track_norm = nnx.LayerNorm(embed_dim, dtype=dtype, rngs=rngs)
        self.object_class = Head(embed_dim, widths, num_classes, dtype=dtype, rngs=rngs)
        self.mask_token = Head(embed_dim, widths, embed_dim, dtype=dtype, rngs=rngs)
        self.regression = Head(embed_dim, widths, num_targets, dtype=dtype, rngs=rngs)

    def masks(
        self, queries: Float[Array, "N S E"], tracks: Float[Array, "N L E"]
    ) -> Float[Array, "N S L"]:
        """Mask logits alone, for the masked attention of the next layer."""
        tokens = self.mask_token(self.query_norm(queries))
        embedding = self.track_norm(tracks)
        logits = jnp.einsum(
            "bqe,ble->bql",
            tokens.astype(embedding.dtype),
            embedding,
            preferred_element_type=jnp.float32,
        )
        return logits / jnp.sqrt(jnp.float32(tracks.shape[-1]))

    def __call__(
        self, queries: Float[Array, "N S E"], tracks: Float[Array, "N L E"], num_jets: int
    ) -> Objects:
        """Predictions jet by jet, `num_jets` of a row."""
        normed = self.query_norm(queries)
        of_row = Objects(
            class_logits=self.object_class(normed),
            mask_logits=self.masks(queries, tracks),
            regression=self.regression(normed),
        )
        num_queries = queries.shape[1] // num_jets
        return Objects(*(x.reshape(-1, num_queries, x.shape[-1]) for x in of_row))
