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

# Bins of the log-odds of a class, over all that float32 probabilities between 0 and 1 can have. Two
# entries of one bin count as equal, which changes the area under a ROC curve by at most half the
# fraction of pairs that share a bin.
LOG_ODDS_RANGE = (-104.0, 18.0)
LOG_ODDS_BINS = 2**18


# Row of the means over the classes, whose recall is the accuracy.
MEAN = "weighted mean"
COLUMNS = in_words("auc", "precision", "recall", "f1")
WEIGHTS = (
    "The mean has the numbers of the classes as weights, its errors take the classes as "
    "independent; that of the recall is the accuracy. A class that nothing is called counts as 0 "
    "in that of the precision."
)


class ClassScores:
    """Histograms of the score of every class, for its entries and for all others."""

    def __init__(self, classes: int):
        """Starts empty; 4 MB per class, however many tracks are added."""
        self._counts = np.zeros((classes, 2, LOG_ODDS_BINS), np.int64)
        self._undefined = np.zeros(classes, bool)

    def add(self, prob: Float[np.ndarray, "T C"], true_index: Int[np.ndarray, " T"]) -> None:
        """Takes in T entries.

        Args:
            prob: of each class.
            true_index: class of each.
        """
        self._undefined |= np.isnan(prob).any(axis=0)
        prob = np.where(np.isnan(prob), 0.0, prob.astype(np.float64))
        with np.errstate(divide="ignore"):
            log_odds = np.log(prob) - np.log1p(-prob)
        low, high = LOG_ODDS_RANGE
        scaled = (log_odds - low) / (high - low) * LOG_ODDS_BINS
        column = np.clip(scaled, 0, LOG_ODDS_BINS - 1).astype(np.int64)
        classes = np.arange(prob.shape[1])
        is_own = (true_index[:, None] == classes).astype(int)
        np.add.at(self._counts, (classes, is_own, column), 1)

    def auc(self) -> Float[np.ndarray, " C"]:
        """Area under the ROC curve of each class against all others.

        It differs from the area without bins by less than 1e-4, if the log-odds of a class have a
        standard deviation of at least 0.05: a network that has learnt nothing may have less. NaN
        for a class that has a probability of NaN, no entries or all of them.
        """
        areas = np.array([_auc(others, own) for others, own in self._counts])
        return np.where(self._undefined, np.nan, areas)


def _auc(others: Int[np.ndarray, " X"], own: Int[np.ndarray, " X"]) -> float:
    from sklearn.metrics import roc_auc_score

    if not (others.any() and own.any()):
        return np.nan
    is_own = np.repeat([0, 1], len(own))
    counts = np.concatenate([others, own])
    score = np.tile(np.arange(len(own)), 2)
    filled = counts > 0
    return float(roc_auc_score(is_own[filled], score[filled], sample_weight=counts[filled]))


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
    """Classes of the constituents of a stream: the likeliest, and each against all others."""

    def __init__(self, setting: Setting, task: Task):
        """Starts empty.

        Args:
            setting: of the test file.
            task: a classification of the constituents.
        """
        self._task, self._label, self._of = task.name, task.options.label, setting.place(task)
        self._classes = setting.classes(task)
        self._confusion = np.zeros((len(self._classes),) * 2, np.int64)
        self._scores = ClassScores(len(self._classes))

    def add(self, chunk: Chunk) -> None:
        """Takes in the labelled constituents of some jets."""
        self._confusion += np.asarray(chunk.counts[self._task]["confusion"])
        index = chunk.labels[self._label]
        prob = np.exp(chunk.predictions[self._task]["log_prob"][index >= 0])
        self._scores.add(prob, index[index >= 0])

    def part(self) -> Part:
        """A table of the classes, each against all others, and the confusion matrix."""
        words = f"{singular(self._of)} {self._label}".replace("_", " ").capitalize()
        counts = self._confusion.tolist()
        title = f"{self._label.replace('_', ' ')} of the {self._of}"
        confusion = Confusion(f"{self._task}_confusion", title, self._classes, counts)
        return Part([self._table(f"{words}, each class against all others")], [confusion])

    def _table(self, title: str) -> Table:
        auc = self._scores.auc()
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
