"""What each task adds to the prediction file, by Salt's names."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.names import camel, probability
from maskformer_jax.evaluation.section import Chunk, place_of
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS

OBJECT_MASKS = "object_masks"
NONE_NAME = "null"


class Output(NamedTuple):
    """Fields that a task predicts together.

    Attributes:
        place: jets, a stream, objects, or the masks of objects.
        names: of the fields.
        task: that predicts them.
        read: their values for some jets, `[N, fields]` or `[N, entries, ..., fields]`; entries of a
            stream are those that the model has.
        classes: of the task, in their order; empty where it has none.
        stream: that the entries are of, where it is not the place.
    """

    place: str
    names: Sequence[str]
    task: str
    read: Callable[[Chunk], np.ndarray]
    classes: Sequence[str] = ()
    stream: str = ""

    def columns(self, chunk: Chunk) -> dict[str, np.ndarray]:
        """Each field of some jets: `[N]`, `[N, M]` of objects, or in the columns of the file."""
        values, stream = self.read(chunk), self.stream or self.place
        if stream in chunk.records.streams:
            table, index = chunk.records.streams[stream]
            jet, slot = np.nonzero(index >= 0)
            placed = np.full((*table.shape, *values.shape[2:]), padding(values), values.dtype)
            placed[jet, index[jet, slot]] = values[jet, slot]
            values = placed.swapaxes(1, 2) if self.stream else placed
        return {name: values[..., column] for column, name in enumerate(self.names)}


def padding(array: np.ndarray) -> float | int:
    """The value of an entry that is not there: NaN, -1 or False, by the type of `array`."""
    return {"f": np.nan, "b": False}.get(array.dtype.kind, -1)


def outputs_of(
    tasks: Sequence[Task], schema: Schema, name: str, salt_names: bool = False
) -> list[Output]:
    """All fields that the tasks of a model predict.

    Args:
        tasks: of the model.
        schema: of its files.
        name: of the model.
        salt_names: with the index of vertices under the name that Salt gives it, too.

    Raises:
        InputError: two fields of one dataset have the same name.
    """
    kinds = Counter((task.options.kind, place_of(task, schema)) for task in tasks)
    found: list[Output] = []
    for task in tasks:
        # Fields of a task that is not alone of its kind have its name, too.
        several = kinds[task.options.kind, place_of(task, schema)] > 1
        if task.options.kind in BUILDERS:
            mark = f"{task.name}_" if several else ""
            found += BUILDERS[task.options.kind](task, schema, name, mark)
    if salt_names:
        index = [output for output in found if output.names[0].endswith("_VertexIndex")]
        found += [output._replace(names=["VertexIndex"]) for output in index]
    numbers = Counter((output.place, field) for output in found for field in output.names)
    for (place, field), number in numbers.items():
        if number > 1:
            raise InputError(
                f"two tasks predict the field `{field}` of {place}; give one of them another name"
            )
    return found


def _classification(task: Task, schema: Schema, name: str, mark: str) -> Iterator[Output]:
    label = schema.labels[task.options.label]
    of_jets, classes = label.of == JETS, list(label.classes)

    def log_prob(chunk: Chunk) -> np.ndarray:
        return chunk.predictions[task.name]["log_prob"]

    def likeliest(chunk: Chunk) -> np.ndarray:
        value = np.array([values[0] for values in label.values().values()], np.int32)
        return value[log_prob(chunk).argmax(axis=-1)][..., None]

    fields = [f"{name}_{mark}{probability(kind, of_jets)}" for kind in classes]
    yield Output(label.of, fields, task.name, lambda chunk: np.exp(log_prob(chunk)), classes)
    if not of_jets:
        yield Output(label.of, [f"{name}_aux_{camel(task.name)}"], task.name, likeliest)


def _regression(task: Task, schema: Schema, name: str, mark: str) -> Iterator[Output]:
    del schema
    endings = ("", "_stddev") if task.options.loss == "gaussian" else ("",)

    def values(chunk: Chunk) -> np.ndarray:
        both = chunk.predicted[task.name], chunk.predictions[task.name].get("stddev")
        found = np.stack(both[: len(endings)], axis=-1)
        return _float32(found.reshape(*found.shape[:-2], -1))

    fields = [f"{name}_{mark}{target}{x}" for target in task.options.targets for x in endings]
    yield Output(task.options.of, fields, task.name, values)


def _edges(task: Task, schema: Schema, name: str, mark: str) -> Iterator[Output]:
    def index(chunk: Chunk) -> np.ndarray:
        return chunk.predictions[task.name]["vertex_index"].astype(np.int16)[..., None]

    field = f"{name}_aux_{f'{camel(task.name)}_' if mark else ''}VertexIndex"
    yield Output(schema.labels[task.options.label].of, [field], task.name, index)


def _objects(task: Task, schema: Schema, name: str, mark: str) -> Iterator[Output]:
    losses, place = task.options.losses, task.options.objects
    of, label = schema.objects[place].of, losses.object_class and losses.object_class.label
    classes = [*schema.labels[label].classes, NONE_NAME] if label else []
    targets = list(losses.regression.targets) if losses.regression else []

    def found(part: str) -> Callable[[Chunk], np.ndarray]:
        return lambda chunk: chunk.predictions[task.name][part]

    def properties(chunk: Chunk) -> np.ndarray:
        return _float32(chunk.predicted[f"{task.name}.regression"])

    def true_class(chunk: Chunk) -> np.ndarray:
        shape = found("class_prob")(chunk).shape[:2]
        if label not in chunk.labels:
            return np.full((*shape, 1), -1, np.int8)
        rows = max(shape[1], chunk.records.objects[place].shape[1])
        index = np.full((shape[0], rows, 1), len(classes) - 1, np.int8)
        index[:, : chunk.labels[label].shape[1], 0] = chunk.labels[label]
        return index

    def true_masks(chunk: Chunk) -> np.ndarray:
        masks = np.zeros_like(found("mask_logits")(chunk), bool)
        if place in chunk.labels:
            masks[:, : chunk.labels[place].masks.shape[1]] = chunk.labels[place].masks
        return masks

    if label:
        fields = [f"{name}_{mark}p{kind}" for kind in classes]
        yield Output(place, fields, task.name, found("class_prob"), classes)
    if targets:
        fields = [f"{name}_{mark}{target}" for target in targets]
        yield Output(place, fields, task.name, properties)
    if label:
        yield Output(place, [f"{mark}class_label"], task.name, true_class)
    if losses.mask_ce is None and losses.mask_dice is None:
        return

    def index(chunk: Chunk) -> np.ndarray:
        return found("mask_index")(chunk).astype(np.int16)[..., None]

    yield Output(of, [f"{name}_{mark}MaskIndex"], task.name, index)
    masks = f"{OBJECT_MASKS}_{task.name}" if mark else OBJECT_MASKS
    for field, read in (("mask_logits", found("mask_logits")), ("truth_mask", true_masks)):
        yield Output(masks, [field], task.name, partial(_by_track, read), stream=of)


def _by_track(read: Callable[[Chunk], np.ndarray], chunk: Chunk) -> np.ndarray:
    """Masks `[N, M, L]` as `[N, L, M, 1]`."""
    return read(chunk).swapaxes(1, 2)[..., None]


# Kind of task -> its fields.
BUILDERS = {
    "classification": _classification,
    "regression": _regression,
    "edges": _edges,
    "objects": _objects,
}


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
