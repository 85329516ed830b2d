"""What is in a file of jets: datasets, inputs, objects and labels."""

import math
import typing
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.configuration import chosen_by
from maskformer_jax.errors import check, check_once, check_range, known
from maskformer_jax.types import JETS

TransformName = Literal["identity", "log", "log1p", "asinh"]
TRANSFORM_NAMES = typing.get_args(TransformName)
# More than any jet or memory has; what is above was not meant.
MAX_CONSTITUENTS, MAX_OBJECTS, MAX_BLOCK = 10_000, 1_000, 1_000_000


@dataclass(frozen=True)
class TransformConfig:
    """An invertible function of a field, applied before it is standardised.

    Attributes:
        name: identity, log: log(x/scale), log1p: log(1 + x/scale), or asinh: asinh(x/scale).
        scale: the unit of x, in the unit of the file.
    """

    name: TransformName = "identity"
    scale: float = 1.0

    def __post_init__(self):
        check(self.scale > 0, "scale", "be positive", self.scale)


@dataclass(frozen=True)
class JetsConfig:
    """Where the jets are in the file.

    Attributes:
        dataset: name of the dataset.
        inputs: fields that the model sees.
        transforms: field -> transform, for inputs that should not enter linearly; those of fields
            that are no inputs do nothing.
    """

    dataset: str = "jets"
    inputs: list[str] = field(default_factory=list)
    transforms: dict[str, TransformConfig] = field(
        default_factory=dict, metadata=chosen_by("name", "transforms")
    )

    def __post_init__(self):
        check_once(self.inputs, "inputs", "a field")


@dataclass(frozen=True)
class StreamConfig:
    """One kind of constituents of the jets, such as tracks.

    Attributes:
        dataset: name of the dataset.
        inputs: fields that the model sees.
        transforms: field -> transform, for inputs that should not enter linearly; those of fields
            that are no inputs do nothing.
        valid: boolean field, True for a real constituent.
        cap: most constituents of a jet that are read.
        sort_by: keep those with the largest absolute value of this field; none: the first.
    """

    dataset: str
    inputs: list[str]
    transforms: dict[str, TransformConfig] = field(
        default_factory=dict, metadata=chosen_by("name", "transforms")
    )
    valid: str = "valid"
    cap: int = 50
    sort_by: str | None = None

    def __post_init__(self):
        check_range(self, 1, MAX_CONSTITUENTS, "cap")
        check(len(self.inputs) > 0, "inputs", "name at least one field", self.inputs)
        check_once(self.inputs, "inputs", "a field")


@dataclass(frozen=True)
class ObjectsConfig:
    """Truth objects of the jets, such as heavy hadrons, and the constituents that belong to them.

    Only objects whose value is listed in every label `of` them that has classes are objects to be
    found; the others are as good as padding.

    Attributes:
        dataset: name of the dataset.
        of: stream of their constituents.
        valid: boolean field, True for a real object.
        key: field that identifies the object inside its jet.
        link: field of the constituents that holds the key of their object; negative: none.
        cap: most objects of a jet.
    """

    dataset: str
    of: str
    key: str
    link: str
    valid: str = "valid"
    cap: int = 5

    def __post_init__(self):
        check_range(self, 1, MAX_OBJECTS, "cap")


