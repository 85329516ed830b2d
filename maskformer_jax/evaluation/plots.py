"""Pictures of the b-tagging performance, drawn with puma."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.evaluation.discriminants import flavour_indices, rejection, threshold
from maskformer_jax.evaluation.metrics import Scores
from maskformer_jax.evaluation.output import write_whole

ROC_FILE = "roc.png"
ROC_EFFICIENCIES = np.linspace(0.49, 1.0, 103)
HISTOGRAM_BINS = 50
# Quantiles of the discriminant that the histogram covers; the rest is in its first and last bin.
HISTOGRAM_RANGE = (0.002, 0.998)
DPI = 150


def draw_plots(scores: Scores, config: Config, folder: Path) -> list[Path]:
    """Draws the ROC curves and the discriminants as PNG files.

    Args:
        scores: of all labelled jets.
        config: of the run.
        folder: where the pictures go.

    Returns:
        The files; empty unless there are b, c and light jets.
    """
    flavours = flavour_indices(config.data.jets.classes)
    if not all(np.any(scores.jet_class_index == flavour) for flavour in flavours):
        return []
    note = f"$f_c$ = {config.evaluation.charm_fraction:g}, {len(scores.jet_class_index):,} jets"
    files = [_draw_roc(scores, config, note, folder / ROC_FILE)]
    for tagger in scores.taggers:
        files.append(_draw_discriminant(scores, config, tagger, note, folder))
    return files


def roc_curve(signal: np.ndarray, background: np.ndarray, efficiencies: np.ndarray) -> np.ndarray:
    """Background rejection at each signal efficiency; NaN where no background jet passes."""
    rejections = [rejection(background >= threshold(signal, e)) for e in efficiencies]
    return np.array([np.nan if r.is_limit else r.value for r in rejections])


def _draw_roc(scores: Scores, config: Config, note: str, path: Path) -> Path:
    from ftag import Flavours
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from puma import Roc, RocPlot

    flavours = flavour_indices(config.data.jets.classes)
    backgrounds = {Flavours["ujets"]: flavours.light, Flavours["cjets"]: flavours.charm}
    plot = RocPlot(
        n_ratio_panels=2,
        ylabel="Background rejection",
        xlabel="$b$-jet efficiency",
        title=note,
        use_atlas_tag=False,
        xmin=ROC_EFFICIENCIES[0],
        xmax=1.0,
        figsize=(6.5, 6),
        dpi=DPI,
    )
    plot.rej_leg_loc = "lower left"
    for name, score in scores.taggers.items():
        signal = score[scores.jet_class_index == flavours.signal]
        for label, index in backgrounds.items():
            background = score[scores.jet_class_index == index]
            plot.add_roc(
                Roc(
                    ROC_EFFICIENCIES,
                    roc_curve(signal, background, ROC_EFFICIENCIES),
                    n_test=len(background),
                    rej_class=label,
                    signal_class=Flavours["bjets"],
                    label=name,
                ),
                reference=name == list(scores.taggers)[-1],
            )
    for panel, label in enumerate(backgrounds, start=1):
        plot.set_ratio_class(panel, label)
    FigureCanvasAgg(plot.fig)
    plot.draw()
    _save(plot.fig, path)
    return path


def _draw_discriminant(
    scores: Scores, config: Config, tagger: str, note: str, folder: Path
) -> Path:
    from ftag import Flavours
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from puma import Histogram, HistogramPlot

    flavours = flavour_indices(config.data.jets.classes)
    score = scores.taggers[tagger]
    plot = HistogramPlot(
        n_ratio_panels=0,
        ylabel="Normalised number of jets",
        xlabel=f"$b$-jet discriminant of {tagger}",
        logy=True,
        title=note,
        use_atlas_tag=False,
        figsize=(6.5, 4.5),
        dpi=DPI,
    )
    edges = np.linspace(*np.quantile(score, HISTOGRAM_RANGE), HISTOGRAM_BINS + 1)
    for name, index in zip(("ujets", "cjets", "bjets"), reversed(flavours), strict=True):
        values = score[scores.jet_class_index == index]
        plot.add(Histogram(values, bins=edges, flavour=Flavours[name]), key=name)
    FigureCanvasAgg(plot.fig)
    plot.draw()
    path = folder / f"discriminant_{tagger}.png"
    _save(plot.fig, path)
    return path


def _save(figure: Any, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    write_whole(path, picture.getvalue())
