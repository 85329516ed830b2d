"""A small configuration with every shape that the loader knows."""

from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.configuration import chosen_by


@dataclass(frozen=True)
class Identity:
    name: Literal["identity"] = "identity"


@dataclass(frozen=True)
class Scaled:
    """A transform with a unit.

    Attributes:
        name: which.
        scale: the unit.
    """

    name: Literal["log", "asinh"]
    scale: float = 1.0


@dataclass(frozen=True)
class Stream:
    dataset: str = "tracks"
    inputs: list[str] = field(default_factory=list)
    transforms: dict[str, Identity | Scaled] = field(
        default_factory=lambda: {"phi": Identity()}, metadata=chosen_by("name", "transforms")
    )
    cap: int = 50


@dataclass(frozen=True)
class Label:
    of: str
    classes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    streams: dict[str, Stream] = field(
        default_factory=lambda: {"tracks": Stream(transforms={"d0": Scaled("asinh", 0.05)})}
    )
    labels: dict[str, Label] = field(default_factory=dict)
    limit: float = field(default=1.0, metadata={"finite": False})


@dataclass(frozen=True)
class LayerNorm:
    name: Literal["layer_norm"] = "layer_norm"
    learnt: bool = True
    epsilon: float = 1e-6


@dataclass(frozen=True)
class BatchNorm:
    name: Literal["batch_norm"] = "batch_norm"
    momentum: float = 0.9


@dataclass(frozen=True)
class Model:
    """The network.

    Attributes:
        embed_dim: width E, with a text
            of two lines.
        widths: one or several.
        norm: which.
    """

    embed_dim: int = 256
    widths: int | list[int] = 64
    norm: LayerNorm | BatchNorm = field(
        default_factory=LayerNorm, metadata=chosen_by("name", "norms")
    )


@dataclass(frozen=True)
class Classification:
    label: str
    kind: Literal["classification"] = "classification"
    class_weights: dict[str, float] | Literal["file"] | None = None


@dataclass(frozen=True)
class MaskCE:
    focal_gamma: float = 0.0


@dataclass(frozen=True)
class Regression:
    targets: dict[str, Identity | Scaled] = field(
        default_factory=dict, metadata=chosen_by("name", "transforms", default="identity")
    )


@dataclass(frozen=True)
class Objects:
    kind: Literal["objects"] = "objects"
    queries: int = 5
    losses: dict[str, MaskCE | Regression] = field(
        default_factory=dict, metadata=chosen_by(None, "losses")
    )


@dataclass(frozen=True)
class CAGrad:
    c: float = 0.5
    preference: list[float] | None = None


@dataclass(frozen=True)
class Static:
    weights: dict[str, float]


@dataclass(frozen=True)
class Equal:
    pass


@dataclass(frozen=True)
class Weighting:
    name: str = "equal"
    options: CAGrad | Static | Equal = field(
        default_factory=Equal, metadata=chosen_by("name", "weightings", options=True)
    )
    every: int = 1


@dataclass(frozen=True)
class Discriminant:
    signal: str
    backgrounds: dict[str, float]


@dataclass(frozen=True)
class Root:
    """Everything.

    Attributes:
        name: of the run.
        model: the network.
    """

    name: str = "GN"
    note: str | None = None
    jets: int | None = None
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    tasks: dict[str, Classification | Objects] = field(
        default_factory=dict, metadata=chosen_by("kind", "tasks")
    )
    weighting: Weighting = field(default_factory=Weighting)
    discriminants: dict[str, Discriminant] = field(default_factory=dict)


TABLES = {
    "transforms": {"identity": Identity, "log": Scaled, "asinh": Scaled},
    "norms": {"layer_norm": LayerNorm, "batch_norm": BatchNorm},
    "tasks": {"classification": Classification, "objects": Objects},
    "losses": {"mask_ce": MaskCE, "regression": Regression},
    "weightings": {"cagrad": CAGrad, "static": Static, "equal": Equal},
}
