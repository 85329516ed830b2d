"""The network: embedding of the inputs, encoder and pooling; tasks bring their own heads."""

from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.errors import check, check_fraction, check_once, check_range

Activation = Literal["relu", "silu", "gelu", "mish"]
# What is above was not meant, and no memory holds it.
MAX_WIDTH, MAX_LAYERS = 16_384, 1_000


@dataclass(frozen=True)
class EmbeddingConfig:
    """How the inputs of a constituent become its first state; each stream has its own network.

    Attributes:
        widths: hidden layers between the inputs and `model.embed_dim`; none: one of that width.
        activation: between its layers; none: `model.activation`.
        positions: stream -> inputs that enter through sines and cosines as well.
    """

    widths: list[int] | None = None
    activation: Activation | None = None
    positions: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, "widths")


@dataclass(frozen=True)
class NormConfig:
    """Normalisation of the states.

    Attributes:
        name: layer_norm, or rms_norm: without a mean.
        learnt: with a learnt scale (and shift).
        epsilon: added to the variance.
    """

    name: Literal["layer_norm", "rms_norm"] = "layer_norm"
    learnt: bool = True
    epsilon: float = 1e-6

    def __post_init__(self):
        check(self.epsilon > 0, "epsilon", "be positive", self.epsilon)


@dataclass(frozen=True)
class EncoderConfig:
    """Self-attention over all constituents of a jet.

    Attributes:
        layers: of self-attention; 0: no encoder and no norm after it.
        pairs: stream -> inputs in which every two of its constituents are compared, for a term of
            the logits of attention.
        registers: learnt constituents that every jet has beside its own.
        pool_registers: the pooling of a jet reads its registers too.
        norm: of all layers, those of a decoder too unless it has its own.
        norm_position: `pre` normalises the input of a layer, `post` the sum behind it; `hybrid` the
            queries, keys and values of each head, and between attention and feed-forward.
        gated: feed-forward layers with a gate: activation(a) * b.
        feedforward_dim: their hidden width; none: `feedforward_factor` times `embed_dim`.
        activation: of them; none: `model.activation`.
        output_dim: width after the encoder; none: `model.embed_dim`.
        output_norm: whether the last norm stands `before` or `after` the layer to `output_dim`.
    """

    layers: int = 4
    pairs: dict[str, list[str]] = field(default_factory=dict)
    registers: int = 0
    pool_registers: bool = True
    norm: NormConfig = field(default_factory=NormConfig)
    norm_position: Literal["pre", "post", "hybrid"] = "pre"
    gated: bool = False
    feedforward_dim: int | None = None
    activation: Activation | None = None
    output_dim: int | None = None
    output_norm: Literal["before", "after"] = "before"

    def __post_init__(self):
        check_range(self, 0, MAX_LAYERS, "layers", "registers")
        check_range(self, 1, MAX_WIDTH, "output_dim", "feedforward_dim")
        rule = "be left out without `layers`"
        check(self.layers > 0 or self.output_dim is None, "output_dim", rule, self.output_dim)
        none = self.layers > 0 or not self.registers
        check(none, "registers", rule, self.registers)
        for stream, fields in self.pairs.items():
            check(self.layers > 0 or not fields, f"pairs.{stream}", rule, fields)
            check_once(fields, f"pairs.{stream}", "an input")


@dataclass(frozen=True)
class PoolingConfig:
    """How the constituents of a jet become one vector; zero for a jet without any.

    Attributes:
        name: attention: mean weighted by the softmax of a learnt score; mean; or sum.
    """

    name: Literal["attention", "mean", "sum"] = "attention"


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Attributes:
        embed_dim: width E of the states.
        num_heads: attention heads.
        feedforward_factor: width of the feed-forward layers in units of `embed_dim`.
        head_widths: hidden layers of the head of a task that has none of its own.
        jet_inputs: what the inputs of the jets are joined to: all `constituents`, the `pooled`
            jet, or `both`; without a stream they are all that there is.
        activation: between the layers of embedding, feed-forward and heads, where these have none
            of their own.
        dropout: probability of dropping an activation of encoder and decoder in training.
        head_dropout: likewise, between the layers of the heads.
        embedding: of the inputs.
        encoder: self-attention.
        pooling: of the jet.
        compute_dtype: type of the arithmetic; parameters and sums stay in float32.
    """

    embed_dim: int = 256
    num_heads: int = 8
    feedforward_factor: int = 2
    head_widths: list[int] = field(default_factory=lambda: [128, 128, 64])
    jet_inputs: Literal["constituents", "pooled", "both"] = "constituents"
    activation: Activation = "relu"
    dropout: float = 0.0
    head_dropout: float = 0.0
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pooling: PoolingConfig = field(default_factory=PoolingConfig)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, "embed_dim", "num_heads", "head_widths")
        check_range(self, 1, MAX_LAYERS, "feedforward_factor")
        check_fraction(self, "dropout", "head_dropout")
        heads = f"be a multiple of `num_heads` = {self.num_heads}"
        widths = {"embed_dim": self.embed_dim, "encoder.output_dim": self.encoder.output_dim}
        for name, width in widths.items():
            good = width is None or width % self.num_heads == 0
            check(good, name, heads, width)
        for stream, fields in self.embedding.positions.items():
            rule = f"hold a sine and a cosine of each of `embedding.positions.{stream}`"
            check(self.embed_dim >= 2 * len(fields), "embed_dim", rule, self.embed_dim)
