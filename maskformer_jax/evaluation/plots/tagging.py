"""Pictures of the flavour tagging, drawn with puma."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.plots.canvas import COLOURS, DPI, draw_and_save
from maskformer_jax.evaluation.results import Results

SIGNALS = {"b": "bjets", "c": "cjets"}
BACKGROUNDS = {"b": ("ujets", "cjets"), "c": ("ujets", "bjets")}
FRACTIONS = {"b": "$f_c$", "c": "$f_b$"}


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws the ROC curves and the discriminants.

    Args:
        results: of one run, drawn with its baseline as reference, or of several, the first of
            which is the reference.
        folder: where the pictures go.

    Returns:
        The files; empty where a flavour is missing in the test file.
    """
    files = []
    for signal in SIGNALS:
        if any(signal not in _part(r, "roc") for r in results):
            continue
        files.append(_draw_roc(results, signal, folder / f"roc_{signal}.png"))
        files += _draw_discriminants(results, signal, folder)
    return files


def _part(result: Results, name: str) -> Mapping[str, Any]:
    return result.curves.get("tagging", {}).get(name, {})


def _taggers(results: Sequence[Results], name: str, signal: str) -> list[tuple[str, Mapping]]:
    """Label and curves of every tagger, the reference first."""
    if len(results) > 1:
        return [(r.label, next(iter(_part(r, name)[signal].values()))) for r in results]
    return list(reversed(_part(results[0], name)[signal].items()))


def _note(results: Sequence[Results], signal: str) -> str:
    """What every picture says: the fraction in the discriminant and the number of jets."""
    metrics = results[0].metrics
    number = metrics["jets"]["total"] - metrics["jets"]["unlabelled"]
    return f"{FRACTIONS[signal]} = {metrics['tagging'][signal]['fraction']:g}, {number:,} jets"


def _draw_roc(results: Sequence[Results], signal: str, path: Path) -> Path:
    from ftag import Flavours
    from puma import Roc, RocPlot

    number = results[0].metrics["jets"]["classes"]
    plot = RocPlot(
        n_ratio_panels=2,
        ylabel="Background rejection",
        xlabel=f"${signal}$-jet efficiency",
        title=_note(results, signal),
        use_atlas_tag=False,
        figsize=(6.5, 6),
        dpi=DPI,
    )
    plot.rej_leg_loc = "lower left"
    for index, (label, curves) in enumerate(_taggers(results, "roc", signal)):
        for background in BACKGROUNDS[signal]:
            curve = curves[background]
            roc = Roc(
                np.array(curve["x"]),
                np.array(curve["value"]),
                n_test=number[background],
                rej_class=Flavours[background],
                signal_class=Flavours[SIGNALS[signal]],
                label=label,
                colour=COLOURS[index % len(COLOURS)],
            )
            plot.add_roc(roc, reference=index == 0)
    for panel, background in enumerate(BACKGROUNDS[signal], start=1):
        plot.set_ratio_class(panel, Flavours[background])
    return draw_and_save(plot, path)


def _draw_discriminants(results: Sequence[Results], signal: str, folder: Path) -> Iterator[Path]:
    from ftag import Flavours
    from puma import Histogram, HistogramPlot

    for label, histograms in _taggers(results, "discriminant", signal):
        plot = HistogramPlot(
            n_ratio_panels=0,
            ylabel="Normalised number of jets",
            xlabel=f"${signal}$-jet discriminant of {label}",
            logy=True,
            title=_note(results, signal),
            use_atlas_tag=False,
            figsize=(6.5, 4.5),
            dpi=DPI,
        )
        for name, curve in histograms.items():
            histogram = Histogram(
                np.array(curve["value"]),
                bin_edges=np.array(curve["x"]),
                sum_squared_weights=np.array(curve["error"]) ** 2,
                flavour=Flavours[name],
            )
            plot.add(histogram, key=name)
        yield draw_and_save(plot, folder / f"discriminant_{signal}_{label}.png")
