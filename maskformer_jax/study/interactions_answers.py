"""What the records answer: who is in conflict, who dominates, when two tasks change places."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from maskformer_jax.study.interactions_record import Record, mean
from maskformer_jax.tasks import TASK_NAMES
from maskformer_jax.training.interactions import PAIRS, WHOLE

# Parts of a training that are compared: its first and its last quarter.
QUARTERS = 4
MASK_TASKS = (TASK_NAMES.index("mask_ce"), TASK_NAMES.index("mask_dice"))


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
    """Cosine of the gradients of two tasks.

    Attributes:
        tasks: their numbers.
        negative: fraction of the recorded steps with a negative cosine.
        below: where the smoothed curve is below zero.
        early: mean over the first quarter.
        late: mean over the last.
    """

    tasks: tuple[int, int]
    negative: float
    below: list[Span]
    early: float
    late: float


class Dominance(NamedTuple):
    """How large a task's gradient is, as an L2 norm.

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


class Answers(NamedTuple):
    """Of one training.

    Attributes:
        window: records of the smoothing.
        pairs: most often in conflict first.
        before: of each task, before scaling.
        after: of each task, after scaling.
        cosine_crossings: of mask cross-entropy and Dice.
        norm_crossings: of their L2 norms, cross-entropy minus Dice, before and after scaling.
        curvature: none where it was not recorded.
    """

    window: int
    pairs: list[Pair]
    before: list[Dominance]
    after: list[Dominance]
    cosine_crossings: list[Crossing]
    norm_crossings: Mapping[str, list[Crossing]]
    curvature: CurvatureAnswer | None


def answer(record: Record) -> Answers:
    """All answers that the whole model gives."""
    whole, steps = record.parts[WHOLE], record.smoothed_steps
    smooth = record.smooth(whole.cosine)
    pairs = [
        Pair(
            tasks,
            negative=_fraction_negative(whole.cosine[:, i]),
            below=spans_below_zero(steps, smooth[:, i]),
            **_early_and_late(whole.cosine[:, i]),
        )
        for i, tasks in enumerate(PAIRS)
    ]
    ce, dice = MASK_TASKS
    sizes = {"before": record.smooth(whole.l2), "after": record.smooth(whole.scaled_l2)}
    return Answers(
        window=record.window,
        pairs=sorted(pairs, key=lambda pair: -pair.negative),
        before=_dominance(whole.l2),
        after=_dominance(whole.scaled_l2),
        cosine_crossings=crossings(steps, smooth[:, PAIRS.index(MASK_TASKS)]),
        norm_crossings={
            name: crossings(steps, size[:, ce] - size[:, dice]) for name, size in sizes.items()
        },
        curvature=_curvature(record),
    )


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


def _dominance(norms: Float[np.ndarray, "T K"]) -> list[Dominance]:
    largest = norms.argmax(axis=1)
    return [
        Dominance(float((largest == task).mean()), **_early_and_late(norms[:, task]))
        for task in range(norms.shape[1])
    ]


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
