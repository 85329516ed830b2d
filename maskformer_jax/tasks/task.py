"""What every kind of task gives, and what it is given to build it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.data.config import DataConfig
from maskformer_jax.data.schema import Needs
from maskformer_jax.errors import InputError, known
from maskformer_jax.gradients import LossSums
from maskformer_jax.model.config import ModelConfig
from maskformer_jax.model.layers import Style
from maskformer_jax.model.network import Widths
from maskformer_jax.types import JETS, Batch, Labels, Stream

Sums = Mapping[str, Array]


class Context(NamedTuple):
    """What a task is built with beside its own options.

    Attributes:
        data: what is in the files.
        model: sizes of the network.
        widths: of what its head is given.
        style: of its layers.
        class_weights: `class_weights(label, classes)`, weights of the class file.
    """

    data: DataConfig
    model: ModelConfig
    widths: Widths
    style: Style
    class_weights: Callable[[str, list[str]], np.ndarray]

    def head_widths(self, options: Any) -> tuple[int, ...]:
        """Hidden layers of the heads of a task: its own, or those of the model."""
        own = options.head_widths
        return tuple(self.model.head_widths if own is None else own)


class Task(NamedTuple):
    """A task of the network, built.

    Attributes:
        name: as in the configuration.
        options: its configuration.
        losses: names of its losses, in order.
        needs: what is read for it.
        head: `head(rngs)`, the part of the network that predicts.
        terms: `terms(output, batch, labels)`, its losses as sums.
        quantities: names of its figures of merit.
        count: `count(output, batch, labels)`, what `figures` are made of; those of batches add up.
        figures: quick figures of merit from these sums, by name; one that nothing was counted for
            is left out.
        predict: `predict(output, batch, labels)`, arrays by name, as an evaluation wants them;
            labels may lack what a file has not.
        reads: tasks whose outputs the head reads.
        tokens: states that its head adds to each jet, which cost as much as constituents.
    """

    name: str
    options: Any
    losses: tuple[str, ...]
    needs: Needs
    head: Callable[[nnx.Rngs], nnx.Module]
    terms: Callable[[Any, Batch, Labels], list[LossSums]]
    quantities: tuple[str, ...]
    count: Callable[[Any, Batch, Labels], Sums]
    figures: Callable[[Mapping[str, np.ndarray]], dict[str, float]]
    predict: Callable[[Any, Batch, Labels], dict[str, Array]]
    reads: tuple[str, ...] = ()
    tokens: int = 0


class Kind(NamedTuple):
    """A kind of task: an entry of the table that `kind` is looked up in.

    Attributes:
        options: frozen dataclass of what a configuration says about such a task.
        build: `build(name, options, context)`, the task.
    """

    options: type
    build: Callable[[str, Any, Context], Task]


def weighted_sum(
    terms: Float[Array, "..."], weight: Float[Array, "..."] | Bool[Array, "..."]
) -> LossSums:
    """Weighted sum of the terms and sum of the weights; a term of weight zero may be anything."""
    weight = jnp.broadcast_to(weight, terms.shape)
    return LossSums(jnp.where(weight != 0, terms * weight, 0.0).sum(), weight.sum())


def label_of(name: str, context: Context, task: str) -> Any:
    """The label that a task names.

    Raises:
        InputError: there is none of this name.
    """
    known(name, context.data.labels, f"label (`tasks.{task}`)")
    return context.data.labels[name]


def check_place(of: str, context: Context, task: str) -> None:
    """Raises InputError unless `of` is `jets` or a stream."""
    places = [JETS, *context.data.streams]
    if of not in places:
        raise InputError(f"`tasks.{task}` must be of {' or '.join(places)}; its label is of {of!r}")


def real_entries(of: str, batch: Batch) -> Bool[Array, "..."]:
    """True for real jets `[B]`, or for real constituents `[N, L]` of a stream."""
    return batch.jet_valid if of == JETS else batch.streams[of].jets_of_rows().any(1)


def weights_of(
    sample_weight: str | None, of: str, batch: Batch, labels: Labels, context: Context
) -> Float[Array, "..."] | float:
    """Weight of each entry of a place in the losses, from a label of the same place or of jets.

    Args:
        sample_weight: name of the label; none: 1.
        of: `jets`, a stream or objects.
        batch: of the labels.
        labels: among them the weights.
        context: where the label lives.
    """
    if sample_weight is None:
        return 1.0
    weight, at = labels[sample_weight], context.data.labels[sample_weight].of
    if at == of:
        return weight
    if of in batch.streams:
        return per_constituent(weight, batch.streams[of])
    return weight[:, None]


def per_constituent(per_jet: Float[Array, " B"], stream: Stream) -> Float[Array, "N L"]:
    """A value of each jet at each of its constituents; zero at padding."""
    own = stream.jets_of_rows().astype(jnp.float32)
    return jnp.einsum("njl,nj->nl", own, per_jet.reshape(own.shape[:2]), precision="highest")


def check_weight(sample_weight: str | None, of: str, context: Context, task: str) -> dict[str, Any]:
    """The label of the sample weights, to be read; empty without one.

    Raises:
        InputError: there is no such label, it has classes, or it is of another place.
    """
    if sample_weight is None:
        return {}
    label = label_of(sample_weight, context, task)
    if label.classes is not None or label.of not in (JETS, of):
        raise InputError(
            f"`tasks.{task}.sample_weight` must name a label without classes of {JETS} or {of}; "
            f"got {sample_weight!r}"
        )
    return {sample_weight: label}


def losses_of(tasks: list[Task]) -> Callable[[Mapping[str, Any], Batch, Labels], list[LossSums]]:
    """The losses of all tasks one by one, in the order of the configuration."""

    def terms(outputs: Mapping[str, Any], batch: Batch, labels: Labels) -> list[LossSums]:
        return [term for task in tasks for term in task.terms(outputs[task.name], batch, labels)]

    return terms
