"""Pictures of the evaluation, drawn from results alone."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.canvas import PlotConfig, check_label, heading, save, style
from maskformer_jax.evaluation.names import in_file_name
from maskformer_jax.evaluation.plots import classes, panels
from maskformer_jax.evaluation.plots.event_display import draw as draw_events
from maskformer_jax.evaluation.plots.learning import draw_learning, log_of
from maskformer_jax.evaluation.result_files import METRICS_FILE, read_events, read_results
from maskformer_jax.evaluation.results import Curve, Part, Result
from maskformer_jax.files import refuse_links, writing
from maskformer_jax.training.logging import LOG_FILE

# Kind of curves -> `draw(series)`, a figure or none; the others of a result are drawn in panels.
KINDS = {"roc": classes.draw_roc, "scan": classes.draw_scan, "scores": classes.draw_scores}
OUTPUT_FOLDER = "evaluation"
COMPARISON_FOLDER = "comparison"


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
                for name, figure in classes.draw_classes(labels, parts, task):
                    files += save(figure, folder / name, look)
    return files


def _pictures(labels: Sequence[str], parts: Sequence[Part]) -> dict[str, panels.Series]:
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


def redraw(
    runs: Sequence[Path],
    look: PlotConfig,
    output_dir: Path | None = None,
    labels: Sequence[str] = (),
) -> list[Path]:
    """Draws the pictures of runs, neither with the model nor with its jets.

    Args:
        runs: folders of evaluated runs, or of their results; several are compared.
        look: formats of the files, and what stands above the pictures.
        output_dir: created if needed; none: where the results are, learning curves in the run
            folder, and of several `comparison` beside the results of the first.
        labels: of the runs; none: those of the evaluation.

    Returns:
        The files.

    Raises:
        InputError: results are missing or damaged, a label can't be drawn, or the folder is not
            writable.
    """
    folders = [run if (run / METRICS_FILE).exists() else run / OUTPUT_FOLDER for run in runs]
    results = [
        read_results(folder, label)
        for folder, label in zip(folders, labels or [""] * len(runs), strict=True)
    ]
    for text in (heading(look), *(result.label for result in results)):
        check_label(text)
    several = len(runs) > 1
    place = output_dir or (folders[0] / COMPARISON_FOLDER if several else folders[0])
    refuse_links(place)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    files = draw_plots(results, place, look)
    events = None if several else read_events(folders[0])
    if events is not None:
        files += draw_events(events._replace(label=results[0].label), place, look)
    names = [result.label for result in results]
    # Those of one run lie beside its log, where the training draws them.
    return files + draw_logs(runs, names, output_dir or (place if several else runs[0]), look)


def draw_logs(
    runs: Sequence[Path], labels: Sequence[str], folder: Path, look: PlotConfig
) -> list[Path]:
    """Draws the learning curves of the runs that have a log, and nothing where none has."""
    logs = {
        label: log_of(run)
        for run, label in zip(runs, labels, strict=True)
        if (run / LOG_FILE).exists()
    }
    return draw_learning(logs, folder, look) if logs else []
