"""Pictures of the tagging of jets: ROC curves and scans are drawn with puma."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.names import in_file_name, jets_in_formula
from maskformer_jax.evaluation.plots.canvas import DPI, colour, draw_and_save, with_symbols
from maskformer_jax.evaluation.plots.panels import draw
from maskformer_jax.evaluation.results import Curve

Series = Sequence[tuple[str, Mapping[str, Curve]]]


def class_label(name: str) -> Any:
    """What puma knows of a class, or the like of it."""
    from ftag import Cuts, Flavours
    from ftag.labels import Label

    if name in Flavours:
        return Flavours[name]
    return Label(name, name, Cuts.empty(), "black", "other")


def draw_roc(series: Series, path: Path) -> list[Path]:
    """Rejection of each background against signal efficiency, with ratios of several runs."""
    from puma import Roc, RocPlot

    first = next(iter(series[0][1].values()))
    backgrounds, several = list(series[0][1]), len(series) > 1
    plot = RocPlot(
        n_ratio_panels=min(2, len(backgrounds)) if several else 0,
        ylabel="Background rejection",
        xlabel=with_symbols(first.x_label),
        title=first.title,
        use_atlas_tag=False,
        figsize=(6.5, 6),
        dpi=DPI,
    )
    plot.rej_leg_loc = "lower left"
    # puma has as many kinds of lines and panels of ratios as two backgrounds need.
    shown = backgrounds[: plot.n_ratio_panels or None]
    for index, (label, curves) in enumerate(series):
        for background in shown:
            curve = curves[background]
            roc = Roc(
                curve.points.x,
                curve.points.value,
                n_test=curve.entries,
                rej_class=class_label(background),
                signal_class=class_label("signal"),
                label=label if several else f"{label}, {jets_in_formula(background)}s",
                colour=colour(index),
            )
            plot.add_roc(roc, reference=index == 0 < plot.n_ratio_panels)
    for panel, background in enumerate(shown[: plot.n_ratio_panels], start=1):
        plot.set_ratio_class(panel, class_label(background))
    return [draw_and_save(plot, path)]


def draw_scores(series: Series, path: Path) -> list[Path]:
    """A panel of all runs for each class, or one of all classes where there is a single run."""
    if len(series) > 1:
        return draw(series, path)
    [(label, curves)] = series
    words = {"y_label": "fraction of the jets of a class"}
    classes = [
        (f"{jets_in_formula(name)}s", {"": replace(curve, **words)})
        for name, curve in curves.items()
    ]
    return draw(classes, path.with_stem(f"{path.stem}_{in_file_name(label)}"), has_ratios=False)


def draw_scan(series: Series, path: Path) -> list[Path]:
    """Rejections for every fraction, with a cross at the fraction of the other pictures."""
    from puma import Line2D, Line2DPlot

    # The fraction of the last background is scanned.
    second, scanned = list(series[0][1].values())[-2:]
    plot = Line2DPlot(
        xlabel=with_symbols(second.y_label),
        ylabel=with_symbols(scanned.y_label),
        title=scanned.title,
        use_atlas_tag=False,
        figsize=(6.5, 5),
        dpi=DPI,
    )
    for index, (label, curves) in enumerate(series):
        x, y = (curves[curve.name].points.value for curve in (second, scanned))
        plot.add(Line2D(x, y, label=label, colour=colour(index)))
        at = np.argmin(np.abs(scanned.points.x - scanned.mark))
        point = slice(at, at + 1)
        cross = Line2D(x[point], y[point], marker="x", markersize=10, colour=colour(index))
        plot.add(cross, is_marker=True)
    return [draw_and_save(plot, path)]
