"""What is read of a file for some tasks: the part of `data` that they need."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from maskformer_jax.data.config import (
    DataConfig,
    JetsConfig,
    LabelConfig,
    ObjectsConfig,
    StreamConfig,
    TransformConfig,
)
from maskformer_jax.types import JETS

Axis = Literal["jets", "stream", "objects"]


class Targets(NamedTuple):
    """Fields that a regression learns, as a label `[..., R]`.

    Attributes:
        of: jets, a stream or objects.
        transforms: field -> transform, in the order of the outputs.
        denominators: field -> field of the same dataset by which it is divided first.
        ignore_nan: NaN entries stay NaN and are left out of the loss; otherwise they are an error.
    """

    of: str
    transforms: Mapping[str, TransformConfig]
    denominators: Mapping[str, str] = {}
    ignore_nan: bool = False


Label = LabelConfig | Targets | ObjectsConfig


class Needs(NamedTuple):
    """What a task reads.

    Attributes:
        labels: by name; objects stand for their validity and masks.
        pairs: streams whose pairs of constituents it reads.
    """

    labels: Mapping[str, Label] = {}
    pairs: tuple[str, ...] = ()


class Schema(NamedTuple):
    """What is read of a file.

    Attributes:
        jets: their dataset and inputs.
        streams: by name, in the order of the configuration.
        objects: those that a label needs.
        labels: what the tasks need.
        pairs: streams whose pairs are made.
        mirrors: as in the configuration, of what is read.
        block_size: as in the configuration.
        group_blocks: likewise.
    """

    jets: JetsConfig
    streams: Mapping[str, StreamConfig]
    objects: Mapping[str, ObjectsConfig]
    labels: Mapping[str, Label]
    pairs: tuple[str, ...] = ()
    mirrors: Mapping[str, Mapping[str, list[str]]] = {}
    block_size: int = 1000
    group_blocks: int = 8

    def axis(self, of: str) -> Axis:
        """What the entries of something `of` this place stand for."""
        if of == JETS:
            return "jets"
        return "stream" if of in self.streams else "objects"

    def dataset(self, of: str) -> str:
        """Name of the dataset of jets, a stream or objects."""
        return self.jets.dataset if of == JETS else (self.streams | self.objects)[of].dataset

    def classes_of(self, objects: str) -> dict[str, LabelConfig]:
        """The labels with classes that say which of the objects there are."""
        return {
            name: label
            for name, label in self.labels.items()
            if isinstance(label, LabelConfig) and label.of == objects and label.classes
        }


def build(data: DataConfig, needs: Sequence[Needs]) -> Schema:
    """What is read of a file for tasks with these needs.

    Labels with classes `of` objects that are read belong to them, since they say which objects
    there are, whether or not a task learns the classes.
    """
    wanted = {name: label for need in needs for name, label in need.labels.items()}
    places = [getattr(label, "of", None) for label in wanted.values()] + list(wanted)
    objects = {name: entry for name, entry in data.objects.items() if name in places}
    wanted |= objects
    wanted |= {
        name: label
        for name, label in data.labels.items()
        if label.of in objects and label.classes is not None
    }
    read = {stream for need in needs for stream in need.pairs}
    places = {JETS, *data.streams, *objects}
    return Schema(
        jets=data.jets,
        streams=data.streams,
        objects=objects,
        labels=wanted,
        pairs=tuple(stream for stream in data.streams if stream in read),
        mirrors={
            name: {of: names for of, names in fields.items() if of in places}
            for name, fields in data.mirrors.items()
        },
        block_size=data.block_size,
        group_blocks=data.group_blocks,
    )
