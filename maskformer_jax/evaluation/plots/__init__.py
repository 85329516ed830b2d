"""Pictures of the evaluation, drawn from results alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from maskformer_jax.evaluation.plots import classes, panels, tagging
from maskformer_jax.evaluation.results import Curve, Part, Result

# Kind of curves -> `draw(series, path)`; the others of a result are drawn in panels.
KINDS = {"roc": tagging.draw_roc, "scan": tagging.draw_scan, "scores": tagging.draw_scores}

# Label of each run with its curves of one picture, by name; ratios are to the first.
Series = Sequence[tuple[str, Mapping[str, Curve]]]


def draw_plots(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draws all pictures as PNG files.

    Args:
        results: of one run, drawn with its baseline as reference, or of several on the same test
            file, the first of which is the reference.
        folder: where the pictures go; it must be there.

    Returns:
        The files; none of what has no points.
    """
    files, labels = [], [result.label for result in results]
    for section, tasks in results[0].sections.items():
        for task in tasks:
            parts = [result.sections.get(section, {}).get(task, Part()) for result in results]
            prefix = f"{task}_" if len(tasks) > 1 else ""
            for name, series in _pictures(labels, parts).items():
                first = next(iter(series[0][1].values()))
                draw = KINDS.get(first.kind, panels.draw)
                # Other taggers have scores of their own.
                alone = first.kind == "scores" and len(results) == 1
                for some in [[run] for run in series] if alone else [series]:
                    files += draw(some, folder / f"{prefix}{name}.png")
            files += classes.draw(labels, parts, folder, task)
    return files


def _pictures(labels: Sequence[str], parts: Sequence[Part]) -> dict[str, Series]:
    """Runs by the name of the picture, those that have its curves."""
    runs = list(zip(labels, (part.curves for part in parts), strict=True))
    if len(runs) == 1:
        runs.insert(0, ("baseline", parts[0].baseline))
    pictures: dict[str, list] = {}
    for label, curves in runs:
        figures: dict[str, dict[str, Curve]] = {}
        for curve in curves:
            figures.setdefault(curve.figure, {})[curve.name] = curve
        for figure, found in figures.items():
            pictures.setdefault(figure, []).append((label, found))
    return pictures
