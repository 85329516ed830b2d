"""Pictures of the tagging of jets: ROC curves, with puma, scans and discriminants."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maskformer_jax.canvas import FONT, colour, grid, legend_below, readable_ticks, with_symbols
from maskformer_jax.evaluation.names import jets_in_formula
from maskformer_jax.evaluation.plots.panels import ALONE, draw, filled_range
from maskformer_jax.evaluation.results import Curve

Series = Sequence[tuple[str, Mapping[str, Curve]]]

# The width of the picture, and its height with two panels of ratios.
ROC_SIZE = (7.5, 8.5)
# Fractions that are written beside a scan.
WRITTEN = (0.01, 0.05, 0.1, 0.2, 0.5)


def class_label(name: str) -> Any:
    """A class of jets for puma, in the words of the other pictures."""
    from ftag import Cuts
    from ftag.labels import Label

    return Label(name, f"{jets_in_formula(name)}s", Cuts.empty(), "black", "other")


def draw_roc(series: Series) -> Any:
    """Rejection of each background against signal efficiency, with ratios of several runs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from puma import Roc, RocPlot

    first = next(iter(series[0][1].values()))
    backgrounds, several = list(series[0][1]), len(series) > 1
    number = min(2, len(backgrounds)) if several else 0
    plot = RocPlot(
        n_ratio_panels=number,
        ylabel="Background rejection",
        xlabel=with_symbols(first.x_label),
        atlas_first_tag=None,
        atlas_second_tag=None,
        apply_atlas_style=False,
        figsize=(ROC_SIZE[0], ROC_SIZE[1] * (0.6 + 0.2 * number)),
        fontsize=FONT,
        label_fontsize=FONT,
        leg_fontsize=FONT,
        y_scale=1.1,
    )
    plot.fig.get_layout_engine().set(h_pad=0.05)
    FigureCanvasAgg(plot.fig)
    # puma has as many kinds of lines and panels of ratios as two backgrounds need.
    shown = backgrounds[: number or None]
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
            plot.add_roc(roc, reference=index == 0 < number)
    for panel, background in enumerate(shown[:number], start=1):
        plot.set_ratio_class(panel, class_label(background))
    ends = filled_range([curves[background] for _, curves in series for background in shown])
    if ends is None:
        return None
    plot.xmin, plot.xmax = ends
    # Where the reference is zero there is no ratio, and none is drawn.
    with np.errstate(divide="ignore", invalid="ignore"):
        plot.draw()
    plot.fig.suptitle(first.title)
    return plot.fig


def draw_scores(series: Series) -> Any:
    """A panel of all runs for each class, or one of all classes where there is a single run."""
    if len(series) > 1:
        return draw(series)
    words = {"y_label": "fraction of the jets of a class"}
    return draw(
        [
            (f"{jets_in_formula(name)}s", {"": replace(curve, **words)})
            for name, curve in series[0][1].items()
        ],
        has_ratios=False,
    )


def draw_scan(series: Series) -> Any:
    """Rejections for every fraction, with a cross at the fraction of the other pictures."""
    # The fraction of the last background is scanned.
    second, scanned = list(series[0][1].values())[-2:]
    figure, [(axes, _)] = grid(1, 1, ALONE, 0)
    for index, (_, curves) in enumerate(series):
        (fractions, x, *x_ends), (_, y, *y_ends) = (
            curves[c.name].points for c in (second, scanned)
        )
        axes.plot(x, y, color=colour(index))
        at = np.argmin(np.abs(fractions - scanned.mark))
        axes.plot(x[at], y[at], "x", color=colour(index), markersize=11, markeredgewidth=2.5)
        marked = [int(np.argmin(np.abs(fractions - f))) for f in (*WRITTEN, scanned.mark)]
        bars = {
            name: [np.abs(v[marked] - end[marked]) for end in ends]
            for name, v, ends in (("xerr", x, x_ends), ("yerr", y, y_ends))
        }
        style = {"color": colour(index), "fmt": "o", "markersize": 4, "linewidth": 1}
        axes.errorbar(x[marked], y[marked], **bars, **style)
        for position, value in zip(marked, WRITTEN, strict=False):
            if index == 0:
                place = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": FONT - 2}
                axes.annotate(f"{value:g}", (x[position], y[position]), **place)
    axes.set(xlabel=with_symbols(second.y_label), ylabel=with_symbols(scanned.y_label))
    readable_ticks(axes)
    figure.suptitle(scanned.title)
    legend_below(figure, {label: colour(index) for index, (label, _) in enumerate(series)})
    return figure
