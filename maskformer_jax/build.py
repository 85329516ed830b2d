"""From a configuration to the network and its losses: the entry for every model.

config = load(["--config", "configs/gn2.yaml"])
model = build(config)
outputs = model.apply(model.params, batch)
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from maskformer_jax import tasks
from maskformer_jax.config import Config
from maskformer_jax.data import load_class_weights, schema
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.gradients import LossSums
from maskformer_jax.model import network
from maskformer_jax.model.network import Apply, Params
from maskformer_jax.tasks import KINDS, Kind
from maskformer_jax.tasks.task import Context, Task, losses_of
from maskformer_jax.types import JETS, Batch, Labels, Outputs


class Model(NamedTuple):
    """A network with what it learns.

    Attributes:
        apply: `apply(params, batch, key=None)`, outputs by task; dropout acts with a key.
        params: initial parameters, nested dictionaries of float32 arrays.
        tasks: in the order of the configuration.
        losses: names of all losses, in order; K is their number.
        terms: `terms(outputs, batch, labels)`, the losses as sums, one by one.
        schema: what is read of a file.
        tokens: states of a jet beside its constituents, which cost as much arithmetic.
    """

    apply: Apply
    params: Params
    tasks: list[Task]
    losses: tuple[str, ...]
    terms: Callable[[Outputs, Batch, Labels], list[LossSums]]
    schema: Schema
    tokens: int


def build(config: Config, kinds: Mapping[str, Kind] = KINDS) -> Model:
    """Network and losses, as the configuration says.

    Args:
        config: `data`, `model`, `tasks`, `without` and `training.seed` are read.
        kinds: kinds of tasks; a larger table than `KINDS` adds one of one's own.

    Raises:
        InputError: something that the configuration names is not there.
    """
    built = build_tasks(config, kinds)
    data = config.data
    apply, params = network.build(
        config.model,
        {name: stream.inputs for name, stream in data.streams.items()},
        data.jets.inputs,
        {task.name: task.head for task in tasks.in_order(built)},
        config.training.seed,
    )
    return Model(
        apply=apply,
        params=params,
        tasks=built,
        losses=tuple(loss for task in built for loss in task.losses),
        terms=losses_of(built),
        schema=schema.build(data, [task.needs for task in built]),
        tokens=config.model.encoder.registers + sum(task.tokens for task in built),
    )


def build_tasks(config: Config, kinds: Mapping[str, Kind] = KINDS) -> list[Task]:
    """The tasks alone, without drawing the network's parameters.

    Raises:
        InputError: as for `build`.
    """
    return tasks.build(config.tasks, config.without, context_of(config), kinds)


def context_of(config: Config) -> Context:
    """What the tasks are built with.

    Raises:
        InputError: there are no inputs.
    """
    data, model = config.data, config.model
    if not data.streams and not data.jets.inputs:
        raise InputError(
            "`data` must name inputs: streams, or inputs of the jets; got neither: `--config` "
            "names a model, such as gn2"
        )

    def class_weights(label: str, classes: list[str]) -> np.ndarray:
        if data.class_file is None:
            raise InputError("`data.class_file` must be given when `class_weights` is `file`")
        entry = data.labels[label]
        places = {JETS: data.jets, **data.streams, **data.objects}
        dataset = places[entry.of].dataset
        weights = load_class_weights(data.class_file, dataset, entry.field, classes)
        return np.array(weights, np.float32)

    return Context(
        data=data,
        model=model,
        widths=network.widths_of(model, len(data.jets.inputs), len(data.streams)),
        style=network.style_of(model),
        class_weights=class_weights,
    )
