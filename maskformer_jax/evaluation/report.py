"""The metrics as tables on the terminal."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

# With fewer passing background jets the binomial error is no longer close to a normal one.
FEW_JETS = 10

# Longer names of a tagger are cut in the table, so that it fits into 100 columns.
LONGEST_NAME = 16


def table(metrics: Mapping[str, Any]) -> str:
    """The metrics as aligned text, at most 100 columns wide.

    Args:
        metrics: content of metrics.json.
    """
    sections = (_jets, _rejections, _vertices, _objects, _regression)
    return "\n\n".join("\n".join(section(metrics)) for section in sections)


def _rows(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Aligns cells: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(["", *cells]).rstrip()


def _with_error(value: float, error: float) -> str:
    """Two significant digits of the error, and the same digits of the value."""
    if not math.isfinite(value):
        return "-"
    if not error > 0:
        return f"{value:.3g}"
    digits = min(max(0, 1 - math.floor(math.log10(error))), 4)
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def _percent(part: Mapping[str, Any]) -> str:
    return _with_error(100 * part["value"], 100 * part["error"])


def _rejection(value: Mapping[str, Any]) -> str:
    if value["is_lower_limit"]:
        return f"> {value['value']:.3g}  "
    few = "*" if _few(value) else " "
    return f"{_with_error(value['value'], value['error'])} {few}"


def _few(value: Mapping[str, Any]) -> bool:
    return 0 < value["passed"] < FEW_JETS


def _jets(metrics: Mapping[str, Any]) -> Iterator[str]:
    jets = metrics["jets"]
    classes = ", ".join(f"{count:,} {name}" for name, count in jets["classes"].items())
    yield f"{jets['total']:,} jets: {classes}, {jets['unlabelled']:,} unlabelled"
    yield f"Flavour accuracy {_percent(metrics['tagging']['accuracy'])} %"
    yield f"Track origin accuracy {_percent(metrics['track_origin']['accuracy'])} %"


def _rejections(metrics: Mapping[str, Any]) -> Iterator[str]:
    tagging = metrics["tagging"]["b"]
    taggers = tagging["points"]
    yield f"b-tagging, D_b with f_c = {tagging['fraction']:g}"
    targets = list(next(iter(taggers.values())))
    if not targets:
        yield "  no b jets in this file"
        return
    # Two blanks keep the place of the footnote marks.
    names = [f"{name[:LONGEST_NAME]}  " for name in taggers]
    kinds = [f"{kind} rejection  " for kind in ("light", "c") for _ in names]
    rows = [("b efficiency", *kinds), ("[%]", *names, *names)]
    limits = few = False
    for target in targets:
        points = [points[target] for points in taggers.values()]
        values = [p["rejections"][name] for name in ("ujets", "cjets") for p in points]
        limits |= any(value["is_lower_limit"] for value in values)
        few |= any(map(_few, values))
        rows.append((f"{100 * points[0]['target']:g}", *map(_rejection, values)))
    yield from _rows(rows)
    if few:
        yield f"  * fewer than {FEW_JETS} background jets pass"
    if limits:
        yield "  > no background jet passes: lower limit at 95 % confidence"


def _vertices(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield "Vertices of at least two tracks"
    rows = [("jets", "true", "efficiency [%]", "predicted", "purity [%]", "jets with vertex [%]")]
    for name, vertices in metrics["vertexing"]["exclusive"].items():
        rows.append(
            (
                name,
                f"{vertices['efficiency']['total']:,}",
                _percent(vertices["efficiency"]),
                f"{vertices['purity']['total']:,}",
                _percent(vertices["purity"]),
                _percent(vertices["with_vertex"]),
            )
        )
    yield from _rows(rows)


def _objects(metrics: Mapping[str, Any]) -> Iterator[str]:
    objects = metrics["hadrons"]
    yield "Objects matched to hadrons"
    yield from _rows(
        [
            ("", "[%]", "of"),
            *(
                (label, _percent(objects[key]), f"{objects[key]['total']:,} {unit}")
                for label, key, unit in (
                    ("class accuracy, real hadrons", "class_accuracy", "hadrons"),
                    ("class accuracy, with none", "overall_accuracy", "objects"),
                    ("efficiency: hadrons found", "efficiency", "hadrons"),
                    ("purity: found objects that are real", "purity", "objects"),
                )
            ),
        ]
    )


def _regression(metrics: Mapping[str, Any]) -> Iterator[str]:
    regression = metrics["regression"]
    found, of = regression["found"], regression["of"]
    yield f"Hadron properties, residuals of the {found:,} hadrons found of {of:,}"
    rows = [("residual", "median", "half 68 % width", "mean", "std", "hadrons")]
    for entry in regression["residuals"].values():
        numbers = (entry[key] for key in ("median", "half_width_68", "mean", "std"))
        cells = (f"{x:.3g}" if math.isfinite(x) else "-" for x in numbers)
        label = f"{entry['formula']} [{entry['unit']}]" if entry["unit"] else entry["formula"]
        rows.append((label, *cells, f"{entry['number']:,}"))
    yield from _rows(rows)
