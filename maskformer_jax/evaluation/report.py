"""The metrics of one run as tables on the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

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

# Kind of tagging: its fraction, backgrounds and what they are called.
TAGS = {
    "b": ("f_c", {"ujets": "light", "cjets": "c"}),
    "c": ("f_b", {"ujets": "light", "bjets": "b"}),
}


def table(metrics: Mapping[str, Any]) -> str:
    """The metrics as aligned text, at most 100 columns wide.

    Args:
        metrics: content of metrics.json.
    """
    sections = [
        _jets(metrics),
        *(_rejections(metrics, signal) for signal in TAGS),
        _vertices(metrics),
        _origins(metrics["track_origin"]),
        _hadrons(metrics["hadrons"]),
        _regression(metrics["regression"]),
    ]
    return "\n\n".join("\n".join(section) for section in sections)


def _jets(metrics: Mapping[str, Any]) -> Iterator[str]:
    jets = metrics["jets"]
    classes = ", ".join(f"{count:,} {name}" for name, count in jets["classes"].items())
    yield f"{jets['total']:,} jets: {classes}, {jets['unlabelled']:,} unlabelled"
    yield f"Flavour accuracy {percent(metrics['tagging']['accuracy'])} %"
    yield f"Track origin accuracy {percent(metrics['track_origin']['accuracy'])} %"


def _rejections(metrics: Mapping[str, Any], signal: str) -> Iterator[str]:
    fraction, backgrounds = TAGS[signal]
    tagging = metrics["tagging"][signal]
    taggers = tagging["points"]
    yield f"{signal}-tagging, D_{signal} with {fraction} = {tagging['fraction']:g}"
    targets = list(next(iter(taggers.values())))
    if not targets:
        yield f"  no {signal} jets in this file"
        return
    # Two blanks keep the place of the footnote marks.
    names = [f"{name[:LONGEST_NAME]}  " for name in taggers]
    kinds = [f"{kind} rejection  " for kind in backgrounds.values() for _ in names]
    rows = [(f"{signal} efficiency", *kinds), ("[%]", *names * len(backgrounds))]
    marked = []
    for target in targets:
        points = [points[target] for points in taggers.values()]
        values = [point["rejections"][name] for name in backgrounds for point in points]
        marked += values
        rows.append((f"{100 * points[0]['target']:g}", *map(rejection, values)))
    yield from aligned(rows)
    yield from footnotes(marked)


def _vertices(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield "Vertices of at least two tracks, each (exclusive) and all of a jet merged (inclusive)"
    heading = ("jets", "true", "efficiency [%]", "predicted", "purity [%]", "jets with vertex [%]")
    rows = []
    for kind, classes in metrics["vertexing"].items():
        rows.append((kind, *heading[1:]) if not rows else (kind, *[""] * (len(heading) - 1)))
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


def _origins(origins: Mapping[str, Any]) -> Iterator[str]:
    yield "Track origins, each against all others"
    keys = ("auc", "precision", "recall", "f1")
    rows = [("origin", "AUC", "precision", "recall", "F1", "tracks")]
    for name, scores in origins["classes"].items():
        rows.append((name, *(number(scores[key]) for key in keys), f"{scores['tracks']:,}"))
    rows.append(("weighted mean", *(number(origins["weighted"][key]) for key in keys), ""))
    yield from aligned(rows)


def _hadrons(hadrons: Mapping[str, Any]) -> Iterator[str]:
    yield "Objects matched to hadrons"
    labels = {
        "class_accuracy": ("class accuracy, real hadrons", "hadrons"),
        "overall_accuracy": ("class accuracy, with none", "objects"),
        "efficiency": ("efficiency: hadrons found", "hadrons"),
        "purity": ("purity: found objects that are real", "objects"),
    }
    rows = [("", "[%]", "of")]
    for key, (label, unit) in labels.items():
        rows.append((label, percent(hadrons[key]), f"{hadrons[key]['total']:,} {unit}"))
    valid = hadrons["valid"]
    for key, unit in (("tpr", "hadrons"), ("fpr", "others"), ("fnr", "hadrons"), ("tnr", "others")):
        label = f"{key.upper()}, any hadron at p > 0.5"
        rows.append((label, percent(valid[key]), f"{valid[key]['total']:,} {unit}"))
    for name, part in hadrons["flavour"].items():
        label = f"flavour accuracy at p > 0.5, {name}"
        rows.append((label, percent(part), f"{part['total']:,} hadrons"))
    yield from aligned(rows)


def _regression(regression: Mapping[str, Any]) -> Iterator[str]:
    found, of = regression["found"], regression["of"]
    yield f"Hadron properties, residuals of the {found:,} hadrons found of {of:,}"
    rows = [("residual", "median", "half 68 % width", "mean", "std", "hadrons")]
    for entry in regression["residuals"].values():
        values = (entry[key] for key in ("median", "half_width_68", "mean", "std"))
        label = f"{entry['formula']} [{entry['unit']}]" if entry["unit"] else entry["formula"]
        rows.append((label, *map(significant, values), f"{entry['number']:,}"))
    yield from aligned(rows)
