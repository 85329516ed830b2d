"""Pictures of the vertex finding: efficiency, purity and fake rate in bins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.evaluation.plots.canvas import save
from maskformer_jax.evaluation.plots.panels import binned, filled_range
from maskformer_jax.evaluation.results import Results

CLASSES = {"bjets": "$b$-jets", "cjets": "$c$-jets"}
LIGHT = "ujets"
KINDS = {"exclusive": "Exclusive vertices", "inclusive": "Inclusive vertex"}
QUANTITIES = {"efficiency": "Vertex finding efficiency", "purity": "Vertex finding purity"}
LENGTHS = {"efficiency": "True $L_{xy}$ [mm]", "purity": "Predicted $L_{xy}$ [mm]"}
PT = "Jet $p_T$ [GeV]"
PANEL_WIDTH, PANEL_HEIGHT, RATIO_HEIGHT = 4.6, 3.0, 1.1


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws efficiency and purity of b and c jets against pT and Lxy, and the fake rate.

    Args:
        results: of one or more runs; ratios are to the first.
        folder: where the pictures go.

    Returns:
        The files; a picture without a single point is left out.
    """
    files = []
    for name, title in CLASSES.items():
        for axis in ("pt", "Lxy"):
            labels = {key: PT if axis == "pt" else LENGTHS[key] for key in QUANTITIES}
            path = folder / f"vertexing_{name}_{axis}.png"
            files += _draw(results, name, axis, QUANTITIES, labels, title, path)
    rate = {"with_vertex": "Jets with a vertex (fake rate)"}
    path = folder / "vertexing_fake_rate.png"
    return files + _draw(results, LIGHT, "pt", rate, {"with_vertex": PT}, "light jets", path)


def _draw(
    results: Sequence[Results],
    name: str,
    axis: str,
    quantities: Mapping[str, str],
    xlabels: Mapping[str, str],
    title: str,
    path: Path,
) -> list[Path]:
    """One column for exclusive and inclusive vertices each, one row for each quantity."""
    parts = [(key, kind) for key in quantities for kind in KINDS]
    curves = [_curves(results, kind, name, key, axis) for key, kind in parts]
    limits = filled_range([curve for part in curves for _, curve in part]) if all(curves) else None
    if limits is None:
        return []
    figure, panels = _panels(len(quantities), has_ratio=len(results) > 1)
    for (key, _), (upper, lower), part in zip(parts, panels, curves, strict=True):
        _set_scale(upper, lower, axis)
        binned(upper, part, lower)
        upper.set_ylabel(quantities[key])
        (lower or upper).set_xlabel(xlabels[key])
        upper.set_xlim(limits)
    top = max(upper.get_ylim()[1] for upper, _ in panels)
    for upper, _ in panels:
        upper.set_ylim(-0.02 * top, min(1.05, 1.1 * top))
    for (upper, _), kind in zip(panels, KINDS.values(), strict=False):
        upper.set_title(kind, fontsize=11)
    figure.suptitle(_title(results, name, title, curves), fontsize=12)
    if len(results) > 1:
        handles, labels = panels[0][0].get_legend_handles_labels()
        columns = min(4, len(labels))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    return [save(figure, path)]


def _title(results: Sequence[Results], name: str, title: str, curves: Sequence) -> str:
    number = results[0].metrics["jets"]["classes"][name]
    errors = [error for part in curves for _, curve in part for error in curve["error"]]
    note = ", open points: all or none" if 0 in errors else ""
    return f"{number:,} {title}{note}"


def _curves(
    results: Sequence[Results], kind: str, name: str, key: str, axis: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """Label and curve of each run; empty unless all have it."""
    found = []
    for result in results:
        curve = result.curves.get("vertexing", {}).get(kind, {}).get(name, {}).get(key, {})
        if axis not in curve:
            return []
        found.append((result.label, curve[axis]))
    return found


def _panels(rows: int, has_ratio: bool) -> tuple[Any, list[tuple[Any, Any]]]:
    from matplotlib.figure import Figure

    heights = [PANEL_HEIGHT, RATIO_HEIGHT] if has_ratio else [PANEL_HEIGHT]
    size = (2 * PANEL_WIDTH, rows * sum(heights) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows * len(heights), 2, height_ratios=heights * rows, squeeze=False)
    panels = []
    for row in range(rows):
        for column in range(2):
            upper = axes[row * len(heights), column]
            lower = axes[row * 2 + 1, column] if has_ratio else None
            if lower:
                lower.sharex(upper)
                upper.tick_params(labelbottom=False)
            panels.append((upper, lower))
    return figure, panels


def _set_scale(upper: Any, lower: Any, axis: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    for axes in filter(None, (upper, lower)):
        if axis == "pt":
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            # Flight lengths begin at zero.
            axes.set_xscale("symlog", linthresh=1.0)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.grid(alpha=0.25)
        axes.tick_params(direction="in", which="both", top=True, right=True)
    if lower:
        lower.set_ylabel("Ratio")
