"""What the records answer: who is in conflict, who dominates, when two losses change places."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from tabulate import tabulate

from maskformer_jax.study.interactions_record import Record, mean
from maskformer_jax.study.templating import environment
from maskformer_jax.training.interactions import WHOLE

# Parts of a training that are compared: its first and its last quarter.
QUARTERS = 4
MASKS = ("mask_ce", "mask_dice")


class Span(NamedTuple):
    """Neighbouring points of a smoothed curve: first and last step, and number of points."""

    first: int
    last: int
    points: int


class Crossing(NamedTuple):
    """Where a smoothed curve crosses zero.

    Attributes:
        step: by linear interpolation between two records.
        upwards: True if it is negative before.
    """

    step: int
    upwards: bool


class Course(NamedTuple):
    """How a number develops.

    Attributes:
        share: fraction of the records in which it is what is asked for.
        early: mean over the first quarter.
        late: mean over the last.
    """

    share: float
    early: float
    late: float


class Pair(NamedTuple):
    """Cosine of the gradients of two losses.

    Attributes:
        losses: their names.
        cosine: its course, and how often it is negative.
        below: where the smoothed curve is below zero.
    """

    losses: tuple[str, str]
    cosine: Course
    below: list[Span]


class Answers(NamedTuple):
    """Of one training.

    Attributes:
        pairs: most often in conflict first.
        sizes: `before` scaling and, where it makes a difference, `after`: by loss the course of the
            L2 norm, and how often it is the largest of all.
        masks: where the smoothed `cosine` of mask cross-entropy and Dice crosses zero, and their
            norms cross, cross-entropy minus Dice, `before` and `after`; none without these losses.
        curvature: along the update in the direction of the gradient, and how often it is positive;
            none where it was not recorded.
        highest: of all curvatures, and its step.
    """

    pairs: list[Pair]
    sizes: dict[str, dict[str, Course]]
    masks: dict[str, list[Crossing]] | None
    curvature: Course | None
    highest: tuple[float, int] | None


def answer(record: Record) -> Answers:
    """All answers that the whole model gives."""
    whole, curvature = record.parts[WHOLE], record.curvature_in_direction
    pairs = []
    for (a, b), cosine in zip(record.pairs, whole.cosine.T, strict=True):
        below = spans_below_zero(record.smoothed_steps, record.smooth(cosine))
        pairs.append(Pair((record.losses[a], record.losses[b]), _course(cosine, cosine < 0), below))
    norms = {"before": whole.l2, "after": whole.scaled_l2}
    sizes = {
        when: {
            loss: _course(norm, largest == i)
            for i, (loss, norm) in enumerate(zip(record.losses, all_norms.T, strict=True))
        }
        for when, all_norms in norms.items()
        for largest in [all_norms.argmax(axis=1)]
    }
    if sizes["after"] == sizes["before"]:
        del sizes["after"]
    known = np.isfinite(curvature)
    curvature, steps = curvature[known], record.steps[known]
    return Answers(
        pairs=sorted(pairs, key=lambda pair: -pair.cosine.share),
        sizes=sizes,
        masks=_masks(record, norms),
        curvature=_course(curvature, curvature > 0) if len(curvature) else None,
        highest=max(zip(curvature.tolist(), steps.tolist(), strict=True), default=None),
    )


def _course(values: Float[np.ndarray, " T"], is_so: Bool[np.ndarray, " T"]) -> Course:
    quarter, known = max(len(values) // QUARTERS, 1), max(np.isfinite(values).sum(), 1)
    ends = (float(mean(part)) for part in (values[:quarter], values[-quarter:]))
    return Course(float(is_so.sum() / known), *ends)


def _masks(record: Record, norms: Mapping[str, np.ndarray]) -> dict[str, list[Crossing]] | None:
    if not {*MASKS} <= {*record.losses}:
        return None
    ce, dice = map(record.losses.index, MASKS)
    pair = record.pairs.index((min(ce, dice), max(ce, dice)))
    curves = {"cosine": record.parts[WHOLE].cosine[:, pair]}
    smooth = {name: record.smooth(values) for name, values in (curves | norms).items()}
    curves = {name: x if name == "cosine" else x[:, ce] - x[:, dice] for name, x in smooth.items()}
    return {name: crossings(record.smoothed_steps, x) for name, x in curves.items()}


def spans_below_zero(steps: np.ndarray, values: Float[np.ndarray, " S"]) -> list[Span]:
    """Runs of neighbouring points that are negative."""
    edges = np.diff(np.concatenate([[0], (values < 0).astype(int), [0]]))
    firsts, lasts = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    pairs = zip(firsts, lasts, strict=True)
    return [Span(int(steps[a]), int(steps[b]), int(b - a + 1)) for a, b in pairs]


def crossings(steps: np.ndarray, values: Float[np.ndarray, " S"]) -> list[Crossing]:
    """Where the sign changes, between points that are known."""
    known = np.isfinite(values)
    steps, values, found = steps[known], values[known], []
    for i in np.flatnonzero((values[:-1] < 0) != (values[1:] < 0)):
        fraction = values[i] / (values[i] - values[i + 1])
        step = steps[i] + fraction * (steps[i + 1] - steps[i])
        found.append(Crossing(round(float(step)), bool(values[i] < 0)))
    return found


def write(records: Mapping[str, Record], pictures: Sequence[str] = ()) -> str:
    """The answers in words and tables, as Markdown that reads well on a terminal too.

    Args:
        records: name of the weighting -> its records.
        pictures: names of files that are shown at the end.
    """
    answers = {name: answer(record) for name, record in records.items()}
    page = environment(loss=label, table=_table).get_template("interactions.j2")
    text = page.render(records=records, answers=answers, pictures=pictures, masks=MASKS)
    return text.strip() + "\n"


def label(*losses: str) -> str:
    """Losses in sentences and pictures.

    >>> label("mask_ce", "mask_dice")
    'mask CE / mask dice'
    """
    return " / ".join(losses).replace("_", " ").replace(" ce", " CE")


def _table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    align = ["left", *["right"] * (len(head) - 1)]
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True, colalign=align)
