"""The quantities in which models are compared; larger is better in all but the widths."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from maskformer_jax.evaluation.names import heading, short, spoken
from maskformer_jax.evaluation.tables.seeds import (
    Entry,
    Measure,
    Measurement,
    area,
    at,
    first_at,
    keys_at,
    measure,
    network_points,
    number,
    percent,
    rejection,
    residual,
    vertex_classes,
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


def mean_rejections(entries: Sequence[Entry], task: str) -> dict[str, Quantity]:
    """Logarithm of a tagger's rejection of each background, averaged over working points.

    Of its first discriminant. Only working points count at which at least ten jets pass in every
    model; a background without one is left out.
    """
    path = ("tagging", task, "discriminants")
    found = {}
    for name in keys_at(entries, *path)[:1]:
        part = first_at(entries, *path, name)
        for background in list(part["fractions"])[::-1]:
            points = [
                point
                for point in _working_points(entries, task, name)
                if _is_measured(entries, rejection(task, name, point, background))
            ]
            if points:
                efficiencies = ", ".join(f"{100 * float(point):g}" for point in points)
                read = average(
                    [logarithm(rejection(task, name, point, background)) for point in points]
                )
                text = (
                    f"{spoken(background)}-jet rejection at {efficiencies} % "
                    f"{short(part['signal'])} efficiency"
                )
                found[background] = Quantity(text, read, True)
    return found


def light_rejection(entries: Sequence[Entry]) -> Quantity | None:
    """That of light jets by the first tagger that has them."""
    taggers = keys_at(entries, "tagging")
    found = (mean_rejections(entries, task).get("ujets") for task in taggers)
    return next(filter(None, found), None)


def _working_points(entries: Sequence[Entry], task: str, name: str) -> list[str]:
    metrics = [results.metrics for entry in entries for results in entry.seeds.values()]
    return sorted({point for m in metrics for point in network_points(m, task, name)}, key=float)


def _is_measured(entries: Sequence[Entry], read: Measure) -> bool:
    found = [measure(entry, read) for entry in entries]
    return all(found) and not any(x.remark for seeds in found for x in seeds.values())


def mean_area(task: str) -> Quantity:
    """Area under the ROC curves of classes of constituents, weighted by their numbers."""

    def read(metrics: Mapping) -> Measurement:
        classes = at(metrics, "constituents", task, "classes") or {}
        total = sum(scores["number"] for scores in classes.values())
        value = number("constituents", task, "weighted", "auc")(metrics).value
        parts = (
            scores["number"] / total * area(task, name)(metrics).error
            for name, scores in classes.items()
            if scores["number"]
        )
        return Measurement(value, math.sqrt(sum(part**2 for part in parts)))

    return Quantity(f"{task.replace('_', '-')} AUC", read, False)


def recognised(entries: Sequence[Entry], task: str) -> Quantity:
    """Fraction of the true objects that are told from none."""
    of = first_at(entries, "objects", task)["of"]
    return Quantity(f"{of} recognised (TPR) [%]", percent("objects", task, "valid", "tpr"), False)


def _flavour(entries: Sequence[Entry], task: str) -> Quantity:
    part = first_at(entries, "objects", task)
    read = percent("objects", task, "flavour", next(iter(part["flavour"])))
    return Quantity(f"{part['of'].removesuffix('s')} flavour accuracy [%]", read, False)


def _vertices(entries: Sequence[Entry], task: str) -> list[Quantity]:
    """Efficiency in the jets of the first class that has vertices."""
    classes = vertex_classes(first_at(entries, "vertexing", task))
    return [
        Quantity(
            f"vertex efficiency in {spoken(name)} jets [%]",
            percent("vertexing", task, "exclusive", name, "efficiency"),
            False,
        )
        for name in [name for name, has_vertices in classes.items() if has_vertices][:1]
    ]


def widths(entries: Sequence[Entry], task: str) -> list[Quantity]:
    """Logarithm of half the 68 % width of the residuals of each property.

    Where both are there, the residual that is not divided by the true value is taken.
    """
    found = keys_at(entries, "regression", task, "residuals")
    return [
        Quantity(
            f"width of {key.replace('_', ', ')}",
            logarithm(residual(task, key, "half_width_68")),
            True,
        )
        for key in sorted(found)
        if not key.endswith("_short") and f"{key}_absolute" not in found
    ]


def mean_width(entries: Sequence[Entry], task: str) -> Quantity | None:
    """Logarithm of the width of the residuals, averaged over the properties."""
    parts = widths(entries, task)
    if not parts:
        return None
    name = f"68 % width of the residuals, average over {len(parts)} properties"
    return Quantity(name, average([part.read for part in parts]), True)


def _narrowness(entries: Sequence[Entry], task: str) -> list[Quantity]:
    """The inverse of `mean_width`, so that larger is better."""
    width = mean_width(entries, task)
    if width is None:
        return []

    def read(metrics: Mapping) -> Measurement:
        x = width.read(metrics)
        return x._replace(value=-x.value)

    entry = first_at(entries, "regression", task)["entries"].removesuffix("s")
    return [Quantity(f"narrowness of the {entry} residuals", read, True)]


# Section -> the quantities of a task.
QUANTITIES = {
    "tagging": lambda entries, task: mean_rejections(entries, task).values(),
    "vertexing": _vertices,
    "constituents": lambda entries, task: [mean_area(task)],
    "objects": lambda entries, task: [recognised(entries, task), _flavour(entries, task)],
    "regression": _narrowness,
}


def everything(entries: Sequence[Entry]) -> list[Quantity]:
    """One or two quantities of each task in each section; those without a value are left out."""
    found = []
    for section, build in QUANTITIES.items():
        tasks = dict.fromkeys(keys_at(entries, section))
        for task in tasks:
            for quantity in build(entries, task):
                found.append(quantity._replace(name=heading(quantity.name, task, tasks)))
    return [q for q in found if any(measure(entry, q.read) for entry in entries)]
