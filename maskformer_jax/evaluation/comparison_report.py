"""The metrics of several runs side by side on the terminal, the first as reference."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maskformer_jax.evaluation.names import fraction_symbols, heading, short, singular, spoken
from maskformer_jax.evaluation.report import jet_counts, regression_title
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.cells import (
    aligned,
    footnotes,
    number,
    percent,
    rejection,
    significant,
)
from maskformer_jax.evaluation.tables.seeds import at, network_points, vertex_classes

# Longer labels are cut, so that the tables fit into 100 columns.
LONGEST_LABEL = 18

# Heading, path to what is shown, and how it is written.
Column = tuple[str, tuple[str, ...], Callable[[Any], str]]


def comparison(results: Sequence[Results]) -> str:
    """Tables with a line for each run, at most 100 columns wide.

    Args:
        results: of the same test file; changes are relative to the first.
    """
    first = results[0].metrics
    sections = [[f"{len(results)} runs, {jet_counts(first)}"]]
    for task, part in first.get("tagging", {}).items():
        for name, found in part["discriminants"].items():
            backgrounds = list(found["fractions"])[::-1]
            sections += [_rejections(results, task, name, b) for b in backgrounds]
        sections += [_changes(results, task, name) for name in list(part["discriminants"])[:1]]
    vertexing = first.get("vertexing", {})
    for task, part in vertexing.items():
        sections += [_vertices(results, task, kind, vertexing) for kind in part]
    columns = _classification(first)
    if columns:
        sections.append(["Classification [%] (of objects at p > 0.5)", *_lines(results, columns)])
    for task, part in first.get("regression", {}).items():
        sections.append(_widths(results, task, part, first["regression"]))
    return "\n\n".join("\n".join(section) for section in sections)


def _lines(results: Sequence[Results], columns: Sequence[Column]) -> Iterator[str]:
    rows = [("run", *(name for name, *_ in columns))]
    for result in results:
        found = ((at(result.metrics, *path), text) for _, path, text in columns)
        cells = ("-" if value is None else text(value) for value, text in found)
        rows.append((result.label[:LONGEST_LABEL], *cells))
    yield from aligned(rows)


def _rejections(results: Sequence[Results], task: str, name: str, background: str) -> Iterator[str]:
    found = at(results[0].metrics, "tagging", task, "discriminants", name)
    signal = short(found["signal"])
    title = (
        f"{name}-tagging: rejection of {spoken(background)} jets at {signal} efficiency, "
        f"{', '.join(fraction_symbols(found['fractions']))}"
    )
    yield heading(title, task, results[0].metrics["tagging"])
    targets = list(network_points(results[0].metrics, task, name))
    if not targets:
        yield f"  no {signal} jets in this file"
        return
    rows = [("run", *(f"{100 * float(target):g} %  " for target in targets))]
    marked = []
    for result in results:
        points = network_points(result.metrics, task, name)
        values = [points[target]["rejections"][background] for target in targets]
        rows.append((result.label[:LONGEST_LABEL], *map(rejection, values)))
        marked += values
    yield from aligned(rows)
    yield from footnotes(marked)


def _changes(results: Sequence[Results], task: str, name: str) -> Iterator[str]:
    title = f"{name}-tagging: change of the rejection to {results[0].label} [%]"
    yield heading(title, task, results[0].metrics["tagging"])
    reference = network_points(results[0].metrics, task, name)
    found = at(results[0].metrics, "tagging", task, "discriminants", name)
    columns = [(b, target) for b in list(found["fractions"])[::-1] for target in reference]
    rows = [("run", *(f"{spoken(b)} {100 * float(target):g} %" for b, target in columns))]
    for result in results[1:]:
        points = network_points(result.metrics, task, name)
        changes = (
            change(points[target]["rejections"][b], reference[target]["rejections"][b])
            for b, target in columns
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


def _vertices(
    results: Sequence[Results], task: str, kind: str, parts: Mapping[str, Any]
) -> Iterator[str]:
    title = f"{kind.capitalize()} vertices of at least two tracks [%]"
    yield heading(title, task, parts)
    columns: list[Column] = []
    for name, has_vertices in vertex_classes(parts[task]).items():
        shown = ("efficiency", "purity") if has_vertices else ("with_vertex",)
        for key in shown:
            words = f"{short(name)} {key}" if has_vertices else f"{spoken(name)} fake rate"
            columns.append((words, ("vertexing", task, kind, name, key), percent))
    yield from _lines(results, columns)


def _classification(metrics: Mapping[str, Any]) -> list[Column]:
    columns: list[Column] = []

    def add(section: str, words: Callable, *shown: tuple[str, tuple, Callable]) -> None:
        parts = metrics.get(section, {})
        for task, part in parts.items():
            for name, path, text in shown:
                title = heading(f"{words(part)} {name}".strip(), task, parts)
                columns.append((title, (section, task, *path), text))

    add("tagging", lambda part: part["label"], ("", ("accuracy",), percent))
    auc = ("AUC", ("weighted", "auc"), lambda value: number(100 * value, 2))
    add("constituents", lambda part: part["label"], ("", ("accuracy",), percent), auc)
    rates = [(key.upper(), ("valid", key), percent) for key in ("tpr", "fpr")]
    of_class = ("class", ("flavour",), lambda parts: percent(next(iter(parts.values()))))
    add("objects", lambda part: singular(part["of"]), *rates, of_class)
    return columns


def _widths(
    results: Sequence[Results], task: str, part: Mapping[str, Any], parts: Mapping[str, Any]
) -> Iterator[str]:
    title = f"{regression_title(part)}: half of the 68 % width of the residuals"
    yield heading(f"{title}, and {part['entries']} found", task, parts)
    base = ("regression", task)
    columns = [
        (key, (*base, "residuals", key, "half_width_68"), significant) for key in part["residuals"]
    ]
    yield from _lines(results, [*columns, ("found", (*base, "found"), lambda n: f"{n:,}")])
