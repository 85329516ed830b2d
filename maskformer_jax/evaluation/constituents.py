"""Classification of the constituents of a stream, such as tracks by their origin."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.section import Chunk, Setting
from maskformer_jax.tasks.confusion import accuracy
from maskformer_jax.tasks.task import Task

# Bins of the log-odds of a class, over all that float32 probabilities between 0 and 1 can have. Two
# entries of one bin count as equal, which changes the area under a ROC curve by at most half the
# fraction of pairs that share a bin.
LOG_ODDS_RANGE = (-104.0, 18.0)
LOG_ODDS_BINS = 2**18


class ClassMetrics(NamedTuple):
    """How well the constituents of one class are told from all others.

    Attributes:
        auc: area under the ROC curve of the probability of the class; NaN without entries of the
            class or of any other.
        precision: those called so that are so, TP / (TP + FP); NaN where none is called so.
        recall: those of the class that are called so, TP / (TP + FN).
        f1: harmonic mean of the two.
        number: true ones of the class.
    """

    auc: float
    precision: float
    recall: float
    f1: float
    number: int


class ClassAverages(NamedTuple):
    """Means over the classes, each with the weight of its true number.

    Attributes:
        auc: one class against all others.
        precision: a class that none is called counts as 0.
        recall: equal to the accuracy.
        f1: as the others.
    """

    auc: float
    precision: float
    recall: float
    f1: float


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


def class_metrics(
    confusion: Int[np.ndarray, "C C"], auc: Float[np.ndarray, " C"], classes: Sequence[str]
) -> dict[str, ClassMetrics]:
    """Metrics of each class.

    Args:
        confusion: number of each true (row) and likeliest class (column).
        auc: area under the ROC curve of each class.
        classes: their names.
    """
    scores = zip(auc, *_scores(confusion, np.nan), strict=True)
    numbers = np.sum(confusion, axis=1)
    return {
        name: ClassMetrics(*(float(x) for x in row), int(number))
        for name, row, number in zip(classes, scores, numbers, strict=True)
    }


def class_averages(
    confusion: Int[np.ndarray, "C C"], auc: Float[np.ndarray, " C"]
) -> ClassAverages:
    """Means of `auc` and of the other metrics; NaN without entries, and of AUC with one class."""
    numbers = np.sum(confusion, axis=1)
    present = numbers > 0
    if not present.any():
        return ClassAverages(*[np.nan] * 4)
    rows = (auc, *_scores(confusion, 0.0))
    return ClassAverages(
        *(float(np.average(row[present], weights=numbers[present])) for row in rows)
    )


def _scores(
    confusion: Int[np.ndarray, "C C"], undefined: float
) -> tuple[Float[np.ndarray, " C"], ...]:
    from sklearn.metrics import precision_recall_fscore_support

    if not np.any(confusion):
        return (np.full(len(confusion), np.nan),) * 3
    index = np.arange(len(confusion))
    true, predicted = (x.ravel() for x in np.meshgrid(index, index, indexing="ij"))
    return precision_recall_fscore_support(
        true,
        predicted,
        labels=index,
        sample_weight=np.ravel(confusion),
        zero_division=undefined,
    )[:3]


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

    def metrics(self) -> dict[str, Any]:
        """Accuracy, confusion matrix, `ClassMetrics` of each class, `ClassAverages`."""
        auc = self._scores.auc()
        return {
            "of": self._of,
            "label": self._label,
            "accuracy": accuracy(self._confusion),
            "confusion": self._confusion,
            "classes": class_metrics(self._confusion, auc, self._classes),
            "weighted": class_averages(self._confusion, auc),
        }

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
