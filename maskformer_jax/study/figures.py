"""Pictures of a study: the models of a group over the reference, averaged over seeds."""

import io
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.output import write_whole
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.seeds import Entry
from maskformer_jax.study.collect import Collected, Test

# Pictures of lines need no more, and their files are a quarter as large.
PALETTE = 128
WIDEST = 1400


def draw_figures(collected: Collected, folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Draws every picture of every test and group into TEST/GROUP below a folder.

    Args:
        collected: the finished runs.
        folder: created if needed.

    Returns:
        Test -> group -> its PNG files.
    """
    return {
        test.name: {
            group: _draw(
                compared,
                folder / test.name / slug(group),
                collected.study.figures.get(test.name, ["*"]),
            )
            for group in collected.study.groups
            if (compared := _compared(collected, test, group))
        }
        for test in collected.tests
    }


def slug(text: str) -> str:
    """A name for files and links.

    >>> slug("Loss-based & more")
    'loss-based_more'
    """
    return re.sub(r"[^a-z0-9-]+", "_", text.lower()).strip("_")


def _compared(collected: Collected, test: Test, group: str) -> list[Results]:
    """The reference and the other models of the group, or the group alone without it."""
    reference = collected.reference(test)
    others = [e for e in test.entries if e.group == group and e is not reference]
    if not others:
        return []
    return [averaged(entry) for entry in ([reference] if reference else []) + others]


def _draw(results: Sequence[Results], folder: Path, patterns: Sequence[str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with tempfile.TemporaryDirectory() as drawn:
        for path in draw_plots(results, Path(drawn)):
            if any(path.match(pattern) for pattern in patterns):
                paths.append(folder / path.name)
                write_whole(paths[-1], _small(path))
    return paths


def _small(path: Path) -> bytes:
    """The picture as a PNG of few colours, not wider than a page shows it."""
    from PIL import Image

    picture = io.BytesIO()
    with Image.open(path) as image:
        image = image.convert("RGB")
        image.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
        # The method that keeps the colours of thin lines apart.
        method = Image.Quantize.MAXCOVERAGE
        reduced = image.quantize(PALETTE, method=method, dither=Image.Dither.NONE)
        reduced.save(picture, format="png", optimize=True)
    return picture.getvalue()


def averaged(entry: Entry) -> Results:
    """Results of a model with every number averaged over its seeds.

    A curve gets the spread over seeds as its error. Where curves have different points, such as
    histograms with bins of their own, those of the first seed stand for all.
    """
    seeds = list(entry.seeds.values())
    metrics = _mean([results.metrics for results in seeds])
    return Results(entry.label, metrics, _mean([results.curves for results in seeds]))


def _mean(values: Sequence[Any]) -> Any:
    first = values[0]
    if len(values) == 1:
        return first
    match first:
        case {"x": x, "value": _, "error": _}:
            same = all(np.array_equal(x, value["x"]) for value in values)
            return _mean_curve(values) if same else first
        case Mapping():
            shared = [key for key in first if all(key in value for value in values)]
            return {key: _mean([value[key] for value in values]) for key in shared}
        case list():
            same = all(len(value) == len(first) for value in values)
            return [_mean(items) for items in zip(*values, strict=True)] if same else first
        case bool() | str():
            return first
        case int() | float():
            return _mean_number(values)
        case _:
            return first


def _mean_number(values: Sequence[float]) -> float:
    if all(value == values[0] for value in values):
        # Numbers of jets stay whole.
        return values[0]
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _mean_curve(curves: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = np.array([curve["value"] for curve in curves], float)
    known = np.isfinite(values).all(axis=0)
    # A point that one seed lacks, such as no passing jet, has no mean.
    mean = np.where(known, values.mean(axis=0), np.nan)
    spread = np.where(known, values.std(axis=0, ddof=1), np.nan)
    return {"x": curves[0]["x"], "value": mean.tolist(), "error": spread.tolist()}
