"""The MaskFormer: a batch of jets in, the predictions of all six tasks out.

Encoder and pooling serve all tasks, the decoder the four object tasks. Section 4.1 and Figure 4.1
of the thesis.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Key

from maskformer_jax.config import Config
from maskformer_jax.model.decoder import DecoderLayer, ObjectHeads, attend_to_mask
from maskformer_jax.model.encoder import EncoderLayer, TrackEmbedding
from maskformer_jax.model.heads import Head
from maskformer_jax.model.pooling import AttentionPooling
from maskformer_jax.types import Batch, Outputs, jets_of_rows

Params = dict[str, Any]
Apply = Callable[..., Outputs]


class MaskFormer(nnx.Module):
    """Track encoder, object decoder and task heads.

    Args:
        num_inputs: track and jet inputs together, F + J.
        position_index: columns of the track inputs that are encoded as positions.
        embed_dim: width E.
        encoder_layers: self-attention layers over the tracks.
        decoder_layers: layers of the object decoder.
        num_heads: attention heads.
        hidden_dim: width of the feed-forward layers.
        head_widths: hidden layers of each task head.
        num_queries: object queries Q.
        num_jet_classes: jet flavours.
        num_origin_classes: track origins.
        num_object_classes: hadron classes with `none`.
        num_targets: regression targets R.
        dropout: probability of dropping an activation in training.
        pool_queries: give the pooled queries to the jet-class head too.
        intermediate: return the predictions of the layers before the last as well.
        dtype: type of the arithmetic; parameters are float32.
        rngs: source of the initial parameters.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        position_index: tuple[int, ...],
        embed_dim: int,
        encoder_layers: int,
        decoder_layers: int,
        num_heads: int,
        hidden_dim: int,
        head_widths: tuple[int, ...],
        num_queries: int,
        num_jet_classes: int,
        num_origin_classes: int,
        num_object_classes: int,
        num_targets: int,
        dropout: float,
        pool_queries: bool,
        intermediate: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        make = {"dtype": dtype, "rngs": rngs}
        layer = (embed_dim, num_heads, hidden_dim, dropout)
        self.intermediate = intermediate
        self.embedding = TrackEmbedding(num_inputs, embed_dim, position_index, **make)
        self.encoder = nnx.List(EncoderLayer(*layer, **make) for _ in range(encoder_layers))
        self.encoder_norm = nnx.LayerNorm(embed_dim, dtype=dtype, rngs=rngs)
        self.pooling = AttentionPooling(embed_dim, **make)
        self.query_pooling = AttentionPooling(embed_dim, **make) if pool_queries else None
        pooled_dim = embed_dim * (2 if pool_queries else 1)
        self.jet_class = Head(pooled_dim, head_widths, num_jet_classes, **make)
        self.track_origin = Head(2 * embed_dim, head_widths, num_origin_classes, **make)
        self.queries = nnx.Param(rngs.normal((num_queries, embed_dim)))
        self.decoder = nnx.List(DecoderLayer(*layer, **make) for _ in range(decoder_layers))
        self.objects = ObjectHeads(embed_dim, head_widths, num_object_classes, num_targets, **make)

    def __call__(self, batch: Batch, rngs: nnx.Rngs | None = None) -> Outputs:
        """Predictions for a batch; dropout acts when `rngs` is given."""
        own = jets_of_rows(batch)
        num_rows, num_jets, _ = own.shape
        of_track = partial(jnp.einsum, "njl,nji->nli", own.astype(jnp.float32), precision="highest")
        tracks = self.embedding(of_track(batch.jets.reshape(num_rows, num_jets, -1)), batch.tracks)
        attend = same_jet(own)
        for layer in self.encoder:
            tracks = layer(tracks, attend, rngs)
        tracks = self.encoder_norm(tracks).astype(jnp.float32)
        pooled = self.pooling(tracks, own)
        origin_logits = self.track_origin(jnp.concatenate([tracks, of_track(pooled)], axis=-1))

        queries = jnp.tile(self.queries[...], (num_rows, num_jets, 1))
        own_tracks = jnp.repeat(own, len(self.queries[...]), axis=1)
        intermediate = []
        for i, layer in enumerate(self.decoder):
            if self.intermediate and i > 0:
                intermediate.append(self.objects(queries, tracks, num_jets))
            attend = attend_to_mask(self.objects.masks(queries, tracks), own_tracks)
            queries, tracks = layer(queries, tracks, attend, own, rngs)

        pooled = pooled.reshape(num_rows * num_jets, -1)
        if self.query_pooling is not None:
            of_jet = queries.reshape(len(pooled), -1, queries.shape[-1])
            every_query = jnp.ones((len(pooled), 1, of_jet.shape[1]), dtype=bool)
            pooled = jnp.concatenate([pooled, self.query_pooling(of_jet, every_query)[:, 0]], -1)
        return Outputs(
            jet_class_logits=self.jet_class(pooled),
            origin_logits=origin_logits,
            objects=self.objects(queries, tracks, num_jets),
            intermediate=tuple(intermediate),
        )


def same_jet(own: Bool[Array, "N J L"]) -> Bool[Array, "N #L L"]:
    """True where a track may look at another: both are of one jet."""
    if own.shape[1] == 1:
        return own
    jet = own.argmax(1)
    return (jet[:, :, None] == jet[:, None, :]) & own.any(1)[:, None]


def build(config: Config, seed: int) -> tuple[Apply, Params]:
    """The network as a pure function and its initial parameters.

    Args:
        config: sizes of the model and of the data.
        seed: seed of the initial parameters.

    Returns:
        `apply(params, batch, key=None) -> Outputs`, with dropout when `key` is given, and the
        parameters as nested dictionaries of float32 arrays.
    """
    model, data = config.model, config.data
    make = partial(
        MaskFormer,
        num_inputs=len(data.tracks.inputs) + len(data.jets.inputs),
        position_index=tuple(data.tracks.inputs.index(name) for name in model.position_fields),
        embed_dim=model.embed_dim,
        encoder_layers=model.encoder_layers,
        decoder_layers=model.decoder_layers,
        num_heads=model.num_heads,
        hidden_dim=model.embed_dim * model.feedforward_factor,
        head_widths=tuple(model.head_widths),
        num_queries=data.hadrons.cap,
        num_jet_classes=len(data.jets.classes),
        num_origin_classes=len(data.tracks.origin_classes),
        num_object_classes=len(data.hadrons.classes) + 1,
        num_targets=len(data.hadrons.targets),
        dropout=model.dropout,
        pool_queries=model.pool_queries,
        intermediate=config.loss.auxiliary,
        dtype=jnp.dtype(model.compute_dtype),
    )

    graph, variables = nnx.split(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))

    def apply(params: Params, batch: Batch, key: Key[Array, ""] | None = None) -> Outputs:
        state = jax.tree.map(lambda x: x, variables)
        nnx.replace_by_pure_dict(state, params)
        network = nnx.merge(graph, state)
        return network(batch, None if key is None else nnx.Rngs(dropout=key))

    return apply, nnx.to_pure_dict(nnx.state(make(rngs=nnx.Rngs(seed))))


def count_parameters(params: Params) -> dict[str, int]:
    """Number of parameters of each part of the model, by the name of the part."""
    return {
        part: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
        for part, tree in params.items()
    }


def parameter_table(params: Params) -> str:
    """The same as text, a line for each part and one for the total."""
    counts = count_parameters(params)
    rows = [*sorted(counts.items(), key=lambda row: -row[1]), ("total", sum(counts.values()))]
    return "\n".join(f"{name:<14}{count:>12,}" for name, count in rows)
