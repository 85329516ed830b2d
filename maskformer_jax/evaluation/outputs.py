"""What each task adds to the prediction file, by Salt's names."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.names import probability
from maskformer_jax.evaluation.section import Chunk, place_of
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS

OBJECT_MASKS = "object_masks"
NONE_NAME = "null"


class Output(NamedTuple):
    """A field that is predicted.

    Attributes:
        place: jets, a stream, objects, or the masks of objects.
        name: of the field.
        task: that predicts it.
        read: its values of some jets: `[N]`, in the columns of the file, or `[N, M]` of objects.
        classes: of the task, in their order; empty where it has none.
    """

    place: str
    name: str
    task: str
    read: Callable[[Chunk], np.ndarray]
    classes: Sequence[str] = ()


def outputs_of(tasks: Sequence[Task], schema: Schema, name: str) -> list[Output]:
    """All fields that the tasks of a model predict.

    Args:
        tasks: of the model.
        schema: of its files.
        name: of the model.

    Raises:
        InputError: two fields of one dataset have the same name.
    """
    kinds = Counter((task.options.kind, place_of(task, schema)) for task in tasks)
    found: list[Output] = []
    for task in tasks:
        place = place_of(task, schema)
        several = kinds[task.options.kind, place] > 1
        builder = BUILDERS.get(task.options.kind)
        if builder is not None:
            found += builder(task, schema, f"{name}_{task.name}" if several else name, several)
    numbers = Counter((output.place, output.name) for output in found)
    for (place, field), number in numbers.items():
        if number > 1:
            raise InputError(
                f"two tasks predict the field `{field}` of {place}; give one of them another name"
            )
    return found


def _classification(task: Task, schema: Schema, prefix: str, several: bool) -> Iterator[Output]:
    del several
    label = schema.labels[task.options.label]
    classes = list(label.classes)

    def read(column: int) -> Callable[[Chunk], np.ndarray]:
        return lambda chunk: _in_file(
            chunk, label.of, np.exp(chunk.predictions[task.name]["log_prob"][..., column])
        )

    for column, name in enumerate(classes):
        field = f"{prefix}_{probability(name, label.of == JETS)}"
        yield Output(label.of, field, task.name, read(column), classes)


def _regression(task: Task, schema: Schema, prefix: str, several: bool) -> Iterator[Output]:
    del prefix, several
    place, targets = task.options.of, list(task.options.targets)

    def read(column: int, is_std: bool) -> Callable[[Chunk], np.ndarray]:
        def values(chunk: Chunk) -> np.ndarray:
            std = chunk.predictions[task.name].get("stddev")
            found = std if is_std else chunk.predicted[task.name]
            return _in_file(chunk, place, _float32(found[..., column]))

        return values

    is_gaussian = task.options.loss == "gaussian"
    for column, name in enumerate(targets):
        yield Output(place, f"{task.name}_{name}", task.name, read(column, False))
        if is_gaussian:
            yield Output(place, f"{task.name}_{name}_stddev", task.name, read(column, True))


def _edges(task: Task, schema: Schema, prefix: str, several: bool) -> Iterator[Output]:
    del several
    place = schema.labels[task.options.label].of

    def read(chunk: Chunk) -> np.ndarray:
        index = chunk.predictions[task.name]["vertex_index"]
        return _in_file(chunk, place, index.astype(np.int16))

    yield Output(place, f"{prefix}_VertexIndex", task.name, read)


def _objects(task: Task, schema: Schema, prefix: str, several: bool) -> Iterator[Output]:
    losses, place = task.options.losses, task.options.objects
    of, before = schema.objects[place].of, f"{task.name}_" if several else ""

    def values(source: str, column: int) -> Callable[[Chunk], np.ndarray]:
        return lambda chunk: chunk.predictions[task.name][source][..., column]

    def physical(column: int) -> Callable[[Chunk], np.ndarray]:
        return lambda chunk: _float32(chunk.predicted[f"{task.name}.regression"][..., column])

    def true_class(chunk: Chunk) -> np.ndarray:
        shape = chunk.predictions[task.name]["class_prob"].shape[:2]
        if label not in chunk.labels:
            return np.full(shape, -1, np.int8)
        rows = max(shape[1], chunk.records.objects[place].shape[1])
        index = np.full((shape[0], rows), none, np.int8)
        index[:, : chunk.labels[label].shape[1]] = chunk.labels[label]
        return index

    if losses.object_class is not None:
        label = losses.object_class.label
        classes = [*schema.labels[label].classes, NONE_NAME]
        none = len(classes) - 1
        for column, name in enumerate(classes):
            field = f"{prefix}_p{name}"
            yield Output(place, field, task.name, values("class_prob", column), classes)
    for column, name in enumerate(losses.regression.targets if losses.regression else ()):
        yield Output(place, f"{prefix}_{name}", task.name, physical(column))
    if losses.object_class is not None:
        yield Output(place, f"{before}class_label", task.name, true_class)
    if losses.mask_ce is None and losses.mask_dice is None:
        return

    def mask_index(chunk: Chunk) -> np.ndarray:
        return _in_file(chunk, of, chunk.predictions[task.name]["mask_index"].astype(np.int16))

    def logits(chunk: Chunk) -> np.ndarray:
        found = chunk.predictions[task.name]["mask_logits"].swapaxes(1, 2)
        return _in_file(chunk, of, found).swapaxes(1, 2)

    def truth(chunk: Chunk) -> np.ndarray:
        found = np.zeros(chunk.predictions[task.name]["mask_logits"].shape, bool)
        if place in chunk.labels:
            found[:, : chunk.labels[place].masks.shape[1]] = chunk.labels[place].masks
        return _in_file(chunk, of, found.swapaxes(1, 2)).swapaxes(1, 2)

    yield Output(of, f"{prefix}_MaskIndex", task.name, mask_index)
    masks = f"{OBJECT_MASKS}_{task.name}" if several else OBJECT_MASKS
    yield Output(masks, "mask_logits", task.name, logits)
    yield Output(masks, "truth_mask", task.name, truth)


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


def _in_file(chunk: Chunk, place: str, values: np.ndarray) -> np.ndarray:
    """Values of jets, or those `[N, width, ...]` of constituents in the columns of the file."""
    if place == JETS:
        return values
    table, index = chunk.records.streams[place]
    jet, slot = np.nonzero(index >= 0)
    fill = {"f": np.nan, "b": False}.get(values.dtype.kind, -1)
    placed = np.full((*table.shape, *values.shape[2:]), fill, values.dtype)
    placed[jet, index[jet, slot]] = values[jet, slot]
    return placed
