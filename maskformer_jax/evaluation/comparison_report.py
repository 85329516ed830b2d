"""The metrics of several runs side by side on the terminal, the first as reference."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maskformer_jax.evaluation.discriminants import flavour_name
from maskformer_jax.evaluation.report import TAGS
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.cells import (
    aligned,
    footnotes,
    number,
    percent,
    rejection,
    significant,
)

# Longer labels are cut, so that the tables fit into 100 columns.
LONGEST_LABEL = 18

Column = tuple[str, Callable[[Mapping[str, Any]], str]]


def comparison(results: Sequence[Results]) -> str:
    """Tables with a line for each run, at most 100 columns wide.

    Args:
        results: of the same test file; changes are relative to the first.
    """
    jets = results[0].metrics["jets"]
    classes = ", ".join(f"{count:,} {name}" for name, count in jets["classes"].items())
    sections = [
        [f"{len(results)} runs, {jets['total']:,} jets: {classes}"],
        *(_rejections(results, signal, name) for signal, tag in TAGS.items() for name in tag[1]),
        _changes(results),
        *(_vertices(results, kind) for kind in results[0].metrics["vertexing"]),
        _classification(results),
        _widths(results),
    ]
    return "\n\n".join("\n".join(section) for section in sections)


def _lines(results: Sequence[Results], columns: Sequence[Column]) -> Iterator[str]:
    rows = [("run", *(heading for heading, _ in columns))]
    for result in results:
        cells = (cell(result.metrics) for _, cell in columns)
        rows.append((result.label[:LONGEST_LABEL], *cells))
    yield from aligned(rows)


def _points(metrics: Mapping[str, Any], signal: str) -> Mapping[str, Any]:
    """Working points of the network, which comes before the baseline."""
    return next(iter(metrics["tagging"][signal]["points"].values()))


def _rejections(results: Sequence[Results], signal: str, background: str) -> Iterator[str]:
    fraction, names = TAGS[signal]
    value = results[0].metrics["tagging"][signal]["fraction"]
    yield (
        f"{signal}-tagging: rejection of {names[background]} jets at {signal} efficiency, "
        f"{fraction} = {value:g}"
    )
    targets = list(_points(results[0].metrics, signal))
    if not targets:
        yield f"  no {signal} jets in this file"
        return
    rows = [("run", *(f"{100 * float(target):g} %  " for target in targets))]
    marked = []
    for result in results:
        points = _points(result.metrics, signal)
        values = [points[target]["rejections"][background] for target in targets]
        rows.append((result.label[:LONGEST_LABEL], *map(rejection, values)))
        marked += values
    yield from aligned(rows)
    yield from footnotes(marked)


def _changes(results: Sequence[Results]) -> Iterator[str]:
    yield f"b-tagging: change of the rejection to {results[0].label} [%]"
    reference = _points(results[0].metrics, "b")
    columns = [
        (f"{name} {100 * float(target):g} %", background, target)
        for background, name in TAGS["b"][1].items()
        for target in reference
    ]
    rows = [("run", *(heading for heading, *_ in columns))]
    for result in results[1:]:
        points = _points(result.metrics, "b")
        changes = (
            change(points[target]["rejections"][b], reference[target]["rejections"][b])
            for _, b, target in columns
        )
        rows.append((result.label[:LONGEST_LABEL], *map(_signed, changes)))
    yield from aligned(rows)


def change(value: Mapping[str, Any], reference: Mapping[str, Any]) -> float:
    """Change of a rejection to a reference in percent; NaN where one is a limit only."""
    if value["is_lower_limit"] or reference["is_lower_limit"]:
        return math.nan
    return 100 * (value["value"] / reference["value"] - 1)


def _signed(value: float) -> str:
    return f"{value:+.1f}" if math.isfinite(value) else "-"


def _vertices(results: Sequence[Results], kind: str) -> Iterator[str]:
    yield f"{kind.capitalize()} vertices of at least two tracks [%]"

    def part(jets: str, quantity: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda metrics: percent(metrics["vertexing"][kind][jets][quantity])

    classes = list(results[0].metrics["vertexing"][kind])
    with_hadrons = [name for name in classes if name in ("bjets", "cjets")] or classes[:1]
    columns = [
        (f"{flavour_name(name)} {quantity}", part(name, quantity))
        for name in with_hadrons
        for quantity in ("efficiency", "purity")
    ]
    if "ujets" in classes:
        columns.append(("light fake rate", part("ujets", "with_vertex")))
    yield from _lines(results, columns)


def _classification(results: Sequence[Results]) -> Iterator[str]:
    yield "Classification [%] of jets, track origins and hadrons (at p > 0.5)"
    columns: list[Column] = [
        ("jets", lambda m: percent(m["tagging"]["accuracy"])),
        ("origins", lambda m: percent(m["track_origin"]["accuracy"])),
        ("origin AUC", lambda m: number(100 * m["track_origin"]["weighted"]["auc"], 2)),
        ("hadron TPR", lambda m: percent(m["hadrons"]["valid"]["tpr"])),
        ("FPR", lambda m: percent(m["hadrons"]["valid"]["fpr"])),
        ("flavours", lambda m: percent(next(iter(m["hadrons"]["flavour"].values())))),
    ]
    yield from _lines(results, columns)


def _widths(results: Sequence[Results]) -> Iterator[str]:
    yield "Hadron properties: half of the 68 % width of the residuals, and hadrons found"

    def width(key: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda m: significant(m["regression"]["residuals"][key]["half_width_68"])

    keys = results[0].metrics["regression"]["residuals"]
    columns = [*((key, width(key)) for key in keys), ("found", _found)]
    yield from _lines(results, columns)


def _found(metrics: Mapping[str, Any]) -> str:
    regression = metrics["regression"]
    return f"{regression['found']:,}"
