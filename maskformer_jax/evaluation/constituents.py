"""Classification of the constituents of a stream, such as tracks by their origin."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.names import in_words, singular
from maskformer_jax.evaluation.quantities import against_constant, count, number, share
from maskformer_jax.evaluation.results import Confusion, Part, Quantity, Table, table_of
from maskformer_jax.evaluation.section import Chunk, Setting
from maskformer_jax.tasks.confusion import Fraction, accuracy, fraction
from maskformer_jax.tasks.task import Task

# Row of the means over the classes, whose recall is the accuracy.
MEAN = "weighted mean"
COLUMNS = in_words("auc", "precision", "recall", "f1")
WEIGHTS = (
    "The mean has the numbers of the classes as weights, its errors take the classes as "
    "independent; that of the recall is the accuracy. A class that nothing is called counts as 0 "
    "in that of the precision."
)


def areas(
    prob: Float[np.ndarray, "T C"], true_index: Int[np.ndarray, " T"]
) -> Float[np.ndarray, " C"]:
    """Area under the ROC curve of each class against all others.

    NaN for a class that has a probability of NaN, no entries or all of them.

    Args:
        prob: of each class.
        true_index: class of each entry.
    """
    from sklearn.metrics import roc_auc_score

    found = np.full(prob.shape[1], np.nan)
    for index, score in enumerate(prob.T):
        own = true_index == index
        if own.any() and not own.all() and not np.isnan(score).any():
            found[index] = roc_auc_score(own, score)
    return found


def weighted(values: Float[np.ndarray, " C"], numbers: Int[np.ndarray, " C"]) -> float:
    """Mean with the true numbers of the classes as weights; NaN without entries."""
    present = numbers > 0
    return float(np.average(values[present], weights=numbers[present])) if any(present) else np.nan


def area_error(value: float, positive: int, negative: int) -> float:
    """Standard error of an area under a ROC curve; NaN without entries of either kind.

    Source: Hanley and McNeil, Radiology 143 (1982) 29, for independent entries.
    """
    if not (positive and negative) or math.isnan(value):
        return math.nan
    both_positive, both_negative = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (
        value * (1 - value)
        + (positive - 1) * (both_positive - value**2)
        + (negative - 1) * (both_negative - value**2)
    ) / (positive * negative)
    return math.sqrt(max(variance, 0.0))


class ConstituentsSection:
    """Classes of the constituents of a stream: the likeliest, and each against all others.

    A constituent takes 34 bytes with eight classes, since areas need them all.
    """

    def __init__(self, setting: Setting, task: Task):
        """Starts empty.

        Args:
            setting: of the test file.
            task: a classification of the constituents.
        """
        self._task, self._label, self._of = task.name, task.options.label, setting.place(task)
        self._classes = setting.classes(task)
        self._confusion = np.zeros((len(self._classes),) * 2, np.int64)
        self._prob: list[Float[np.ndarray, "T C"]] = []
        self._index: list[Int[np.ndarray, " T"]] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in the labelled constituents of some jets."""
        self._confusion += np.asarray(chunk.counts[self._task]["confusion"])
        index = chunk.labels[self._label]
        prob = np.exp(chunk.predictions[self._task]["log_prob"][index >= 0])
        self._prob.append(prob.astype(np.float32))
        self._index.append(index[index >= 0].astype(np.int16))

    def part(self) -> Part:
        """A table of the classes, each against all others, and the confusion matrix."""
        words = f"{singular(self._of)} {self._label}".replace("_", " ").capitalize()
        counts = self._confusion.tolist()
        title = f"{self._label.replace('_', ' ')} of the {self._of}"
        confusion = Confusion(f"{self._task}_confusion", title, self._classes, counts)
        return Part([self._table(f"{words}, each class against all others")], [confusion])

    def _table(self, title: str) -> Table:
        auc = areas(np.concatenate(self._prob), np.concatenate(self._index))
        numbers, called = self._confusion.sum(axis=1), self._confusion.sum(axis=0)
        right = self._confusion.diagonal()
        total = int(numbers.sum())
        errors = np.array(
            [area_error(x, n, total - n) for x, n in zip(auc, numbers.tolist(), strict=True)]
        )
        cells = {
            name: {
                "auc": against_constant(number(auc[i], errors[i], better="high"), 0.5),
                "precision": share(self._right(i, called), ""),
                "recall": share(self._right(i, numbers), ""),
                "f1": _f1(self._right(i, numbers + called - right), int(numbers[i])),
                "number": count(numbers[i]),
            }
            for i, name in enumerate(self._classes)
        }
        # A class that none is called has no precision of its own, and counts as 0 in the mean.
        precision, f1 = (
            weighted(counted * right / np.maximum(of, 1), numbers)
            for counted, of in ((1, called), (2, numbers + called))
        )

        def error(column: str) -> float:
            own = [cells[name].get(column) for name in self._classes]
            own = [0.0 if q is None or math.isnan(q.error) else q.error for q in own]
            return math.sqrt(np.sum((numbers / max(total, 1) * own) ** 2))

        mean = number(weighted(auc, numbers), error("auc"), better="high")
        cells[MEAN] = {
            "auc": against_constant(mean, 0.5),
            "precision": number(precision, error("precision"), better="high"),
            "recall": share(accuracy(self._confusion)),
            "f1": number(f1, error("f1"), better="high"),
            "number": count(total),
        }
        columns = {**COLUMNS, "number": self._of}
        note = f"Errors of AUC take the {self._of} as independent, so they are somewhat too small."
        options = {"corner": self._label.replace("_", " "), "notes": (note, WEIGHTS)}
        return table_of(self._label, title, {n: n for n in cells}, columns, cells, **options)

    def _right(self, index: int, of: Int[np.ndarray, " C"]) -> Fraction:
        """The fraction of so many of a class that are right."""
        return fraction(int(self._confusion[index, index]), int(of[index]))


def _f1(part: Fraction, true: int) -> Quantity | None:
    """F1 = 2 J/(1 + J) of the fraction J that is right of those that are or are called of a class.

    The error is that of J, binomial. A class without entries has none.
    """
    found = share(part, "") if true else None
    if found is None:
        return None
    slope = 2 / (1 + found.value) ** 2
    return replace(found, value=slope * found.value * (1 + found.value), error=slope * found.error)
