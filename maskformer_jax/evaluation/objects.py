"""Classes of the objects that are matched to the true ones, such as hadrons."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.evaluation.names import in_words, singular
from maskformer_jax.evaluation.quantities import count, percent
from maskformer_jax.evaluation.results import Better, Confusion, Part, Table, table_of
from maskformer_jax.evaluation.section import Chunk, Section
from maskformer_jax.tasks.confusion import Fraction, fraction, object_metrics

# An object is called one of a class when the probability of the class is above this.
PROB_CUT = 0.5
SHARE, ALL = "share", "all"
NOTE = (
    "Objects are matched with the true class and properties in the cost, which favours objects of "
    "the right class."
)
BY_COST = "matched with the true class in the cost:\na wrong class is rare by construction"
BY_MASKS = "matched by shared tracks alone;\nlast row: objects without a true one"


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


def mask_confusion(
    true_index: Int[np.ndarray, "B M"],
    masks: Bool[np.ndarray, "B M L"],
    index: Int[np.ndarray, "B Q"],
    mask_index: Int[np.ndarray, "B L"],
    none: int,
) -> Int[np.ndarray, "C C"]:
    """Objects of each true class (row) and likeliest class (column), matched by tracks alone.

    The assignment of a jet has the largest sum of intersections over unions of tracks. True objects
    without tracks are left out; predicted ones without a true partner are in the last row.

    Args:
        true_index: class of each truth slot.
        masks: its tracks.
        index: likeliest class of each predicted object.
        mask_index: predicted object of each track, -1 for none.
        none: the class of what is no object, the last.
    """
    from scipy.optimize import linear_sum_assignment

    predicted = mask_index[:, None] == np.arange(index.shape[1])[:, None]
    shared = masks.astype(np.float32) @ predicted.swapaxes(1, 2).astype(np.float32)
    either = masks.sum(axis=-1)[:, :, None] + predicted.sum(axis=-1)[:, None] - shared
    overlap = shared / np.maximum(either, 1)
    cells, extra = np.zeros((none + 1,) * 2, np.int64), index != none
    called = np.full(true_index.shape, none)
    for jet in np.flatnonzero(overlap.any(axis=(1, 2))):
        rows, columns = linear_sum_assignment(overlap[jet], maximize=True)
        kept = overlap[jet, rows, columns] > 0
        called[jet, rows[kept]] = index[jet, columns[kept]]
        extra[jet, columns[kept]] = False
    real = masks.any(axis=-1)
    np.add.at(cells, (true_index[real], called[real]), 1)
    np.add.at(cells, (none, index[extra]), 1)
    return cells


def valid_rates(confusion: Int[np.ndarray, "C C"]) -> dict[str, Fraction]:
    """Objects of any class with a probability above 1/2, against `none`.

    Args:
        confusion: of `cut_confusion`.

    Returns:
        tpr: of the slots with a true hadron, those whose object is one: the efficiency; fpr: of the
        empty slots, those whose object is one; fnr = 1 - tpr, tnr = 1 - fpr.
    """
    real, empty = np.sum(confusion[:-1], axis=0), confusion[-1]
    trues, falses = int(np.sum(real)), int(np.sum(empty))
    return {
        "tpr": fraction(trues - int(real[-1]), trues),
        "fpr": fraction(falses - int(empty[-1]), falses),
        "fnr": fraction(int(real[-1]), trues),
        "tnr": fraction(int(empty[-1]), falses),
    }


def class_accuracy(confusion: Int[np.ndarray, "C C"]) -> list[Fraction]:
    """True hadrons whose own class has a probability above 1/2, of all classes and of each.

    Args:
        confusion: of `cut_confusion`.
    """
    right, total = np.diag(confusion)[:-1], np.sum(confusion[:-1], axis=1)
    return [
        fraction(int(right.sum()), int(total.sum())),
        *map(fraction, right.tolist(), total.tolist()),
    ]


class ObjectsSection(Section):
    """Classes of the objects, each matched to the truth slot that it explains best.

    The cost of a match knows the true class and properties, as in training, so that a hadron is
    given an object of its own class where there is one: b and c hadrons are confused less than they
    would be in a matching by tracks alone.
    """

    def keep(self, chunk: Chunk) -> tuple[np.ndarray, ...]:
        """Confusion by the likeliest class, at a probability of 1/2, and by masks if there are."""
        given, label = chunk.predictions[self.task.name], self._label
        index, prob = chunk.labels[label], given["class_prob"]
        found = [chunk.counts[self.task.name]["confusion"]]
        found.append(cut_confusion(index, prob[:, : index.shape[1]]))
        if "mask_index" in given:
            masks, none = chunk.labels[self.task.options.objects].masks, prob.shape[-1] - 1
            likeliest = prob.argmax(axis=-1)
            found.append(mask_confusion(index, masks, likeliest, given["mask_index"], none))
        return tuple(np.asarray(matrix)[None] for matrix in found)

    @property
    def _label(self) -> str:
        return self.task.options.losses.object_class.label

    def part(self) -> Part:
        """Tables of the likeliest class, of the rates and classes at a probability of 1/2."""
        likeliest, cut, *by_masks = (matrices.sum(axis=0) for matrices in self.kept())
        kinds, of = self.setting.schema.labels[self._label].classes, self.task.options.objects
        one = singular(of)
        words = {
            "efficiency": f"efficiency: {of} found",
            "purity": "purity: found objects that are real",
            "class_accuracy": f"class accuracy, real {of}",
            "overall_accuracy": "class accuracy, with none",
        }
        title = f"Objects matched to {of}, by their likeliest class"
        found = _shares(of, title, words, object_metrics(likeliest))
        rates = valid_rates(cut)
        title = f"{one.capitalize()} of any class (p > {PROB_CUT:g}) against none"
        valid = _shares(f"valid_{of}", title, in_words(*rates), list(rates.values()))
        words = {ALL: f"all {of}", **{name: f"{name} {of}" for name in kinds}}
        title = f"{one.capitalize()} class: {of} whose own class has p > {PROB_CUT:g}"
        classes = _shares(f"{one}_classes", title, words, class_accuracy(cut), NOTE)
        names = [*(f"{name} {one}" for name in kinds), "none"]
        name, title = f"{self.task.name}_confusion", f"class of the {of}"
        confusions = [Confusion(name, title, names, likeliest.tolist(), BY_COST)]
        confusions += [
            Confusion(f"{name}_by_masks", title, names, counts.tolist(), BY_MASKS)
            for counts in by_masks
            if counts.any()
        ]
        return Part([found, valid, classes], confusions)


def _shares(
    name: str, title: str, words: dict[str, str], parts: Sequence[Fraction], *notes: str
) -> Table:
    """A table of fractions, one a row, with how many they are of."""
    cells = {}
    for key, part in zip(words, parts, strict=True):
        better: Better = "low" if key in ("fpr", "fnr") else "high"
        cells[key] = {SHARE: percent(part, better), "of": count(part.total)}
    return table_of(name, title, words, in_words(SHARE, "of"), cells, notes=notes)
