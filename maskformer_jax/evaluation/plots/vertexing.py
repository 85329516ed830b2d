"""Pictures of the vertex finding: efficiency, purity and fake rate in bins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.evaluation.names import SPOKEN, short
from maskformer_jax.evaluation.plots.canvas import save
from maskformer_jax.evaluation.plots.panels import RATIO_SHARE, binned, filled_range, grid, tasks_of
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.tables.seeds import vertex_classes

Labelled = list[tuple[str, Mapping[str, Any]]]

KINDS = {"exclusive": "Exclusive vertices", "inclusive": "Inclusive vertex"}
QUANTITIES = {"efficiency": "Vertex finding efficiency", "purity": "Vertex finding purity"}
FAKES = {"with_vertex": "Jets with a vertex (fake rate)"}
LENGTHS = {"efficiency": "True $L_{xy}$ [mm]", "purity": "Predicted $L_{xy}$ [mm]"}
PT = "Jet $p_T$ [GeV]"
PANEL = (4.6, 3.0)


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws efficiency and purity against pT and Lxy, or the fake rate, for each class of jets.

    Args:
        results: of one or more runs; ratios are to the first.
        folder: where the pictures go.

    Returns:
        The files; a picture without a single point is left out.
    """
    files, labels = [], [result.label for result in results]
    for _, prefix, metrics, curves in tasks_of(results, "vertexing"):
        classes = vertex_classes(metrics[0])
        for name, has_vertices in classes.items():
            number = metrics[0]["inclusive"][name]["with_vertex"]["total"]
            words = f"{SPOKEN[name]} jets" if name in SPOKEN else f"${short(name)}$-jets"
            of_class = [
                {kind: part.get(kind, {}).get(name, {}) for kind in KINDS} for part in curves
            ]
            title = f"{number:,} {words}"
            for axis in ("pt", "Lxy") if has_vertices else ("pt",):
                shown = QUANTITIES if has_vertices else FAKES
                xlabels = {key: PT if axis == "pt" else LENGTHS[key] for key in shown}
                stem = f"vertexing_{name}_{axis}"
                if not has_vertices:
                    fakes = list(classes.values()).count(False)
                    stem = "vertexing_fake_rate" + (f"_{name}" if fakes > 1 else "")
                runs = list(zip(labels, of_class, strict=True))
                path = folder / f"{prefix}{stem}.png"
                files += _draw(runs, axis, shown, xlabels, title, path)
    return files


def _draw(
    runs: Labelled,
    axis: str,
    quantities: Mapping[str, str],
    xlabels: Mapping[str, str],
    title: str,
    path: Path,
) -> list[Path]:
    """One column for exclusive and inclusive vertices each, one row for each quantity."""
    parts = [(key, kind) for key in quantities for kind in KINDS]
    curves = [
        [(label, found[kind].get(key, {}).get(axis)) for label, found in runs]
        for key, kind in parts
    ]
    if not all(curve for part in curves for _, curve in part):
        return []
    limits = filled_range([curve for part in curves for _, curve in part])
    if limits is None:
        return []
    figure, panels = grid(2, len(quantities), PANEL, RATIO_SHARE * (len(runs) > 1))
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
    errors = [error for part in curves for _, curve in part for error in curve["error"]]
    note = ", open points: all or none" if 0 in errors else ""
    figure.suptitle(f"{title}{note}", fontsize=12)
    if len(runs) > 1:
        handles, labels = panels[0][0].get_legend_handles_labels()
        columns = min(4, len(labels))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    return [save(figure, path)]


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
        upper.tick_params(labelbottom=False)
