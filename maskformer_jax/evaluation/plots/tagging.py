"""Pictures of the flavour tagging, drawn with puma."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.evaluation.plots.canvas import COLOURS, DPI, draw_and_save
from maskformer_jax.evaluation.plots.profile import draw_profile
from maskformer_jax.evaluation.results import Results

SIGNALS = {"b": "bjets", "c": "cjets"}
BACKGROUNDS = {"b": ("ujets", "cjets"), "c": ("ujets", "bjets")}
FRACTIONS = {"b": "$f_c$", "c": "$f_b$"}
NAMES = {"bjets": "$b$-jet", "cjets": "$c$-jet", "ujets": "Light-jet"}

Taggers = list[tuple[str, Mapping[str, Any]]]


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws ROC curves, discriminants, the scan of the fraction, and curves against jet pT.

    Args:
        results: of one run, drawn with its baseline as reference, or of several, the first of
            which is the reference.
        folder: where the pictures go.

    Returns:
        The files; empty where a flavour is missing in the test file.
    """
    if not all(r.curves.get("tagging") for r in results):
        return []
    files = []
    for signal in SIGNALS:
        files.append(_draw_roc(results, signal, folder / f"roc_{signal}.png"))
        files += _draw_discriminants(results, signal, folder)
        files.append(_draw_scan(results, signal, folder / f"fraction_scan_{signal}.png"))
        files += _draw_against_pt(results, signal, folder)
    return files


def _taggers(results: Sequence[Results], kind: str, signal: str) -> Taggers:
    """Label and curves of every tagger, the reference first."""
    curves = [r.curves["tagging"][kind][signal] for r in results]
    if len(results) > 1:
        return [(r.label, next(iter(c.values()))) for r, c in zip(results, curves, strict=True)]
    network, *others = curves[0].items()
    return [*others, (results[0].label, network[1])]


def _note(results: Sequence[Results], signal: str, fixed: bool = False) -> str:
    """Above every picture: fraction of the discriminant, efficiency if fixed, number of jets."""
    tagging = results[0].metrics["tagging"][signal]
    notes = [f"{FRACTIONS[signal]} = {tagging['fraction']:g}"]
    if fixed:
        notes.append(_fixed(results, signal))
    return ", ".join([*notes, f"{sum(_numbers(results).values()):,} jets"])


def _fixed(results: Sequence[Results], signal: str) -> str:
    efficiency = results[0].metrics["tagging"][signal]["fixed_efficiency"]
    return f"{100 * efficiency:g} % ${signal}$-jet efficiency"


def _numbers(results: Sequence[Results]) -> dict[str, int]:
    return results[0].metrics["jets"]["classes"]


def _draw_roc(results: Sequence[Results], signal: str, path: Path) -> Path:
    from ftag import Flavours
    from puma import Roc, RocPlot

    taggers = _taggers(results, "roc", signal)
    plot = RocPlot(
        n_ratio_panels=2 if len(taggers) > 1 else 0,
        ylabel="Background rejection",
        xlabel=f"${signal}$-jet efficiency",
        title=_note(results, signal),
        use_atlas_tag=False,
        figsize=(6.5, 6),
        dpi=DPI,
    )
    plot.rej_leg_loc = "lower left"
    for index, (label, curves) in enumerate(taggers):
        for background in BACKGROUNDS[signal]:
            roc = Roc(
                np.array(curves[background]["x"]),
                np.array(curves[background]["value"]),
                n_test=_numbers(results)[background],
                rej_class=Flavours[background],
                signal_class=Flavours[SIGNALS[signal]],
                label=label if len(taggers) > 1 else f"{label}, {NAMES[background].lower()}s",
                colour=COLOURS[index % len(COLOURS)],
            )
            plot.add_roc(roc, reference=index == 0 < plot.n_ratio_panels)
    for panel, background in enumerate(BACKGROUNDS[signal][: plot.n_ratio_panels], start=1):
        plot.set_ratio_class(panel, Flavours[background])
    return draw_and_save(plot, path)


