"""Pictures of the tagging of jets, drawn with puma."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.evaluation.names import SPOKEN, fraction_symbols, short
from maskformer_jax.evaluation.plots.canvas import COLOURS, DPI, draw_and_save
from maskformer_jax.evaluation.plots.panels import draw_profile, tasks_of
from maskformer_jax.evaluation.results import Results

Taggers = list[tuple[str, Mapping[str, Any]]]


class Tagging(NamedTuple):
    """One discriminant of some runs.

    Attributes:
        name: of the discriminant.
        labels: of the runs.
        found: its metrics, of the first run.
        numbers: of jets of each class.
        curves: by kind, of each run.
        folder: where the pictures go.
        prefix: of their names.
    """

    name: str
    labels: list[str]
    found: Mapping[str, Any]
    numbers: Mapping[str, int]
    curves: Mapping[str, list[Mapping[str, Any]]]
    folder: Path
    prefix: str

    @property
    def signal(self) -> str:
        """Class of the signal."""
        return self.found["signal"]

    @property
    def backgrounds(self) -> list[str]:
        """Classes of the backgrounds, the one whose fraction is varied last."""
        return list(self.found["fractions"])[::-1]

    def path(self, start: str, *ends: str) -> Path:
        """Of a picture."""
        return self.folder / f"{self.prefix}{'_'.join([start, self.name, *ends])}.png"

    def taggers(self, kind: str) -> Taggers:
        """Label and curves of every tagger, the reference first."""
        curves = self.curves[kind]
        if len(self.labels) > 1:
            return [(n, next(iter(c.values()))) for n, c in zip(self.labels, curves, strict=True)]
        network, *others = curves[0].items()
        return [*others, (self.labels[0], network[1])]

    def note(self, fixed: bool = False) -> str:
        """Above every picture: fractions, signal efficiency if fixed, number of jets."""
        notes = fraction_symbols(self.found["fractions"], "$f_{{{}}}$")
        if fixed:
            efficiency = 100 * self.found["fixed_efficiency"]
            notes.append(f"{efficiency:g} % ${short(self.signal)}$-jet efficiency")
        number = sum(self.numbers[name] for name in (self.signal, *self.backgrounds))
        return ", ".join([*notes, f"{number:,} jets"])


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws ROC curves, discriminants, the scan of the fraction, and curves against jet pT.

    Args:
        results: of one run, drawn with its baseline as reference, or of several, the first of
            which is the reference.
        folder: where the pictures go.

    Returns:
        The files; none of a discriminant a class of which is missing in the test file.
    """
    files: list[Path] = []
    for _, prefix, metrics, curves in tasks_of(results, "tagging"):
        for name, found in metrics[0]["discriminants"].items():
            kinds = {k: [c[k].get(name) for c in curves if k in c] for k in curves[0]}
            kinds = {k: c for k, c in kinds.items() if len(c) == len(results) and all(c)}
            if "roc" not in kinds:
                continue
            labels, numbers = [r.label for r in results], metrics[0]["jets"]["classes"]
            tagging = Tagging(name, labels, found, numbers, kinds, folder, prefix)
            files += [_draw_roc(tagging), *_draw_discriminants(tagging)]
            if "fraction_scan" in kinds:
                files.append(_draw_scan(tagging))
            files += _draw_against_pt(tagging)
    return files


def class_label(name: str) -> Any:
    """What puma knows of a class, or the like of it."""
    from ftag import Cuts, Flavours
    from ftag.labels import Label

    if name in Flavours:
        return Flavours[name]
    return Label(name, name, Cuts.empty(), "black", "other")


def _title(name: str) -> str:
    words = SPOKEN.get(name, "").capitalize() or f"${short(name)}$"
    return f"{words}-jet"


