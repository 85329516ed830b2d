"""Models trained from several seeds: what was measured of each, and mean and spread over them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.evaluation.discriminants import FEW_JETS
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.table import FEW, LIMIT, Cell


class Entry(NamedTuple):
    """A model in the tables.

    Attributes:
        label: its name; formulas between dollar signs.
        group: of similar models; "" for none.
        seeds: evaluation of each training, by the seed of the training.
    """

    label: str
    group: str
    seeds: Mapping[int, Results]


class Measurement(NamedTuple):
    """A number from one evaluation.

    Attributes:
        value: NaN where it is missing.
        error: statistical error from the number of test jets; NaN where unknown.
        remark: of the cell, see `tables`.
    """

    value: float = math.nan
    error: float = math.nan
    remark: str = ""


Measure = Callable[[Mapping[str, Any]], Measurement]


def at(metrics: Any, *path: str) -> Any:
    """What lies at a path of keys; none where any of them is missing."""
    for key in path:
        metrics = metrics.get(key) if isinstance(metrics, Mapping) else None
    return metrics


def first_at(entries: Iterable[Entry], *path: str) -> Mapping[str, Any]:
    """What lies at a path in the first of the results that have it; empty where none has."""
    found = (at(r.metrics, *path) for entry in entries for r in entry.seeds.values())
    return next((part for part in found if part), {})


def keys_at(entries: Iterable[Entry], *path: str) -> list[str]:
    """Keys below a path in any of the results, in the order in which they occur."""
    found = [at(r.metrics, *path) or {} for entry in entries for r in entry.seeds.values()]
    return list(dict.fromkeys(key for part in found for key in part))


def number(*path: str) -> Measure:
    """Reads a plain number."""

    def measure(metrics: Mapping[str, Any]) -> Measurement:
        value = at(metrics, *path)
        return Measurement() if value is None else Measurement(float(value))

    return measure


def percent(*path: str) -> Measure:
    """Reads a fraction with its binomial error, in per cent."""

    def measure(metrics: Mapping[str, Any]) -> Measurement:
        part = at(metrics, *path)
        return Measurement(100 * part["value"], 100 * part["error"]) if part else Measurement()

    return measure


def network_points(metrics: Mapping[str, Any], task: str, name: str) -> Mapping[str, Any]:
    """Working points of the network, which comes before the baseline; empty without any.

    Args:
        metrics: of a run.
        task: a classification of jets.
        name: of the discriminant.
    """
    points = at(metrics, "tagging", task, "discriminants", name, "points") or {}
    return next(iter(points.values()), {})


def vertex_classes(part: Mapping[str, Any]) -> dict[str, bool]:
    """Classes of jets -> whether they have vertices; in those that have none a vertex is a fake.

    Without classes there is `all`. A class has vertices if one jet in ten has.

    Args:
        part: vertices of a task.
    """
    classes = {name: x for name, x in part["inclusive"].items() if name != "all"}
    return {
        name: 10 * x["efficiency"]["total"] > x["with_vertex"]["total"]
        for name, x in (classes or part["inclusive"]).items()
        if x["with_vertex"]["total"]
    }


def rejection(task: str, name: str, efficiency: str, background: str) -> Measure:
    """Reads the rejection of a background by the network.

    Args:
        task: a classification of jets.
        name: of the discriminant.
        efficiency: key of the working point.
        background: name of the jet class.
    """

    def measure(metrics: Mapping[str, Any]) -> Measurement:
        found = at(network_points(metrics, task, name), efficiency, "rejections", background)
        if not found:
            return Measurement()
        few = FEW if 0 < found["passed"] < FEW_JETS else ""
        remark = LIMIT if found["is_lower_limit"] else few
        return Measurement(found["value"], found["error"], remark)

    return measure


def area(task: str, name: str) -> Measure:
    """Reads the area under the ROC curve of a class of constituents against all others.

    The error is that of Hanley and McNeil, Radiology 143 (1982) 29, as if they were independent.
    """

    def measure(metrics: Mapping[str, Any]) -> Measurement:
        classes = at(metrics, "constituents", task, "classes") or {}
        if name not in classes:
            return Measurement()
        positive = classes[name]["number"]
        total = sum(scores["number"] for scores in classes.values())
        value = classes[name]["auc"]
        return Measurement(value, area_error(value, positive, total - positive))

    return measure


def area_error(value: float, positive: int, negative: int) -> float:
    """Standard error of an area under a ROC curve; NaN without entries of either kind."""
    if not (positive and negative) or math.isnan(value):
        return math.nan
    both_positive, both_negative = value / (2 - value), 2 * value**2 / (1 + value)
    variance = (
        value * (1 - value)
        + (positive - 1) * (both_positive - value**2)
        + (negative - 1) * (both_negative - value**2)
    ) / (positive * negative)
    return math.sqrt(max(variance, 0.0))


def residual(task: str, name: str, statistic: str) -> Measure:
    """Reads a summary of the residuals of a quantity.

    The errors are those of a normal distribution with the same 68 % width; that of the standard
    deviation is unknown, since it depends on the tails.
    """
    factors = {"mean": ("std", 1.0), "median": ("half_width_68", math.sqrt(math.pi / 2))}
    # Of half the distance between the 16 % and 84 % quantiles.
    factors["half_width_68"] = ("half_width_68", 0.96)

    def measure(metrics: Mapping[str, Any]) -> Measurement:
        summary = at(metrics, "regression", task, "residuals", name)
        if not summary or not summary["number"]:
            return Measurement()
        width, factor = factors.get(statistic, ("std", math.nan))
        return Measurement(summary[statistic], factor * summary[width] / summary["number"] ** 0.5)

    return measure


def measure(entry: Entry, read: Measure) -> dict[int, Measurement]:
    """The measurement of each seed that has it."""
    found = {seed: read(results.metrics) for seed, results in entry.seeds.items()}
    return {seed: x for seed, x in found.items() if not math.isnan(x.value)}


def relative_change(entry: Entry, reference: Entry, read: Measure) -> dict[int, Measurement]:
    """Percentage change to the reference, seed by seed.

    Both are measured on the same jets, which lets part of their errors cancel; here they are added
    as if independent, so that the error is rather too large.
    """
    mine, theirs = measure(entry, read), measure(reference, read)
    changes = {}
    for seed in mine.keys() & theirs.keys():
        a, b = mine[seed], theirs[seed]
        relative_error = math.hypot(a.error / a.value, b.error / b.value)
        ratio = a.value / b.value
        remark = next((r for r in (LIMIT, FEW) if r in (a.remark, b.remark)), "")
        # A ratio to a lower limit is no limit, it is unknown.
        value = math.nan if remark == LIMIT else 100 * (ratio - 1)
        changes[seed] = Measurement(value, 100 * ratio * relative_error, remark)
    return {seed: x for seed, x in changes.items() if not math.isnan(x.value)}


def over_seeds(measurements: Mapping[int, Measurement]) -> Cell:
    """Mean, spread with n - 1, and the root mean square of the statistical errors."""
    if not measurements:
        return Cell()
    values, errors, remarks = zip(*measurements.values(), strict=True)
    return Cell(
        value=float(np.mean(values)),
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
        error=float(np.sqrt(np.mean(np.square(errors)))),
        remark=next((r for r in (LIMIT, FEW) if r in remarks), ""),
    )


def cell(entry: Entry, read: Measure) -> Cell:
    """The cell of a model in a table."""
    return over_seeds(measure(entry, read))


def uncertainty_notes(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What stands after ± in a table, and how the two kinds of uncertainty compare."""
    several = [c for c in cells if not math.isnan(c.spread)]
    if not any(c.uncertainty > 0 for c in cells):
        return ()
    if not several:
        return ("± is the statistical error of the test file; one training each.",)
    note = "± is the standard deviation over the seeds of the training"
    if len(several) < sum(not math.isnan(c.value) for c in cells):
        note += ", or where there is one seed the statistical error of the test file"
    known = [c for c in several if c.spread > 1e-9 * abs(c.value) and c.error > 0]
    ratios = [c.error / c.spread for c in known]
    if not ratios:
        return (f"{note}.",)
    ratio = np.median(ratios)
    return (f"{note}. The statistical error of one seed is typically {ratio:.2g} times as large.",)
