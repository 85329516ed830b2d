"""Classification of the constituents of a stream, such as tracks by their origin."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.names import in_words, singular
from maskformer_jax.evaluation.quantities import against_constant, count, number, share
from maskformer_jax.evaluation.results import Confusion, Part, Quantity, table_of
from maskformer_jax.evaluation.section import Chunk, Section
from maskformer_jax.tasks.confusion import Fraction, accuracy, fraction

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


class ConstituentsSection(Section):
    """Classes of the constituents of a stream: the likeliest, and each against all others.

    A constituent takes 34 bytes with eight classes, since areas need them all.
    """

    def keep(self, chunk: Chunk) -> tuple[np.ndarray, ...]:
        """Confusion matrix, and probabilities and class of the labelled constituents."""
        index = chunk.labels[self.task.options.label]
        prob = np.exp(chunk.predictions[self.task.name]["log_prob"][index >= 0])
        confusion = np.asarray(chunk.counts[self.task.name]["confusion"])
        return confusion[None], prob.astype(np.float32), index[index >= 0].astype(np.int16)

    def part(self) -> Part:
        """A table of the classes, each against all others, and the confusion matrix."""
        matrices, prob, index = self.kept()
        counts, classes = matrices.sum(axis=0), self.setting.classes(self.task)
        of, label = self.setting.place(self.task), self.task.options.label.replace("_", " ")
        cells = _cells(classes, counts, areas(prob, index))
        title = f"{singular(of).replace('_', ' ')} {label}, each class against all others"
        columns = {**COLUMNS, "number": of}
        note = f"Errors of AUC take the {of} as independent, so they are somewhat too small."
        rows, options = {name: name for name in cells}, {"corner": label, "notes": (note, WEIGHTS)}
        name, title = self.task.options.label, title.capitalize()
        table = table_of(name, title, rows, columns, cells, **options)
        name, title = f"{self.task.name}_confusion", f"{label} of the {of}"
        return Part([table], [Confusion(name, title, classes, counts.tolist())])


def _cells(
    classes: Sequence[str], counts: Int[np.ndarray, "C C"], auc: Float[np.ndarray, " C"]
) -> dict[str, dict[str, Quantity | None]]:
    numbers, called, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    total, cells = int(numbers.sum()), {}
    for i, name in enumerate(classes):
        own = int(numbers[i])
        error = area_error(auc[i], own, total - own)
        either = numbers + called - right
        precision, recall, jaccard = (
            fraction(int(right[i]), int(of[i])) for of in (called, numbers, either)
        )
        cells[name] = {
            "auc": against_constant(number(auc[i], error, better="high"), 0.5),
            "precision": share(precision, ""),
            "recall": share(recall, ""),
            "f1": _f1(jaccard, own),
            "number": count(own),
        }

    def mean(column: str, values: Float[np.ndarray, " C"]) -> Quantity | None:
        own = [cells[name].get(column) for name in classes]
        own = [0.0 if q is None or math.isnan(q.error) else q.error for q in own]
        error = math.sqrt(np.sum((numbers / max(total, 1) * own) ** 2))
        return number(weighted(values, numbers), error, better="high")

    # A class that none is called has no precision of its own, and counts as 0 in the mean.
    cells[MEAN] = {
        "auc": against_constant(mean("auc", auc), 0.5),
        "precision": mean("precision", right / np.maximum(called, 1)),
        "recall": share(accuracy(counts)),
        "f1": mean("f1", 2 * right / np.maximum(numbers + called, 1)),
        "number": count(total),
    }
    return cells


def _f1(part: Fraction, true: int) -> Quantity | None:
    """F1 = 2 J/(1 + J) of the fraction J that is right of those that are or are called of a class.

    The error is that of J, binomial. A class without entries has none.
    """
    found = share(part, "") if true else None
    if found is None:
        return None
    slope = 2 / (1 + found.value) ** 2
    return replace(found, value=slope * found.value * (1 + found.value), error=slope * found.error)
