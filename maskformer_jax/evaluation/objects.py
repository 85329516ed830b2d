"""Classes of the objects that are matched to the true ones, such as hadrons."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.section import Chunk, Setting
from maskformer_jax.tasks.confusion import Fraction, fraction, object_metrics
from maskformer_jax.tasks.task import Task

# An object is called one of a class when the probability of the class is above this.
PROB_CUT = 0.5


class ValidRates(NamedTuple):
    """Objects of any hadron class with a probability above 1/2, against `none`.

    Attributes:
        tpr: of the slots with a true hadron, those whose object is one: the efficiency.
        fpr: of the empty slots, those whose object is one.
        fnr: 1 - tpr.
        tnr: 1 - fpr.
    """

    tpr: Fraction
    fpr: Fraction
    fnr: Fraction
    tnr: Fraction


def cut_confusion(
    true_index: Int[np.ndarray, "B M"], prob: Float[np.ndarray, "B M C"]
) -> Int[np.ndarray, "C C"]:
    """Objects of each true class (row) and class with a probability above 1/2 (column).

    Args:
        true_index: class of each truth slot, the last, `none`, for an empty one.
        prob: of the object that is matched to each slot, `none` last. An object none of whose
            hadron classes is above 1/2 is in the last column.
    """
    none = prob.shape[-1] - 1
    hadrons = prob[..., :none]
    index = np.where(hadrons.max(axis=-1) > PROB_CUT, hadrons.argmax(axis=-1), none)
    cells = np.bincount((true_index * (none + 1) + index).ravel(), minlength=(none + 1) ** 2)
    return cells.reshape(none + 1, none + 1)


def valid_rates(confusion: Int[np.ndarray, "C C"]) -> ValidRates:
    """Rates of hadron or `none`, from the matrix of `cut_confusion`."""
    real, empty = np.sum(confusion[:-1], axis=0), confusion[-1]
    trues, falses = int(np.sum(real)), int(np.sum(empty))
    return ValidRates(
        tpr=fraction(trues - int(real[-1]), trues),
        fpr=fraction(falses - int(empty[-1]), falses),
        fnr=fraction(int(real[-1]), trues),
        tnr=fraction(int(empty[-1]), falses),
    )


def flavour_accuracy(
    confusion: Int[np.ndarray, "C C"], classes: Sequence[str]
) -> dict[str, Fraction]:
    """True hadrons whose own class has a probability above 1/2, of all classes and of each.

    Args:
        confusion: of `cut_confusion`.
        classes: their names; their concatenation, `bc`, names all of them.
    """
    right, total = np.diag(confusion)[:-1], np.sum(confusion[:-1], axis=1)
    result = {"".join(classes): fraction(int(right.sum()), int(total.sum()))}
    for name, passed, number in zip(classes, right, total, strict=True):
        result[name] = fraction(int(passed), int(number))
    return result


class ObjectsSection:
    """Classes of the objects, each matched to the truth slot that it explains best.

    The cost of a match knows the true class and properties, as in training, so that a hadron is
    given an object of its own class where there is one: b and c hadrons are confused less than they
    would be in a matching by tracks alone.
    """

    def __init__(self, setting: Setting, task: Task):
        """Starts empty.

        Args:
            setting: of the test file.
            task: of objects with classes.
        """
        self._task, self._of = task.name, task.options.objects
        self._label = task.options.losses.object_class.label
        self._classes = list(setting.schema.labels[self._label].classes)
        shape = (len(self._classes) + 1,) * 2
        self._likeliest, self._cut = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._likeliest += np.asarray(chunk.counts[self._task]["confusion"])
        index, prob = chunk.labels[self._label], chunk.predictions[self._task]["class_prob"]
        self._cut += cut_confusion(index, prob[:, : index.shape[1]])

    def metrics(self) -> dict[str, Any]:
        """`ObjectMetrics` and confusion of the likeliest class, rates at a probability of 1/2."""
        return {
            "of": self._of,
            **object_metrics(self._likeliest)._asdict(),
            "confusion": self._likeliest,
            "valid": valid_rates(self._cut),
            "flavour": flavour_accuracy(self._cut, self._classes),
        }

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
