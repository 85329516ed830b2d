"""What the records answer: who is in conflict, who dominates, when two losses change places."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from maskformer_jax.study.interactions_record import Record, mean
from maskformer_jax.training.interactions import WHOLE

# Parts of a training that are compared: its first and its last quarter.
QUARTERS = 4
MASKS = ("mask_ce", "mask_dice")


class Span(NamedTuple):
    """Neighbouring points of a smoothed curve.

    Attributes:
        first: step.
        last: step.
        points: their number.
    """

    first: int
    last: int
    points: int


class Pair(NamedTuple):
    """Cosine of the gradients of two losses.

    Attributes:
        losses: their names.
        negative: fraction of the recorded steps with a negative cosine.
        below: where the smoothed curve is below zero.
        early: mean over the first quarter.
        late: mean over the last.
    """

    losses: tuple[str, str]
    negative: float
    below: list[Span]
    early: float
    late: float


class Dominance(NamedTuple):
    """How large the gradient of a loss is, as an L2 norm.

    Attributes:
        share: fraction of the recorded steps in which it is the largest of all.
        early: mean over the first quarter.
        late: mean over the last.
    """

    share: float
    early: float
    late: float


class Crossing(NamedTuple):
    """Where a smoothed curve crosses zero, between two records.

    Attributes:
        step: by linear interpolation.
        upwards: True if it is negative before.
    """

    step: int
    upwards: bool


class CurvatureAnswer(NamedTuple):
    """Curvature in the direction of the gradient, along the update.

    Attributes:
        positive: fraction of the records in which it is positive.
        early: mean over the first quarter.
        late: mean over the last.
        highest: of all records.
        at: step of the highest.
    """

    positive: float
    early: float
    late: float
    highest: float
    at: int


class Masks(NamedTuple):
    """Mask cross-entropy and Dice.

    Attributes:
        cosine: where the smoothed one crosses zero.
        norms: where the L2 norms cross, cross-entropy minus Dice, `before` and `after` scaling.
    """

    cosine: list[Crossing]
    norms: Mapping[str, list[Crossing]]


class Answers(NamedTuple):
    """Of one training.

    Attributes:
        window: records of the smoothing.
        pairs: most often in conflict first.
        before: by loss, before scaling.
        after: by loss, after scaling.
        masks: none where these losses are not there.
        curvature: none where it was not recorded.
    """

    window: int
    pairs: list[Pair]
    before: dict[str, Dominance]
    after: dict[str, Dominance]
    masks: Masks | None
    curvature: CurvatureAnswer | None


def answer(record: Record) -> Answers:
    """All answers that the whole model gives."""
    whole, steps = record.parts[WHOLE], record.smoothed_steps
    smooth = record.smooth(whole.cosine)
    pairs = [
        Pair(
            (record.losses[a], record.losses[b]),
            negative=_fraction_negative(whole.cosine[:, i]),
            below=spans_below_zero(steps, smooth[:, i]),
            **_early_and_late(whole.cosine[:, i]),
        )
        for i, (a, b) in enumerate(record.pairs)
    ]
    return Answers(
        window=record.window,
        pairs=sorted(pairs, key=lambda pair: -pair.negative),
        before=_dominance(record.losses, whole.l2),
        after=_dominance(record.losses, whole.scaled_l2),
        masks=_masks(record),
        curvature=_curvature(record),
    )


def _masks(record: Record) -> Masks | None:
    if not {*MASKS} <= {*record.losses}:
        return None
    whole, (ce, dice) = record.parts[WHOLE], map(record.losses.index, MASKS)
    sizes = {"before": record.smooth(whole.l2), "after": record.smooth(whole.scaled_l2)}
    cosine = record.smooth(whole.cosine[:, record.pairs.index((min(ce, dice), max(ce, dice)))])
    steps = record.smoothed_steps
    norms = {name: crossings(steps, size[:, ce] - size[:, dice]) for name, size in sizes.items()}
    return Masks(crossings(steps, cosine), norms)


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


def _early_and_late(values: Float[np.ndarray, " T"]) -> dict[str, float]:
    quarter = max(len(values) // QUARTERS, 1)
    return {"early": float(mean(values[:quarter])), "late": float(mean(values[-quarter:]))}


def _fraction_negative(values: Float[np.ndarray, " T"]) -> float:
    known = np.isfinite(values).sum()
    return float((values < 0).sum() / known) if known else 0.0


def _dominance(losses: Sequence[str], norms: Float[np.ndarray, "T K"]) -> dict[str, Dominance]:
    largest = norms.argmax(axis=1)
    return {
        name: Dominance(float((largest == i).mean()), **_early_and_late(norms[:, i]))
        for i, name in enumerate(losses)
    }


def _curvature(record: Record) -> CurvatureAnswer | None:
    known = np.isfinite(record.curvature_in_direction)
    values, steps = record.curvature_in_direction[known], record.steps[known]
    if not len(values):
        return None
    highest = int(values.argmax())
    return CurvatureAnswer(
        positive=float((values > 0).mean()),
        **_early_and_late(values),
        highest=float(values[highest]),
        at=int(steps[highest]),
    )
