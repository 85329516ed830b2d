"""Confusion matrices, from which every accuracy, efficiency and purity of a class is read.

The matrices are computed inside `jax.jit`; those of batches add up, so that a file of any length or
a validation pass needs no more than one.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from maskformer_jax.types import Batch, Targets, jets_of_rows


def confusion_matrix(
    true_index: Int[Array, "..."],
    predicted_index: Int[Array, "..."],
    counted: Bool[Array, "..."],
    num_classes: int,
) -> Int[Array, "C C"]:
    """Number of entries of each true class (row) and predicted class (column).

    Args:
        true_index: class of each entry; outside 0..C-1 it is not counted.
        predicted_index: predicted class.
        counted: False for entries to leave out, such as padding.
        num_classes: C.
    """
    counted = counted & (true_index >= 0) & (true_index < num_classes)
    cell = jnp.where(counted, true_index * num_classes + predicted_index, num_classes**2)
    counts = jnp.bincount(cell.ravel(), length=num_classes**2 + 1)
    return counts[:-1].reshape(num_classes, num_classes)


class Fraction(NamedTuple):
    """Part of a number of independent trials.

    Attributes:
        value: passed/total; NaN for no trial.
        error: binomial standard error sqrt(value (1 - value) / total).
        passed: successes.
        total: trials.
    """

    value: float
    error: float
    passed: int
    total: int


def fraction(passed: int, total: int) -> Fraction:
    """The fraction `passed` of `total` with its binomial error.

    >>> fraction(1, 4)
    Fraction(value=0.25, error=0.21650635094610965, passed=1, total=4)
    """
    if total == 0:
        return Fraction(math.nan, math.nan, 0, 0)
    value = passed / total
    return Fraction(value, math.sqrt(value * (1 - value) / total), int(passed), int(total))


def accuracy(confusion: Int[np.ndarray, "C C"]) -> Fraction:
    """Entries whose predicted class is the true one."""
    return fraction(int(np.trace(confusion)), int(np.sum(confusion)))


class ObjectMetrics(NamedTuple):
    """How well matched objects find the hadrons; an object is called one of its likeliest class.

    Attributes:
        efficiency: real hadrons whose matched object is not `none`.
        purity: objects other than `none` that are matched to a real hadron.
        class_accuracy: real hadrons whose matched object has the right class.
        overall_accuracy: rows, real or `none`, whose matched object has the right class.
    """

    efficiency: Fraction
    purity: Fraction
    class_accuracy: Fraction
    overall_accuracy: Fraction


def object_metrics(confusion: Int[np.ndarray, "C C"]) -> ObjectMetrics:
    """Metrics of the objects from their confusion matrix, `none` being the last class."""
    real = confusion[:-1]
    found = int(np.sum(real[:, :-1]))
    return ObjectMetrics(
        efficiency=fraction(found, int(np.sum(real))),
        purity=fraction(found, int(np.sum(confusion[:, :-1]))),
        class_accuracy=fraction(int(np.trace(real[:, :-1])), int(np.sum(real))),
        overall_accuracy=accuracy(confusion),
    )


class Confusions(NamedTuple):
    """Confusion matrices of the three classifications; those of several batches add up.

    Attributes:
        flavour: of the jets.
        track_origin: of the tracks.
        objects: of the objects, `none` last.
    """

    flavour: Int[Array, "C C"]
    track_origin: Int[Array, "C C"]
    objects: Int[Array, "C C"]


def confusions(
    jet_class_logits: Float[Array, "B jet_classes"],
    origin_logits: Float[Array, "N L origins"],
    object_class_logits: Float[Array, "B M object_classes"],
    batch: Batch,
    targets: Targets,
) -> Confusions:
    """Confusion matrices of a batch; logits may be probabilities.

    Args:
        jet_class_logits: flavours.
        origin_logits: track origins.
        object_class_logits: of the object that is matched to each truth object.
        batch: says what is padding.
        targets: true classes; jets and tracks of class -1 do not count.
    """
    objects = jnp.broadcast_to(batch.jet_valid[:, None], targets.object_class_index.shape)
    return Confusions(
        flavour=_likeliest(jet_class_logits, targets.jet_class_index, batch.jet_valid),
        track_origin=_likeliest(origin_logits, targets.origin_index, jets_of_rows(batch).any(1)),
        objects=_likeliest(object_class_logits, targets.object_class_index, objects),
    )


def _likeliest(logits: Array, true_index: Array, counted: Array) -> Array:
    return confusion_matrix(true_index, jnp.argmax(logits, axis=-1), counted, logits.shape[-1])
