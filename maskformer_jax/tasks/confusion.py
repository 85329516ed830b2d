"""Confusion matrices, from which every accuracy, efficiency and purity of a class is read.

The matrices are computed inside `jax.jit`; those of batches add up, so that a file of any length or
a validation pass needs no more than one.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


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
