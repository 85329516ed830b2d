"""What each task adds to the prediction file, by Salt's names."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
        place = place_of(task, schema)
        several = kinds[task.options.kind, place] > 1
        builder = BUILDERS.get(task.options.kind)
        if builder is not None:
            found += builder(task, schema, name, several)
    if salt_names:
        index = [output for output in found if output.name.endswith("_VertexIndex")]
        found += [output._replace(name="VertexIndex") for output in index]
    numbers = Counter((output.place, output.name) for output in found)
    for (place, field), number in numbers.items():
        if number > 1:
            raise InputError(
                f"two tasks predict the field `{field}` of {place}; give one of them another name"
            )
    return found


def _prefix(task: Task, name: str, several: bool) -> str:
    """What the fields of a task begin with; of one that is not alone of its kind, with its name."""
    return f"{name}_{task.name}" if several else name


def _classification(task: Task, schema: Schema, name: str, several: bool) -> Iterator[Output]:
    prefix = _prefix(task, name, several)
    label = schema.labels[task.options.label]
    classes = list(label.classes)

    def read(column: int) -> Callable[[Chunk], np.ndarray]:
        return lambda chunk: _in_file(
            chunk, label.of, np.exp(chunk.predictions[task.name]["log_prob"][..., column])
        )

    for column, kind in enumerate(classes):
        field = f"{prefix}_{probability(kind, label.of == JETS)}"
        yield Output(label.of, field, task.name, read(column), classes)
    if label.of == JETS:
        return
    value = np.array([values[0] for values in label.values().values()], np.int32)

    def likeliest(chunk: Chunk) -> np.ndarray:
        return _in_file(chunk, label.of, value[chunk.predictions[task.name]["log_prob"].argmax(-1)])

    yield Output(label.of, f"{name}_aux_{camel(task.name)}", task.name, likeliest)


def _regression(task: Task, schema: Schema, name: str, several: bool) -> Iterator[Output]:
    prefix = _prefix(task, name, several)
    place, targets = task.options.of, list(task.options.targets)

    def read(column: int, is_std: bool) -> Callable[[Chunk], np.ndarray]:
        def values(chunk: Chunk) -> np.ndarray:
            std = chunk.predictions[task.name].get("stddev")
            found = std if is_std else chunk.predicted[task.name]
            return _in_file(chunk, place, _float32(found[..., column]))

        return values

    is_gaussian = task.options.loss == "gaussian"
    for column, target in enumerate(targets):
        yield Output(place, f"{prefix}_{target}", task.name, read(column, False))
        if is_gaussian:
            yield Output(place, f"{prefix}_{target}_stddev", task.name, read(column, True))


def _edges(task: Task, schema: Schema, name: str, several: bool) -> Iterator[Output]:
    place = schema.labels[task.options.label].of

    def read(chunk: Chunk) -> np.ndarray:
        index = chunk.predictions[task.name]["vertex_index"]
        return _in_file(chunk, place, index.astype(np.int16))

    which = f"{camel(task.name)}_" if several else ""
    yield Output(place, f"{name}_aux_{which}VertexIndex", task.name, read)


def _objects(task: Task, schema: Schema, name: str, several: bool) -> Iterator[Output]:
    prefix = _prefix(task, name, several)
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
        for column, kind in enumerate(classes):
            field = f"{prefix}_p{kind}"
            yield Output(place, field, task.name, values("class_prob", column), classes)
    for column, target in enumerate(losses.regression.targets if losses.regression else ()):
        yield Output(place, f"{prefix}_{target}", task.name, physical(column))
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
