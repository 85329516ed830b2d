"""The metrics of one run as tables on the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from maskformer_jax.evaluation.names import fraction_symbols, heading, short, singular, spoken
from maskformer_jax.evaluation.tables.cells import (
    aligned,
    footnotes,
    number,
    percent,
    rejection,
    significant,
)

# Longer names of a tagger are cut in the table, so that it fits into 100 columns.
LONGEST_NAME = 16


def table(metrics: Mapping[str, Any]) -> str:
    """The metrics as aligned text, at most 100 columns wide.

    Args:
        metrics: content of metrics.json.
    """
    sections = [_numbers(metrics)]
    tagging = metrics.get("tagging", {})
    for task, part in tagging.items():
        for name, found in part["discriminants"].items():
            fractions = ", ".join(fraction_symbols(found["fractions"]))
            title = f"{name}-tagging, D_{name} with {fractions}"
            sections.append([heading(title, task, tagging), *_rejections(found)])
    for name, lines in SECTIONS.items():
        parts = metrics.get(name, {})
        sections += [lines(part, task, parts) for task, part in parts.items()]
    return "\n\n".join("\n".join(section) for section in sections)


def jet_counts(metrics: Mapping[str, Any]) -> str:
    """Number of all jets and, if the jets are told apart once, of each class.

    >>> jet_counts({"jets": 7})
    '7 jets'
    """
    text, parts = f"{metrics['jets']:,} jets", list(metrics.get("tagging", {}).values())
    if len(parts) != 1:
        return text
    return f"{text}: {_class_counts(parts[0])}"


def _class_counts(tagging: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in tagging["jets"]["classes"].items())


def _numbers(metrics: Mapping[str, Any]) -> Iterator[str]:
    tagging = metrics.get("tagging", {})
    parts = list(tagging.values())
    text = jet_counts(metrics)
    if len(parts) == 1:
        text += f", {parts[0]['jets']['unlabelled']:,} unlabelled"
    yield text
    for task, part in tagging.items():
        title = heading(part["label"].replace("_", " ").capitalize(), task, tagging)
        counts = f": {_class_counts(part)}" if len(parts) > 1 else ""
        yield f"{title} accuracy {percent(part['accuracy'])} %{counts}"
    for task, part in metrics.get("constituents", {}).items():
        title = heading(class_title(part), task, metrics["constituents"])
        yield f"{title} accuracy {percent(part['accuracy'])} %"


def class_title(part: Mapping[str, Any]) -> str:
    """What the constituents are told apart by, such as `Track origin`."""
    return f"{singular(part['of'])} {part['label']}".replace("_", " ").capitalize()


def _rejections(found: Mapping[str, Any]) -> Iterator[str]:
    taggers, signal = found["points"], short(found["signal"])
    targets = list(next(iter(taggers.values())))
    if not targets:
        yield f"  no {signal} jets in this file"
        return
    # The background whose fraction is varied comes last.
    backgrounds = list(found["fractions"])[::-1]
    # Two blanks keep the place of the footnote marks.
    names = [f"{tagger[:LONGEST_NAME]}  " for tagger in taggers]
    kinds = [f"{spoken(background)} rejection  " for background in backgrounds for _ in names]
    rows = [(f"{signal} efficiency", *kinds), ("[%]", *names * len(backgrounds))]
    marked = []
    for target in targets:
        points = [points[target] for points in taggers.values()]
        values = [point["rejections"][b] for b in backgrounds for point in points]
        marked += values
        rows.append((f"{100 * points[0]['target']:g}", *map(rejection, values)))
    yield from aligned(rows)
    yield from footnotes(marked)


def _vertices(part: Mapping[str, Any], task: str, parts: Mapping[str, Any]) -> Iterator[str]:
    title = "Vertices of at least two tracks, each (exclusive) and all of a jet merged (inclusive)"
    yield heading(title, task, parts)
    names = ("jets", "true", "efficiency [%]", "predicted", "purity [%]", "jets with vertex [%]")
    rows = []
    for kind, classes in part.items():
        rows.append((kind, *names[1:]) if not rows else (kind, *[""] * (len(names) - 1)))
        for name, vertices in classes.items():
            efficiency, purity = vertices["efficiency"], vertices["purity"]
            rows.append(
                (
                    f"  {name}",
                    f"{efficiency['total']:,}",
                    percent(efficiency),
                    f"{purity['total']:,}",
                    percent(purity),
                    percent(vertices["with_vertex"]),
                )
            )
    yield from aligned(rows)


def _constituents(part: Mapping[str, Any], task: str, parts: Mapping[str, Any]) -> Iterator[str]:
    yield heading(f"{class_title(part)}s, each against all others", task, parts)
    keys = ("auc", "precision", "recall", "f1")
    rows = [(part["label"], "AUC", "precision", "recall", "F1", part["of"])]
    for name, scores in part["classes"].items():
        rows.append((name, *(number(scores[key]) for key in keys), f"{scores['number']:,}"))
    rows.append(("weighted mean", *(number(part["weighted"][key]) for key in keys), ""))
    yield from aligned(rows)


def _objects(part: Mapping[str, Any], task: str, parts: Mapping[str, Any]) -> Iterator[str]:
    of = part["of"]
    yield heading(f"Objects matched to {of}", task, parts)
    labels = {
        "class_accuracy": (f"class accuracy, real {of}", of),
        "overall_accuracy": ("class accuracy, with none", "objects"),
        "efficiency": (f"efficiency: {of} found", of),
        "purity": ("purity: found objects that are real", "objects"),
    }
    rows = [("", "[%]", "of")]
    for key, (label, unit) in labels.items():
        rows.append((label, percent(part[key]), f"{part[key]['total']:,} {unit}"))
    valid = part["valid"]
    for key, unit in (("tpr", of), ("fpr", "others"), ("fnr", of), ("tnr", "others")):
        label = f"{key.upper()}, any {singular(of)} at p > 0.5"
        rows.append((label, percent(valid[key]), f"{valid[key]['total']:,} {unit}"))
    for name, share in part["flavour"].items():
        label = f"flavour accuracy at p > 0.5, {name}"
        rows.append((label, percent(share), f"{share['total']:,} {of}"))
    yield from aligned(rows)


def _regression(part: Mapping[str, Any], task: str, parts: Mapping[str, Any]) -> Iterator[str]:
    of = part["entries"]
    yield heading(f"{regression_title(part)}, residuals of the {entries_found(part)}", task, parts)
    rows = [("residual", "median", "half 68 % width", "mean", "std", of)]
    for entry in part["residuals"].values():
        values = (entry[key] for key in ("median", "half_width_68", "mean", "std"))
        label = f"{entry['formula']} [{entry['unit']}]" if entry["unit"] else entry["formula"]
        rows.append((label, *map(significant, values), f"{entry['number']:,}"))
    yield from aligned(rows)


def regression_title(part: Mapping[str, Any]) -> str:
    """What is regressed, such as `Hadron properties`."""
    return f"{singular(part['entries'])} properties".replace("_", " ").capitalize()


def entries_found(part: Mapping[str, Any]) -> str:
    """How many entries have residuals; of objects not all are found."""
    found, of = part["found"], part["of"]
    if part["against"] == "jet":
        return f"{of:,} {part['entries']}"
    return f"{found:,} {part['entries']} found of {of:,}"


# Section -> its lines, after those of the tagging.
SECTIONS = {
    "vertexing": _vertices,
    "constituents": _constituents,
    "objects": _objects,
    "regression": _regression,
}
