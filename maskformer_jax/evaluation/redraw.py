"""All pictures of runs again, from what their evaluation and training have written."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.canvas import PlotConfig, check_label, heading
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.plots.event_display import draw as draw_events
from maskformer_jax.evaluation.plots.learning import draw_learning, log_of
from maskformer_jax.evaluation.result_files import METRICS_FILE, read_events, read_results
from maskformer_jax.files import refuse_links, writing
from maskformer_jax.training.logging import LOG_FILE

OUTPUT_FOLDER = "evaluation"
COMPARISON_FOLDER = "comparison"


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
