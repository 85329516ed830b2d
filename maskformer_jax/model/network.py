"""The network: a batch of jets in, the output of every task's head out.

    streams -> embedding of each -> joined on L -> encoder -> pooling
                                                      |          |
                                         constituents +---- heads of the tasks

Heads are modules of the tasks; one may read what another, built before it, has given.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from maskformer_jax.errors import known
from maskformer_jax.model.attention import MultiHeadAttention
from maskformer_jax.model.config import ModelConfig
from maskformer_jax.model.encoder import Embedding, Encoder
from maskformer_jax.model.layers import Style, key_of
from maskformer_jax.model.pairs import PairBias
from maskformer_jax.model.pooling import POOLINGS
from maskformer_jax.types import JETS, Batch, Outputs

Params = dict[str, Any]
Apply = Callable[..., Outputs]


class Features(NamedTuple):
    """What the trunk of the network gives to the heads.

    Attributes:
        streams: states of the constituents of each stream.
        own: stream -> True where a constituent belongs to a jet of its row.
        pooled: the jets, with their inputs if these are joined here.
    """

    streams: Mapping[str, Float[Array, "N L D"]]
    own: Mapping[str, Bool[Array, "N J L"]]
    pooled: Float[Array, "N J D"]


class Widths(NamedTuple):
    """Of the `Features`.

    Attributes:
        constituent: of a constituent.
        pooled: of a pooled jet.
    """

    constituent: int
    pooled: int


class Head(Protocol):
    """The part of the network that a task brings, an `nnx.Module`."""

    def __call__(
        self, features: Features, outputs: Outputs, batch: Batch, key: Key[Array, ""] | None
    ) -> Any:
        """What the task predicts; `outputs` holds that of the tasks before it."""


def to_constituents(
    per_jet: Float[Array, "N J X"], own: Bool[Array, "N J L"]
) -> Float[Array, "N L X"]:
    """What belongs to a jet, at each of its constituents; zero at padding."""
    return jnp.einsum("njl,nji->nli", own.astype(jnp.float32), per_jet, precision="highest")


class Network(nnx.Module):
    """Embedding, encoder, pooling and heads.

    Args:
        inputs: stream -> number of its inputs, in the order in which they are joined.
        num_jet_inputs: inputs of a jet.
        positions: stream -> inputs that are encoded as positions.
        pairs: stream -> inputs in which its constituents are compared.
        model: sizes.
        style: of all layers.
        heads: task -> its head, in an order in which each finds what it reads.
        rngs_of: name of a part -> source of its initial parameters.
    """

    def __init__(
        self,
        inputs: Mapping[str, int],
        num_jet_inputs: int,
        positions: Mapping[str, tuple[int, ...]],
        pairs: Mapping[str, tuple[int, ...]],
        model: ModelConfig,
        style: Style,
        heads: Mapping[str, Callable[[nnx.Rngs], nnx.Module]],
        rngs_of: Callable[[str], nnx.Rngs],
    ):
        width = model.embed_dim
        of_embedding = _with_activation(style, model.embedding.activation)
        hidden = (width,) if model.embedding.widths is None else tuple(model.embedding.widths)
        self.order, self.heads_order = tuple(inputs), tuple(heads)
        self.pool_registers = model.encoder.pool_registers
        self.to_constituents = model.jet_inputs != "pooled" and num_jet_inputs > 0
        self.to_pooled = model.jet_inputs != "constituents" and num_jet_inputs > 0

        def embedding(name: str, num_inputs: int, index: tuple[int, ...]) -> Embedding:
            rngs = rngs_of(f"embedding.{name}")
            return Embedding(num_inputs, hidden, width, index, of_embedding, rngs)

        joined = num_jet_inputs if self.to_constituents else 0
        embeddings = {
            stream: embedding(stream, number + joined, positions.get(stream, ()))
            for stream, number in inputs.items()
        }
        self.embedding = nnx.Dict(embeddings or {JETS: embedding(JETS, num_jet_inputs, ())})
        encodes = bool(inputs and model.encoder.layers)
        self.encoder = _encoder(model, style, rngs_of("encoder")) if encodes else None
        sizes = (model.encoder.layers, model.num_heads, style)
        self.pairs = PairBias(pairs, *sizes, rngs_of) if encodes and pairs else None
        after = widths_of(model, num_jet_inputs, len(inputs)).constituent
        pool = POOLINGS[model.pooling.name]
        self.pooling = pool(after, style, rngs_of("pooling")) if inputs else None
        self.heads = nnx.Dict({name: head(rngs_of(name)) for name, head in heads.items()})
        for path, module in nnx.iter_modules(self):
            if isinstance(module, MultiHeadAttention):
                module.name = ".".join(map(str, path))

    def __call__(self, batch: Batch, key: Key[Array, ""] | None = None) -> Outputs:
        """Outputs by task; dropout acts when `key` is given."""
        features = self.features(batch, key_of(key, "encoder"))
        outputs: dict[str, Any] = {}
        for name in self.heads_order:
            outputs[name] = self.heads[name](features, outputs, batch, key_of(key, name))
        return outputs

    def features(self, batch: Batch, key: Key[Array, ""] | None = None) -> Features:
        """The output of the trunk."""
        if not self.order:
            return Features({}, {}, self.embedding[JETS](batch.jets[:, None]))
        own = {stream: batch.streams[stream].jets_of_rows() for stream in self.order}
        num_rows, num_jets, _ = own[self.order[0]].shape
        jets = batch.jets.reshape(num_rows, num_jets, -1)
        embedded = [self._embed(stream, batch, jets, own[stream]) for stream in self.order]
        states, of_jet = _joined(embedded, 1), _joined([own[x] for x in self.order], 2)
        if self.encoder is not None:
            bias = None if self.pairs is None else self.pairs(batch, self.order)
            states, of_jet = self.encoder(states, of_jet, batch.jet_valid, key, bias)
        number = sum(own[stream].shape[-1] for stream in self.order)
        last = None if self.pool_registers else number
        pooled = self.pooling(states[:, :last], of_jet[..., :last])
        if self.to_pooled:
            pooled = jnp.concatenate([pooled, jets], axis=-1)
        streams, begin = {}, 0
        for stream in self.order:
            width = own[stream].shape[-1]
            streams[stream] = states[:, begin : begin + width]
            begin += width
        return Features(streams, own, pooled)

    def _embed(
        self, stream: str, batch: Batch, jets: Float[Array, "N J I"], own: Bool[Array, "N J L"]
    ) -> Float[Array, "N L E"]:
        values = batch.streams[stream].values
        if self.to_constituents:
            values = jnp.concatenate([values, to_constituents(jets, own)], axis=-1)
        return self.embedding[stream](values)


def _joined(arrays: list[Array], axis: int) -> Array:
    return arrays[0] if len(arrays) == 1 else jnp.concatenate(arrays, axis)


def _encoder(model: ModelConfig, style: Style, rngs: nnx.Rngs) -> Encoder:
    options = model.encoder
    hidden = options.feedforward_dim or model.embed_dim * model.feedforward_factor
    return Encoder(
        model.embed_dim,
        options.layers,
        model.num_heads,
        hidden,
        options.registers,
        options.output_dim,
        options.output_norm == "after",
        _with_activation(style, options.activation),
        rngs,
    )


def _with_activation(style: Style, own: str | None) -> Style:
    return style if own is None else style._replace(activation=own)


def style_of(model: ModelConfig) -> Style:
    """What all layers have in common."""
    norm = model.encoder.norm
    return Style(
        norm=norm.name,
        learnt_norm=norm.learnt,
        epsilon=norm.epsilon,
        position=model.encoder.norm_position,
        gated=model.encoder.gated,
        activation=model.activation,
        dropout=model.dropout,
        head_dropout=model.head_dropout,
        dtype=jnp.dtype(model.compute_dtype),
    )


def widths_of(model: ModelConfig, num_jet_inputs: int, num_streams: int) -> Widths:
    """Widths of what the heads are given."""
    after = (num_streams and model.encoder.output_dim) or model.embed_dim
    pooled = num_jet_inputs if num_streams and model.jet_inputs != "constituents" else 0
    return Widths(after, after + pooled)


def build(
    config: ModelConfig,
    inputs: Mapping[str, list[str]],
    jet_inputs: list[str],
    heads: Mapping[str, Callable[[nnx.Rngs], nnx.Module]],
    seed: int,
) -> tuple[Apply, Params]:
    """The network as a pure function and its initial parameters.

    Parts draw their parameters and their dropout by name: one that is left out changes nothing
    for the others.

    Args:
        config: sizes.
        inputs: stream -> names of its inputs.
        jet_inputs: names of the inputs of a jet.
        heads: task -> its head, in an order in which each finds what it reads.
        seed: of the initial parameters.

    Returns:
        `apply(params, batch, key=None) -> Outputs`, with dropout when `key` is given, and the
        parameters as nested dictionaries of float32 arrays.

    Raises:
        InputError: an input that is encoded as a position, or compared, is not there.
    """
    positions = _numbers(config.embedding.positions, inputs, "model.embedding.positions")
    for stream, fields in config.encoder.pairs.items():
        if fields:
            known(stream, inputs, "stream (`model.encoder.pairs`)")
    pairs = _numbers(config.encoder.pairs, inputs, "model.encoder.pairs")
    numbers = {stream: len(fields) for stream, fields in inputs.items()}
    key = jax.random.key(seed)
    network = Network(
        *(numbers, len(jet_inputs), positions, pairs, config, style_of(config), dict(heads)),
        lambda name: nnx.Rngs(key_of(key, name)),
    )
    # Drawn, since tracers are far slower here; of the variables no more than shapes is kept.
    graph, drawn = nnx.split(network)
    variables = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), drawn)

    def apply(params: Params, batch: Batch, key: Key[Array, ""] | None = None) -> Outputs:
        state = jax.tree.map(lambda x: x, variables)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)(batch, key)

    return apply, nnx.to_pure_dict(drawn)


def _numbers(
    chosen: Mapping[str, list[str]], inputs: Mapping[str, list[str]], option: str
) -> dict[str, tuple[int, ...]]:
    """Which of a stream's inputs an option names; a stream that is not there is passed over."""
    found = {}
    for stream, fields in chosen.items():
        if fields and stream in inputs:
            for field in fields:
                known(field, inputs[stream], f"input of `{stream}` (`{option}.{stream}`)")
            found[stream] = tuple(inputs[stream].index(field) for field in fields)
    return found


def parameter_table(params: Params) -> str:
    """Number of parameters of each part, a line for each and one for the total."""
    parts = {**params, **params.get("heads", {})}
    counts = {
        part: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for part, tree in parts.items()
        if part != "heads"
    }
    rows = [*sorted(counts.items(), key=lambda row: -row[1]), ("total", sum(counts.values()))]
    return "\n".join(f"{name:<14}{count:>12,}" for name, count in rows if count)
