"""Pictures of the evaluation, drawn from results alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from maskformer_jax.canvas import PlotConfig, save, style
from maskformer_jax.evaluation.names import in_file_name
from maskformer_jax.evaluation.plots import classes, panels, tagging
from maskformer_jax.evaluation.results import Curve, Part, Result

# Kind of curves -> `draw(series)`, a figure or none; the others of a result are drawn in panels.
KINDS = {"roc": tagging.draw_roc, "scan": tagging.draw_scan, "scores": tagging.draw_scores}

# Label of each run with its curves of one picture, by name; ratios are to the first.
Series = Sequence[tuple[str, Mapping[str, Curve]]]


def draw_plots(
    results: Sequence[Result], folder: Path, look: PlotConfig | None = None
) -> list[Path]:
    """Draws all pictures.

    Args:
        results: of one run, drawn with its baseline as reference, or of several on the same test
            file, the first of which is the reference.
        folder: where the pictures go; it must be there.
        look: formats of the files, and what stands above the pictures.

    Returns:
        The files; none of what has no points.
    """
    # Its import changes fonts, and must not do so in the middle of the pictures.
    import puma  # noqa: F401

    files, labels, look = [], [result.label for result in results], look or PlotConfig()
    with style():
        for section, tasks in results[0].sections.items():
            for task in tasks:
                parts = [result.sections.get(section, {}).get(task, Part()) for result in results]
                prefix = f"{task}_" if len(tasks) > 1 else ""
                for name, series in _pictures(labels, parts).items():
                    kind = next(iter(series[0][1].values())).kind
                    # Other taggers have scores of their own.
                    alone = kind == "scores" and len(results) == 1
                    for some in [[run] for run in series] if alone else [series]:
                        ending = f"_{in_file_name(some[0][0])}" if alone else ""
                        figure = KINDS.get(kind, panels.draw)(some)
                        if figure is not None:
                            path = folder / f"{prefix}{name}{ending}"
                            files += save(figure, path, look)
                for name, figure in classes.draw(labels, parts, task):
                    files += save(figure, folder / name, look)
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
