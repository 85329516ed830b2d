"""Classification of jets or of the constituents of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from maskformer_jax.data.schema import Needs
from maskformer_jax.errors import InputError, check, check_range, known
from maskformer_jax.gradients import LossSums
from maskformer_jax.model.config import MAX_WIDTH
from maskformer_jax.tasks import losses
from maskformer_jax.tasks.confusion import accuracy, confusion_matrix
from maskformer_jax.tasks.head import EntryHead
from maskformer_jax.tasks.task import (
    Context,
    Kind,
    Task,
    check_place,
    check_weight,
    label_of,
    real_entries,
    weighted_sum,
    weights_of,
)
from maskformer_jax.types import JETS, Batch, Labels

ClassWeights = dict[str, float] | Literal["file"] | None


@dataclass(frozen=True)
class ClassificationConfig:
    """One of several classes for each jet, or for each constituent of a stream.

    Attributes:
        label: a label with classes.
        class_weights: class -> weight of its entries in the loss, 1 for those not named; or
            `file`: those of `data.class_file`.
        sample_weight: label of the weights of the entries in the loss; none: 1.
        head_widths: hidden layers; none: those of the model.
        pool_queries: an objects task whose pooled queries the head of a jet reads too.
        kind: of the task.
    """

    label: str
    class_weights: ClassWeights = None
    sample_weight: str | None = None
    head_widths: list[int] | None = None
    pool_queries: str | None = None
    kind: Literal["classification"] = "classification"

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, "head_widths")


def class_weights_of(
    given: ClassWeights, label: str, classes: list[str], context: Context, task: str
) -> np.ndarray:
    """Weight of each class, float32.

    Raises:
        InputError: a class is not there, or a weight not positive.
    """
    if given == "file":
        return context.class_weights(label, classes)
    given = given or {}
    for name, weight in given.items():
        known(name, classes, f"class of `tasks.{task}.class_weights`")
        check(0 < weight < np.inf, f"tasks.{task}.class_weights.{name}", "be positive", weight)
    return np.array([given.get(name, 1.0) for name in classes], np.float32)


def build(name: str, options: ClassificationConfig, context: Context) -> Task:
    """The task.

    Raises:
        InputError: the label has no classes or lives elsewhere, or a weight is wrong.
    """
    label = label_of(options.label, context, name)
    check_place(label.of, context, name)
    if label.classes is None:
        raise InputError(f"`tasks.{name}.label` must have classes; got {options.label!r}")
    check(
        options.pool_queries is None or label.of == JETS,
        f"tasks.{name}.pool_queries",
        "be left out unless the label is of jets",
        options.pool_queries,
    )
    classes = list(label.classes)
    weights = class_weights_of(options.class_weights, options.label, classes, context, name)
    read = check_weight(options.sample_weight, label.of, context, name)
    widths = context.head_widths(options)

    def head(rngs: nnx.Rngs) -> EntryHead:
        return EntryHead(label.of, len(classes), widths, context, options.pool_queries, rngs)

    def terms(logits: Float[Array, "... C"], batch: Batch, labels: Labels) -> list[LossSums]:
        index = labels[options.label]
        counted = real_entries(label.of, batch) & (index >= 0)
        weight = weights_of(options.sample_weight, label.of, batch, labels, context)
        if options.class_weights is not None:
            weight = weight * jnp.asarray(weights)[index]
        return [weighted_sum(losses.cross_entropy(logits, index), jnp.where(counted, weight, 0.0))]

    def count(logits: Float[Array, "... C"], batch: Batch, labels: Labels) -> dict[str, Array]:
        if options.label not in labels:
            return {}
        index, predicted = labels[options.label], logits.argmax(-1)
        real = real_entries(label.of, batch)
        return {"confusion": confusion_matrix(index, predicted, real, len(classes))}

    def figures(sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        found = accuracy(sums["confusion"])
        return {f"accuracy/{name}": found.value} if found.total else {}

    def predict(logits: Any, batch: Batch, labels: Labels) -> dict[str, Array]:
        del batch, labels
        return {"log_prob": jax.nn.log_softmax(logits.astype(jnp.float32))}

    return Task(
        name=name,
        options=options,
        losses=(name,),
        needs=Needs({options.label: label, **read}),
        head=head,
        terms=terms,
        quantities=(f"accuracy/{name}",),
        count=count,
        figures=figures,
        predict=predict,
        reads=(options.pool_queries,) if options.pool_queries else (),
    )


KIND = Kind(ClassificationConfig, build)
