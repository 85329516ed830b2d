"""The quantities in which models are compared; larger is better in all but the widths."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from maskformer_jax.evaluation.tables.seeds import (
    Entry,
    Measure,
    Measurement,
    area,
    at,
    measure,
    number,
    percent,
    rejection,
    residual,
)
from maskformer_jax.study.comparison import average, logarithm


class Quantity(NamedTuple):
    """What is read of an evaluation.

    Attributes:
        name: in sentences.
        read: the value, or its logarithm.
        is_ratio: the value is a logarithm, so that differences are ratios.
    """

    name: str
    read: Measure
    is_ratio: bool


def mean_rejection(entries: Sequence[Entry], jets: str, name: str) -> Quantity | None:
    """Logarithm of the b-tagging rejection of some jets, averaged over working points.

    Only working points count at which at least ten jets pass in every model; none: no quantity.
    """
    points = [p for p in _working_points(entries) if _is_measured(entries, p, jets)]
    if not points:
        return None
    efficiencies = ", ".join(f"{100 * float(p):g}" for p in points)
    read = average([logarithm(rejection("b", p, jets)) for p in points])
    return Quantity(f"{name}-jet rejection at {efficiencies} % b efficiency", read, True)


def _working_points(entries: Iterable[Entry]) -> list[str]:
    taggers = (
        at(results.metrics, "tagging", "b", "points") or {}
        for entry in entries
        for results in entry.seeds.values()
    )
    return sorted({p for points in taggers for by in points.values() for p in by}, key=float)


def _is_measured(entries: Iterable[Entry], point: str, jets: str) -> bool:
    found = [measure(entry, rejection("b", point, jets)) for entry in entries]
    return all(found) and not any(x.remark for seeds in found for x in seeds.values())


def mean_area(metrics: Mapping) -> Measurement:
    """Area under the ROC curves of the track origins, weighted by their numbers of tracks."""
    classes = at(metrics, "track_origin", "classes") or {}
    total = sum(scores["tracks"] for scores in classes.values())
    value = number("track_origin", "weighted", "auc")(metrics).value
    parts = (
        scores["tracks"] / total * area(name)(metrics).error
        for name, scores in classes.items()
        if scores["tracks"]
    )
    return Measurement(value, math.sqrt(sum(part**2 for part in parts)))


AREA = Quantity("track-origin AUC", mean_area, False)
VALID = Quantity("hadrons recognised (TPR) [%]", percent("hadrons", "valid", "tpr"), False)
FLAVOUR = Quantity("hadron flavour accuracy [%]", percent("hadrons", "flavour", "bc"), False)
VERTEX = Quantity(
    "vertex efficiency in b jets [%]",
    percent("vertexing", "exclusive", "bjets", "efficiency"),
    False,
)


def widths(entries: Sequence[Entry]) -> list[Quantity]:
    """Logarithm of half the 68 % width of the residuals of each hadron property.

    Where both are there, the residual that is not divided by the true value is taken.
    """
    found = {
        key
        for entry in entries
        for results in entry.seeds.values()
        for key in at(results.metrics, "regression", "residuals") or {}
    }
    keys = [
        key
        for key in sorted(found)
        if not key.endswith("_short") and f"{key}_absolute" not in found
    ]
    return [
        Quantity(
            f"width of {key.replace('_', ', ')}", logarithm(residual(key, "half_width_68")), True
        )
        for key in keys
    ]


def mean_width(entries: Sequence[Entry]) -> Quantity | None:
    """Logarithm of the width of the residuals, averaged over the hadron properties."""
    parts = widths(entries)
    if not parts:
        return None
    name = f"68 % width of the residuals, average over {len(parts)} properties"
    return Quantity(name, average([part.read for part in parts]), True)


def narrowness(entries: Sequence[Entry]) -> Quantity | None:
    """The inverse of `mean_width`, so that larger is better."""
    width = mean_width(entries)
    if width is None:
        return None

    def read(metrics: Mapping) -> Measurement:
        x = width.read(metrics)
        return x._replace(value=-x.value)

    return Quantity("narrowness of the hadron residuals", read, True)


def everything(entries: Sequence[Entry]) -> list[Quantity]:
    """One quantity per task, two for the jets; those without a value are left out."""
    found = [
        mean_rejection(entries, "ujets", "light"),
        mean_rejection(entries, "cjets", "c"),
        VERTEX,
        AREA,
        VALID,
        FLAVOUR,
        narrowness(entries),
    ]
    return [q for q in found if q and any(measure(entry, q.read) for entry in entries)]