def _draw_discriminants(results: Sequence[Results], signal: str, folder: Path) -> Iterator[Path]:
    """A picture of all flavours for each tagger of one run, or of all runs for each flavour."""
    note = _note(results, signal)
    if len(results) == 1:
        for tagger, histograms in results[0].curves["tagging"]["discriminant"][signal].items():
            path = folder / f"discriminant_{signal}_{tagger}.png"
            yield _draw_flavours(histograms, tagger, signal, note, path)
    else:
        taggers = _taggers(results, "discriminant", signal)
        for flavour in NAMES:
            path = folder / f"discriminant_{signal}_{flavour}.png"
            yield _draw_runs(taggers, flavour, signal, note, path)


def _draw_flavours(
    histograms: Mapping[str, Any], label: str, signal: str, note: str, path: Path
) -> Path:
    from ftag import Flavours

    plot = _histogram_plot(f"${signal}$-jet discriminant of {label}", note)
    plot.xmin, plot.xmax = _filled(histograms.values())
    for name, curve in histograms.items():
        plot.add(_histogram(curve, flavour=Flavours[name]), key=name)
    return draw_and_save(plot, path)


def _draw_runs(taggers: Taggers, flavour: str, signal: str, note: str, path: Path) -> Path:
    plot = _histogram_plot(
        f"${signal}$-jet discriminant of {NAMES[flavour].lower()}s",
        note,
        n_ratio_panels=1,
        ylabel_ratio=[f"Ratio to\n{taggers[0][0]}"],
    )
    plot.xmin, plot.xmax = _filled(curves[flavour] for _, curves in taggers)
    for index, (label, curves) in enumerate(taggers):
        colour = COLOURS[index % len(COLOURS)]
        plot.add(_histogram(curves[flavour], label=label, colour=colour), reference=index == 0)
    return draw_and_save(plot, path)


def _histogram_plot(xlabel: str, note: str, **options: Any) -> Any:
    from puma import HistogramPlot

    return HistogramPlot(
        ylabel="Normalised number of jets",
        xlabel=xlabel,
        logy=True,
        title=note,
        use_atlas_tag=False,
        figsize=(6.5, 4.5),
        dpi=DPI,
        **options,
    )


def _histogram(curve: Mapping[str, Any], **options: Any) -> Any:
    from puma import Histogram

    counts = np.array(curve["value"], float)
    total = counts.sum()
    return Histogram(
        counts / total,
        bin_edges=np.array(curve["x"]),
        sum_squared_weights=counts / total**2,
        **options,
    )


def _filled(curves: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Range of the bins with entries; the bins are the same for all curves."""
    curves = list(curves)
    bins = np.flatnonzero(np.any([curve["value"] for curve in curves], axis=0))
    return curves[0]["x"][bins[0]], curves[0]["x"][bins[-1] + 1]


def _draw_scan(results: Sequence[Results], signal: str, path: Path) -> Path:
    """Rejections for every fraction, with a cross at the fraction of the other pictures."""
    from puma import Line2D, Line2DPlot

    first, second = BACKGROUNDS[signal]
    plot = Line2DPlot(
        xlabel=f"{NAMES[first]} rejection",
        ylabel=f"{NAMES[second]} rejection",
        title=f"Cross: {_note(results, signal, fixed=True)}",
        use_atlas_tag=False,
        figsize=(6.5, 5),
        dpi=DPI,
    )
    for index, (label, curves) in enumerate(_taggers(results, "fraction_scan", signal)):
        x, y = (np.array(curves[name]["value"]) for name in (first, second))
        colour = COLOURS[index % len(COLOURS)]
        plot.add(Line2D(x, y, label=label, colour=colour))
        used = results[0].metrics["tagging"][signal]["fraction"]
        at = np.argmin(np.abs(np.array(curves[first]["x"]) - used))
        cross = Line2D(x[at : at + 1], y[at : at + 1], marker="x", markersize=10, colour=colour)
        plot.add(cross, is_marker=True)
    return draw_and_save(plot, path)


def _draw_against_pt(results: Sequence[Results], signal: str, folder: Path) -> Iterator[Path]:
    taggers = _taggers(results, "against_pt", signal)
    for flavour, name in NAMES.items():
        kind = "efficiency" if flavour == SIGNALS[signal] else "rejection"
        path = draw_profile(
            [(label, curves[flavour]) for label, curves in taggers],
            folder / f"{kind}_pt_{signal}_{flavour}.png",
            xlabel="Jet $p_\\mathrm{T}$ [GeV]",
            ylabel=f"{name} {kind}",
            title=_note(results, signal, fixed=True),
            logy=kind == "rejection",
        )
        if path is not None:
            yield path
