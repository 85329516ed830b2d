"""What a configuration says about objects: their losses, the assignment and the decoder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

from maskformer_jax.configuration import chosen_by
from maskformer_jax.data.config import MAX_OBJECTS, TransformConfig
from maskformer_jax.errors import check, check_range
from maskformer_jax.model.config import MAX_LAYERS, MAX_WIDTH, Activation, NormConfig
from maskformer_jax.tasks.classification import ClassWeights


@dataclass(frozen=True)
class ObjectClassConfig:
    """Cross-entropy of the class of every query.

    Attributes:
        label: a label of the objects, with classes; `none` is added as the last.
        none_weight: weight of the class `none`.
        class_weights: class -> weight in the loss, or `file`: those of `data.class_file`, which
            multiply `none_weight`.
    """

    label: str
    none_weight: float = 0.5
    class_weights: ClassWeights = None

    def __post_init__(self):
        check(self.none_weight > 0, "none_weight", "be positive", self.none_weight)


@dataclass(frozen=True)
class MaskCEConfig:
    """Binary cross-entropy of the mask of every object.

    Attributes:
        normalisation: divide it by the `cap` of the stream, or by the number of `valid`
            constituents of the jet.
        poly_epsilon: epsilon of the Poly-1 term epsilon (1 - p_t).
        focal_gamma: exponent of the focal factor (1 - p_t)^gamma.
    """

    normalisation: Literal["cap", "valid"] = "cap"
    poly_epsilon: float = 0.0
    focal_gamma: float = 0.0

    def __post_init__(self):
        check_range(self, 0, math.inf, "focal_gamma")


@dataclass(frozen=True)
class MaskDiceConfig:
    """Dice loss of the mask of every object."""


@dataclass(frozen=True)
class ObjectRegressionConfig:
    """Mean absolute difference of the properties of every object.

    Attributes:
        targets: field -> transform, before it is standardised.
        means: target -> input of the constituents: a mean of this input, with weights that are
            learnt beside the mask, is added to what the head says; for directions.
    """

    targets: dict[str, TransformConfig] = field(
        metadata=chosen_by("name", "transforms", default="identity")
    )
    means: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        check(len(self.targets) > 0, "targets", "name a field", self.targets)


@dataclass(frozen=True)
class ObjectLossesConfig:
    """The losses of objects; one that is not listed does not exist.

    Attributes:
        object_class: of their classes.
        mask_ce: cross-entropy of their masks.
        mask_dice: Dice loss of their masks.
        regression: of their properties.
    """

    object_class: ObjectClassConfig | None = None
    mask_ce: MaskCEConfig | None = None
    mask_dice: MaskDiceConfig | None = None
    regression: ObjectRegressionConfig | None = None


@dataclass(frozen=True)
class MatchingConfig:
    """Weights of the pairwise costs in the assignment of queries to objects (Eq. 4.1).

    Attributes:
        object_class: weight of the class cost.
        mask_ce: weight of the mask cross-entropy cost.
        mask_dice: weight of the mask Dice cost.
        regression: weight of the regression cost.
    """

    object_class: float = 2.0
    mask_ce: float = 10.0
    mask_dice: float = 2.0
    regression: float = 1.0

    def __post_init__(self):
        check_range(self, 0, math.inf, *vars(self))


@dataclass(frozen=True)
class HeadWidthsConfig:
    """Hidden layers of the heads of a query; none: those of the task.

    Attributes:
        object_class: of the class.
        mask: of the mask.
        regression: of the properties.
    """

    object_class: list[int] | None = None
    mask: list[int] | None = None
    regression: list[int] | None = None

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, *vars(self))


@dataclass(frozen=True)
class DecoderConfig:
    """The layers between queries and constituents.

    Attributes:
        norms: `inside`, before each of their parts and the heads; `first`, of queries and
            constituents before all layers; or there and once more `behind` each layer.
        norm: of the decoder; none: that of the encoder.
        num_heads: attention heads; none: those of the model.
        feedforward_dim: hidden width; none: `model.feedforward_factor` times the width.
        gated: feed-forward layers with a gate; none: as in the encoder.
        activation: of the feed-forward layers; none: `model.activation`.
        mask_threshold: a query attends to constituents whose mask is more probable.
        scale_masks: divide the products that are the mask logits by the root of their width.
        dummy: every jet has a constituent of zeros beside its own, to which queries may attend.
        head_widths: of each head.
    """

    norms: Literal["inside", "first", "behind"] = "inside"
    norm: NormConfig | None = None
    num_heads: int | None = None
    feedforward_dim: int | None = None
    gated: bool | None = None
    activation: Activation | None = None
    mask_threshold: float = 0.5
    scale_masks: bool = True
    dummy: bool = False
    head_widths: HeadWidthsConfig = field(default_factory=HeadWidthsConfig)

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, "num_heads", "feedforward_dim")
        value = self.mask_threshold
        check(0 < value < 1, "mask_threshold", "be between 0 and 1", value)


@dataclass(frozen=True)
class ObjectsTaskConfig:
    """Objects to be found in every jet.

    Attributes:
        objects: an entry of `data.objects`.
        losses: of the objects.
        matching: weights of the assignment; those of losses that do not exist do nothing.
        queries: object queries of a jet; none: as many as objects are read.
        decoder_layers: layers that exchange information between queries and constituents.
        decoder: these layers.
        auxiliary: add the losses of the intermediate decoder layers.
        sample_weight: label of jets or of the objects, of the weights in the losses; none: 1.
        head_widths: hidden layers of each head; none: those of the model.
        prefix: before the names of the losses, to tell two such tasks apart.
        kind: of the task.
    """

    objects: str
    losses: ObjectLossesConfig
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    queries: int | None = None
    decoder_layers: int = 3
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    auxiliary: bool = False
    sample_weight: str | None = None
    head_widths: list[int] | None = None
    prefix: str = ""
    kind: Literal["objects"] = "objects"

    def __post_init__(self):
        check_range(self, 1, MAX_LAYERS, "decoder_layers")
        check_range(self, 1, MAX_OBJECTS, "queries")
        check_range(self, 1, MAX_WIDTH, "head_widths")

    def loss_names(self) -> dict[str, str]:
        """Kind of each loss that exists -> its name."""
        kinds = [f.name for f in fields(self.losses) if getattr(self.losses, f.name) is not None]
        return {kind: f"{self.prefix}{kind}" for kind in kinds}

    def without(self, kinds: Sequence[str]) -> "ObjectsTaskConfig":
        """The same with some kinds of losses left out."""
        return replace(self, losses=replace(self.losses, **dict.fromkeys(kinds)))