def _draw_roc(tagging: Tagging) -> Path:
    from puma import Roc, RocPlot

    taggers, backgrounds = tagging.taggers("roc"), tagging.backgrounds
    plot = RocPlot(
        n_ratio_panels=min(2, len(backgrounds)) if len(taggers) > 1 else 0,
        ylabel="Background rejection",
        xlabel=f"${short(tagging.signal)}$-jet efficiency",
        title=tagging.note(),
        use_atlas_tag=False,
        figsize=(6.5, 6),
        dpi=DPI,
    )
    plot.rej_leg_loc = "lower left"
    # puma has as many kinds of lines and panels of ratios as two backgrounds need.
    shown = backgrounds[: plot.n_ratio_panels or None]
    for index, (label, curves) in enumerate(taggers):
        for background in shown:
            roc = Roc(
                np.array(curves[background]["x"]),
                np.array(curves[background]["value"]),
                n_test=tagging.numbers[background],
                rej_class=class_label(background),
                signal_class=class_label(tagging.signal),
                label=label if len(taggers) > 1 else f"{label}, {_title(background).lower()}s",
                colour=COLOURS[index % len(COLOURS)],
            )
            plot.add_roc(roc, reference=index == 0 < plot.n_ratio_panels)
    for panel, background in enumerate(shown[: plot.n_ratio_panels], start=1):
        plot.set_ratio_class(panel, class_label(background))
    return draw_and_save(plot, tagging.path("roc"))


def _draw_discriminants(tagging: Tagging) -> Iterator[Path]:
    """A picture of all classes for each tagger of one run, or of all runs for each class."""
    if len(tagging.labels) == 1:
        for tagger, histograms in tagging.curves["discriminant"][0].items():
            path = tagging.path("discriminant", tagger)
            yield _draw_classes(tagging, histograms, tagger, path)
    else:
        for name in (tagging.signal, *tagging.backgrounds):
            yield _draw_runs(tagging, name)


def _draw_classes(tagging: Tagging, histograms: Mapping[str, Any], label: str, path: Path) -> Path:
    plot = _histogram_plot(f"${short(tagging.signal)}$-jet discriminant of {label}", tagging.note())
    plot.xmin, plot.xmax = _filled(histograms.values())
    for name, curve in histograms.items():
        plot.add(_histogram(curve, flavour=class_label(name)), key=name)
    return draw_and_save(plot, path)


def _draw_runs(tagging: Tagging, name: str) -> Path:
    taggers = tagging.taggers("discriminant")
    plot = _histogram_plot(
        f"${short(tagging.signal)}$-jet discriminant of {_title(name).lower()}s",
        tagging.note(),
        n_ratio_panels=1,
        ylabel_ratio=[f"Ratio to\n{taggers[0][0]}"],
    )
    plot.xmin, plot.xmax = _filled(curves[name] for _, curves in taggers)
    for index, (label, curves) in enumerate(taggers):
        colour = COLOURS[index % len(COLOURS)]
        plot.add(_histogram(curves[name], label=label, colour=colour), reference=index == 0)
    return draw_and_save(plot, tagging.path("discriminant", name))


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


def _draw_scan(tagging: Tagging) -> Path:
    """Rejections for every fraction, with a cross at the fraction of the other pictures."""
    from puma import Line2D, Line2DPlot

    scanned, second = tagging.backgrounds[-1], tagging.backgrounds[-2]
    plot = Line2DPlot(
        xlabel=f"{_title(second)} rejection",
        ylabel=f"{_title(scanned)} rejection",
        title=f"Cross: {tagging.note(fixed=True)}",
        use_atlas_tag=False,
        figsize=(6.5, 5),
        dpi=DPI,
    )
    for index, (label, curves) in enumerate(tagging.taggers("fraction_scan")):
        x, y = (np.array(curves[name]["value"]) for name in (second, scanned))
        colour = COLOURS[index % len(COLOURS)]
        plot.add(Line2D(x, y, label=label, colour=colour))
        used = tagging.found["fractions"][scanned]
        at = np.argmin(np.abs(np.array(curves[scanned]["x"]) - used))
        cross = Line2D(x[at : at + 1], y[at : at + 1], marker="x", markersize=10, colour=colour)
        plot.add(cross, is_marker=True)
    return draw_and_save(plot, tagging.path("fraction_scan"))


def _draw_against_pt(tagging: Tagging) -> Iterator[Path]:
    for name in (tagging.signal, *tagging.backgrounds):
        kind = "efficiency" if name == tagging.signal else "rejection"
        path = draw_profile(
            [(label, curves[name]) for label, curves in tagging.taggers("against_pt")],
            tagging.path(f"{kind}_pt", name),
            xlabel="Jet $p_\\mathrm{T}$ [GeV]",
            ylabel=f"{_title(name)} {kind}",
            title=tagging.note(fixed=True),
            logy=kind == "rejection",
        )
        if path is not None:
            yield path
