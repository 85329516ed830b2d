"""Records of the gradients of the losses, and what they answer.

Who is in conflict, who dominates, when two losses change places.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from tabulate import tabulate

from maskformer_jax.errors import InputError
from maskformer_jax.study.templating import environment
from maskformer_jax.training.interactions import FILE_NAME, WHOLE
from maskformer_jax.training.logging import read_lines

# Parts of a training that are compared: its first and its last quarter.
QUARTERS = 4
MASKS = ("mask CE", "mask dice")
WINDOW = 15
FEWEST = 4

# `whole` and each module -> what `describe` says of it -> table with a row for each recorded step
# and a column for each loss (`mask CE`) or pair (`mask CE / mask dice`); NaN where it is not known.
# `whole` also has `curvature`: `mean`, along the update (Eq. 3.6 of the thesis), and `in_direction`
# (divided by the squared length of the gradient); NaN where it was not recorded.
Record = Mapping[str, Mapping[str, pd.DataFrame]]
Curves = TypeVar("Curves", pd.Series, pd.DataFrame)


def window(records: int) -> int:
    """Records over which curves are averaged: 15, or half of them where there are few."""
    return min(WINDOW, records // 2)


def smooth(values: Curves) -> Curves:
    """Mean over what is known in the window that ends in each row, without the first window.

    A batch without hadrons has no gradient of some losses.
    """
    size = window(len(values))
    return values.rolling(size, min_periods=1).mean().iloc[size:]


def read(run: Path) -> Record:
    """The records of a training.

    Raises:
        InputError: there are none, too few for a curve, or they are damaged.
    """
    path = run / FILE_NAME
    if not path.exists():
        raise InputError(f"{path} is not there: train with `training.record_interactions`")
    try:
        lines = read_lines(path)
        if len(lines) >= FEWEST:
            return _record(lines)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is damaged; remove its run and train again") from error
    raise InputError(f"{path} has {len(lines)} records, too few for a curve: record more")


def _record(lines: list[dict]) -> Record:
    steps = [line["step"] for line in lines]
    # As in sentences and pictures.
    losses = [name.replace("_", " ").replace(" ce", " CE") for name in lines[0]["losses"]]
    pairs = list(map(" / ".join, combinations(losses, 2)))

    def table(part: str, field: str) -> pd.DataFrame:
        columns = losses if field.endswith(("l1", "l2")) else pairs
        rows = [line["parts"][part][field] for line in lines]
        return pd.DataFrame(rows, steps, columns, float)

    parts = {p: {f: table(p, f) for f in fields} for p, fields in lines[0]["parts"].items()}
    curvature = [line.get("curvature", {}) for line in lines]
    parts[WHOLE]["curvature"] = pd.DataFrame(curvature, steps, ["mean", "in_direction"], float)
    return parts


class Span(NamedTuple):
    """Neighbouring points of a smoothed curve: first and last step, and number of points."""

    first: int
    last: int
    points: int


class Crossing(NamedTuple):
    """Where a smoothed curve crosses zero, interpolated, and whether it is negative before."""

    step: int
    upwards: bool


class Course(NamedTuple):
    """A number's share of records in which it is as asked, and means of first and last quarter."""

    share: float
    early: float
    late: float


class Answers(NamedTuple):
    """Of one training.

    Attributes:
        pairs: cosine of the gradients of two losses: its course, and how often it is negative; most
            often in conflict first.
        below: of each pair, where the smoothed cosine is below zero.
        sizes: `before` scaling and, where it makes a difference, `after`: by loss the course of the
            L2 norm, and how often it is the largest of all.
        masks: where the smoothed `cosine` of mask cross-entropy and Dice crosses zero, and their
            norms cross, cross-entropy minus Dice, `before` and `after`; none without these losses.
        curvature: along the update in the direction of the gradient, and how often it is positive;
            none where it was not recorded.
        highest: of all curvatures, and its step.
    """

    pairs: dict[str, Course]
    below: dict[str, list[Span]]
    sizes: dict[str, dict[str, Course]]
    masks: dict[str, list[Crossing]] | None
    curvature: Course | None
    highest: tuple[float, int] | None


def answer(record: Record) -> Answers:
    """All answers that the whole model gives."""
    whole = record[WHOLE]
    cosine, curvature = whole["cosine"], whole["curvature"]["in_direction"].dropna()
    pairs = {pair: _course(values, values < 0) for pair, values in cosine.items()}
    norms = {"before": whole["l2"], "after": whole["scaled_l2"]}
    sizes = {
        when: {loss: _course(x, norm.idxmax(axis=1) == loss) for loss, x in norm.items()}
        for when, norm in norms.items()
    }
    if sizes["after"] == sizes["before"]:
        del sizes["after"]
    masks, both = None, [pair for pair in pairs if {*pair.split(" / ")} == {*MASKS}]
    if both:
        ce, dice = MASKS
        curves = {when: smooth(norm[ce]) - smooth(norm[dice]) for when, norm in norms.items()}
        curves["cosine"] = smooth(cosine[both[0]])
        masks = {name: crossings(curve) for name, curve in curves.items()}
    return Answers(
        pairs=dict(sorted(pairs.items(), key=lambda item: -item[1].share)),
        below={pair: spans_below_zero(smooth(values)) for pair, values in cosine.items()},
        sizes=sizes,
        masks=masks,
        curvature=_course(curvature, curvature > 0) if len(curvature) else None,
        highest=max(zip(curvature, curvature.index, strict=True), default=None),
    )


def _course(values: pd.Series, is_so: pd.Series) -> Course:
    quarter, known = max(len(values) // QUARTERS, 1), max(values.count(), 1)
    ends = (float(part.mean()) for part in (values.iloc[:quarter], values.iloc[-quarter:]))
    return Course(float(is_so.sum() / known), *ends)


def spans_below_zero(curve: pd.Series) -> list[Span]:
    """Runs of neighbouring points that are negative."""
    below = curve < 0
    runs = curve.index.to_series()[below].groupby((~below).cumsum())
    return [Span(*map(int, (x.iloc[0], x.iloc[-1], len(x)))) for _, x in runs]


def crossings(curve: pd.Series) -> list[Crossing]:
    """Where the sign changes, between points that are known."""
    curve = curve.dropna()
    steps, values = curve.index.to_numpy(), curve.to_numpy()
    before = np.flatnonzero((values[:-1] < 0) != (values[1:] < 0))
    fraction = values[before] / (values[before] - values[before + 1])
    found = steps[before] + fraction * (steps[before + 1] - steps[before])
    pairs = zip(found.round().astype(int).tolist(), (values[before] < 0).tolist(), strict=True)
    return [Crossing(*pair) for pair in pairs]


def write(records: Mapping[str, Record], pictures: Sequence[str] = ()) -> str:
    """The answers in words and tables, as Markdown that reads well on a terminal too.

    Args:
        records: name of the weighting -> its records.
        pictures: names of files that are shown at the end.
    """
    answers = {name: answer(record) for name, record in records.items()}
    steps = {name: record[WHOLE]["l2"].index for name, record in records.items()}
    look = {"tablefmt": "pipe", "disable_numparse": True, "colglobalalign": "right"}
    table = partial(tabulate, colalign=("left",), **look)
    page = environment(table=table, window=window).get_template("interactions.j2")
    text = page.render(steps=steps, answers=answers, pictures=pictures, masks=MASKS)
    return text.strip() + "\n"
