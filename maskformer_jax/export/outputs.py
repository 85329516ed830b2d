"""What each kind of task says of a jet outside of Python, by the names that Athena reads."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.data.scaling import FieldScaling, Scaling
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.names import camel, probability, short, singular
from maskformer_jax.evaluation.residuals import units
from maskformer_jax.evaluation.section import place_of
from maskformer_jax.export.indices import edge_matrix, ranks, vertices
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS, Batch


class Fields(NamedTuple):
    """Raw inputs of a place.

    Attributes:
        names: of the last axis.
        values: as in a file.
    """

    names: Sequence[str]
    values: Float[Array, "... F"]

    def __getitem__(self, name: str) -> Float[Array, "..."]:
        return self.values[..., list(self.names).index(name)]


class Said(NamedTuple):
    """What there is to make outputs of.

    Attributes:
        predictions: by task, as `Task.predict` gives them without truth.
        network: by task, outputs of the network.
        batch: scaled inputs.
        scaling: of inputs and targets.
        fields: by place, raw inputs.
    """

    predictions: Mapping[str, Mapping[str, Array]]
    network: Mapping[str, Any]
    batch: Batch
    scaling: Scaling
    fields: Mapping[str, Fields]


class Output(NamedTuple):
    """A result of the exported function.

    Attributes:
        name: without the name of the model.
        task: that it is of.
        place: jets, or the stream of its constituents.
        axes: those of constituents; the first of all is that of jets.
        read: its values, with an entry of padding at the end of the axes.
        meaning: of integers, by number.
        unit: of the values.
    """

    name: str
    task: str
    place: str
    axes: tuple[int, ...]
    read: Callable[[Said], Array]
    meaning: Sequence[str] = ()
    unit: str = ""

    @property
    def of_network(self) -> bool:
        """Whether it is what the network says, which Athena does not read."""
        return "." in self.name


def outputs_of(
    tasks: Sequence[Task], schema: Schema, config: Config, batched: bool
) -> list[Output]:
    """All outputs of some tasks.

    Args:
        tasks: of a model.
        schema: of its files.
        config: of its run.
        batched: with what the network says itself: logits, and values in the scale of the targets.

    Raises:
        InputError: there is nothing to export of a task.
    """
    kinds = Counter((task.options.kind, place_of(task, schema)) for task in tasks)
    found: list[Output] = []
    for task in tasks:
        if task.options.kind not in BUILDERS:
            raise InputError(
                f"task `{task.name}` of kind `{task.options.kind}` can't be exported; there are: "
                + ", ".join(BUILDERS)
            )
        several = kinds[task.options.kind, place_of(task, schema)] > 1
        found += BUILDERS[task.options.kind](task, schema, config, several)
    found = [x for x in found if batched or not x.of_network]
    twice = [name for name, number in Counter(x.name for x in found).items() if number > 1]
    if twice:
        raise InputError(f"two tasks have the output `{twice[0]}`; choose one of them by --tasks")
    return found


def _classification(task: Task, schema: Schema, config: Config, several: bool) -> Iterator[Output]:
    del config
    label, prefix = schema.labels[task.options.label], f"{task.name}_" if several else ""
    place, classes = label.of, list(label.classes)

    def probability_of(column: int) -> Callable[[Said], Array]:
        return lambda said: jnp.exp(said.predictions[task.name]["log_prob"][..., column])

    def likeliest(said: Said) -> Array:
        return said.predictions[task.name]["log_prob"].argmax(-1).astype(jnp.int8)

    if place == JETS:
        for column, name in enumerate(classes):
            # `ptau` here, `ptaus` in a prediction file: both are Salt's.
            yield Output(f"{prefix}p{short(name)}", task.name, JETS, (), probability_of(column))
    else:
        names = [probability(name, False)[1:] for name in classes]
        yield Output(camel(task.name), task.name, place, (1,), likeliest, names)
    axes = () if place == JETS else (1,)
    yield Output(
        f"{task.name}.logits", task.name, place, axes, lambda said: said.network[task.name]
    )


def _regression(task: Task, schema: Schema, config: Config, several: bool) -> Iterator[Output]:
    options, place, name = task.options, task.options.of, task.name
    prefix = f"{name}_" if several else ""
    axes = () if place == JETS else (1,)
    inputs = (schema.jets if place == JETS else schema.streams[place]).inputs
    for target, other in options.denominators.items():
        if other not in inputs:
            raise InputError(
                f"task `{name}` can't be exported: `{target}` is divided by `{other}`, which is "
                f"no input of {place}"
            )

    def value(column: int, target: str, is_std: bool) -> Callable[[Said], Array]:
        def read(said: Said) -> Array:
            found, part = said.predictions[name], said.scaling.targets[name]
            denominator = options.denominators.get(target)
            factor = 1.0
            if denominator is not None:
                factor = said.fields[place][denominator]
                if place != JETS:
                    factor = jnp.pad(factor, ((0, 0), (0, 1)))
            if not is_std:
                return physical(found["values"], part)[..., column] * factor
            std = part.physical_std(found["values"], found["std"], jnp, jnp.float32)
            return std[..., column] * jnp.abs(factor)

        return read

    known = units(config.evaluation.fields)
    for column, target in enumerate(options.targets):
        for suffix in ("", "_stddev") if options.loss == "gaussian" else ("",):
            read = value(column, target, bool(suffix))
            unit = known.get(target, "")
            yield Output(f"{prefix}{target}{suffix}", name, place, axes, read, (), unit)
    yield Output(f"{name}.values", name, place, axes, lambda said: said.network[name])


def _edges(task: Task, schema: Schema, config: Config, several: bool) -> Iterator[Output]:
    del config
    place, prefix = schema.labels[task.options.label].of, f"{camel(task.name)}_" if several else ""

    def matrix(said: Said, values: Float[Array, "B P"]) -> Float[Array, "B L L"]:
        return edge_matrix(values, said.batch.streams[place].valid.shape[1])

    def logits(said: Said) -> Float[Array, "B L L"]:
        return matrix(said, said.predictions[task.name]["edge_logits"])

    def vertex(said: Said) -> Array:
        found, real = said.predictions[task.name], said.batch.streams[place].valid
        edges = matrix(said, jnp.where((found["edge_logits"] >= 0) & found["valid"], 1.0, 0.0))
        return jnp.where(real, vertices(edges > 0), -1).astype(jnp.int8)

    yield Output(f"{prefix}VertexIndex", task.name, place, (1,), vertex)
    yield Output(f"{task.name}.edge_logits", task.name, place, (1, 2), logits)


def _objects(task: Task, schema: Schema, config: Config, several: bool) -> Iterator[Output]:
    losses, of, name = task.options.losses, schema.objects[task.options.objects].of, task.name
    prefix, one = f"{name}_" if several else "", singular(task.options.objects)
    targets = list(losses.regression.targets) if losses.regression is not None else []
    pt = config.evaluation.fields.hadron_pt

    def properties(said: Said) -> Float[Array, "B Q R"]:
        part = said.scaling.targets[f"{name}.regression"]
        return physical(said.predictions[name]["regression"], part)

    def order(said: Said) -> tuple[Bool[Array, "B Q"], Int[Array, "B Q"]]:
        found = said.predictions[name]
        first = next(iter(found.values()))
        real = jnp.ones(first.shape[:2], bool)
        if "class_prob" in found:
            real = found["class_prob"].argmax(-1) < found["class_prob"].shape[-1] - 1
        size = properties(said)[..., targets.index(pt)] if pt in targets else jnp.zeros(real.shape)
        return real, ranks(jnp.where(real, size, -jnp.inf))

    def leading(column: int) -> Callable[[Said], Array]:
        def read(said: Said) -> Float[Array, " B"]:
            real, rank = order(said)
            values = jnp.where(real & (rank == 0), properties(said)[..., column], 0.0).sum(-1)
            return jnp.where(real.any(-1), values, jnp.nan)

        return read

    def index(said: Said) -> Array:
        query, (_, rank) = said.predictions[name]["mask_index"], order(said)
        is_of = query[:, None, :] == jnp.arange(rank.shape[1])[None, :, None]
        return jnp.where(is_of, rank[..., None] + 1, 0).sum(1).astype(jnp.int8) - jnp.int8(1)

    known = units(config.evaluation.fields)
    for column, target in enumerate(targets) if pt in targets else ():
        text = f"{prefix}leading_{one}_{target}"
        yield Output(text, name, JETS, (), leading(column), (), known.get(target, ""))
    has_masks = losses.mask_ce is not None or losses.mask_dice is not None
    if has_masks:
        yield Output(f"{prefix}{one}Index", name, of, (1,), index)
    for leaf, exists in (
        ("class_logits", losses.object_class is not None),
        ("mask_logits", has_masks),
        ("regression", bool(targets)),
    ):
        axes = (2,) if leaf == "mask_logits" else ()
        if exists:
            yield Output(
                f"{name}.{leaf}", name, of if axes else JETS, axes, partial(_leaf, name, leaf)
            )


def _leaf(task: str, leaf: str, said: Said) -> Array:
    return getattr(said.network[task].objects, leaf)


def physical(values: Float[Array, "... R"], part: FieldScaling) -> Float[Array, "... R"]:
    """x of standardised values, in the units of the file; in float32."""
    return part.to_physical(values, jnp, jnp.float32)


# Kind of task -> its outputs.
BUILDERS = {
    "classification": _classification,
    "regression": _regression,
    "edges": _edges,
    "objects": _objects,
}