@dataclass(frozen=True)
class LabelConfig:
    """A field that tasks read, of jets, of a stream or of objects.

    Attributes:
        of: `jets`, a stream or objects.
        field: name of the field.
        classes: class name -> value of the field, or several; the order here is the order of the
            outputs. None: the numbers as they are, such as the vertex of a track or a weight.
        unlisted: entries that no class lists: `skip` (jets only) leaves the jet out, with a count;
            `ignore` leaves the entry out of the loss; `error` stops. None: `skip` for jets,
            `ignore` for others.
    """

    of: str
    field: str
    classes: dict[str, int | list[int]] | None = None
    unlisted: Literal["skip", "ignore", "error"] | None = None

    def __post_init__(self):
        skips = self.unlisted == "skip" and self.of != JETS
        check(not skips, "unlisted", "be `skip` for jets only", self.of)
        if self.classes is not None:
            values = [v for listed in self.classes.values() for v in _listed(listed)]
            distinct = len(set(values)) == len(values) > 0 and all(
                _listed(v) for v in self.classes.values()
            )
            rule = "give each class a value of its own"
            check(distinct, "classes", rule, self.classes)
            check("none" not in self.classes, "classes", "not list `none`", "none")

    def values(self) -> dict[str, list[int]]:
        """Values of the field of each class; empty without classes."""
        return {name: _listed(value) for name, value in (self.classes or {}).items()}

    def skips(self) -> bool:
        """Whether a jet that no class lists is left out."""
        return self.classes is not None and self.of == JETS and self.unlisted in (None, "skip")


@dataclass(frozen=True)
class DataConfig:
    """Files, what is in them and the order of reading.

    Attributes:
        train_file: HDF5 file to train on.
        val_file: HDF5 file for the validation after each epoch.
        norm_file: means and standard deviations in Salt's form; none: computed on `train_file`.
            Fields with a transform are always computed.
        class_file: class weights in Salt's form, for tasks whose `class_weights` are `file`.
        jets: the jets.
        streams: their constituents, by a name of one's own choice.
        objects: their truth objects, likewise.
        labels: fields that tasks read, likewise.
        mirrors: name -> jets, stream or objects -> fields that change sign in a mirror under which
            the physics is the same. Each turns round every second jet of a training, by chance.
        train_jets: use only the first jets of `train_file`; none: all.
        val_jets: use only the first jets of `val_file`; none: all.
        block_size: contiguous rows read at once, rounded up to whole chunks of the file.
        group_blocks: blocks whose jets are shuffled together.
    """

    train_file: str | None = None
    val_file: str | None = None
    norm_file: str | None = None
    class_file: str | None = None
    jets: JetsConfig = field(default_factory=JetsConfig)
    streams: dict[str, StreamConfig] = field(default_factory=dict)
    objects: dict[str, ObjectsConfig] = field(default_factory=dict)
    labels: dict[str, LabelConfig] = field(default_factory=dict)
    mirrors: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    train_jets: int | None = None
    val_jets: int | None = None
    block_size: int = 1000
    group_blocks: int = 8

    def __post_init__(self):
        check_range(self, 1, MAX_BLOCK, "block_size", "group_blocks")
        check_range(self, 1, math.inf, "train_jets", "val_jets")
        names = [JETS, *self.streams, *self.objects, *self.labels]
        twice = sorted({name for name in names if names.count(name) > 1})
        check(not twice, "labels", "have other names than jets, streams and objects", twice)
        for name, objects in self.objects.items():
            known(objects.of, self.streams, f"stream (`objects.{name}.of`)")
        for name, label in self.labels.items():
            places = [JETS, *self.streams, *self.objects]
            known(label.of, places, f"place of a label (`labels.{name}.of`)")
        for name, fields in self.mirrors.items():
            for of, listed in fields.items():
                known(of, [JETS, *self.streams, *self.objects], f"place (`mirrors.{name}`)")
                check_once(listed, f"mirrors.{name}.{of}", "a field")
                numbers = [x for x in listed if x in self._without_sign(of)]
                rule = "leave out what a label or a link of objects reads"
                check(not numbers, f"mirrors.{name}.{of}", rule, numbers)

    def _without_sign(self, of: str) -> set[str]:
        """Fields of a place whose values are names."""
        keys = {x.key for name, x in self.objects.items() if name == of}
        links = {x.link for x in self.objects.values() if x.of == of}
        return keys | links | {x.field for x in self.labels.values() if x.of == of}


def _listed(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value]
