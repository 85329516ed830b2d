"""How the losses pull at the parameters that they share, with equal and with static weights.

Two trainings record the gradients of the losses; pictures, tables and sentences follow from the
records. Section 5.2 of the thesis.
"""

import dataclasses
import gc
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from maskformer_jax import config as configuration
from maskformer_jax.build import build_tasks
from maskformer_jax.config import Config
from maskformer_jax.configuration import shipped
from maskformer_jax.data import JetFile, schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.output import write_whole
from maskformer_jax.study import interactions_plots, interactions_text
from maskformer_jax.study.interactions_record import WINDOW, Record, read
from maskformer_jax.study.plan import Run, check
from maskformer_jax.study.progress import read_progress
from maskformer_jax.study.run import claim, stopped_by_signals, train

WEIGHTINGS = ("equal", "static")
REPORT_FILE = "interactions.md"


def plan_runs(
    overrides: Sequence[str], every: int, curvature: int | None, output_dir: Path
) -> list[Run]:
    """The two trainings, checked before the first one starts.

    Args:
        overrides: `--config FILE` and dotted options of a training. Its static weights are used
            where it has some, and otherwise those of the shipped `weighting/static`.
        every: steps from one record to the next.
        curvature: points of its trapezoid rule; none: it is not recorded.
        output_dir: their folders lie in it.

    Raises:
        InputError: a file or an option is wrong, or there would be too few records.
    """
    record = [f"--training.record_interactions={every}"]
    if curvature is not None:
        record.append(f"--training.record_curvature={curvature}")
    given, runs = configuration.load([*overrides, *record]), []
    for name in WEIGHTINGS:
        folder = output_dir / name
        weighting = given.weighting
        if weighting.name != name:
            overlay = configuration.load([f"--config={shipped.path_of(f'weighting/{name}')}"])
            weighting = dataclasses.replace(weighting, name=name, options=overlay.weighting.options)
        config = dataclasses.replace(given, weighting=weighting, output_dir=str(folder))
        runs.append(Run(name, config.training.seed, folder, config))
    check(None, runs)
    _check_number_of_records(runs[0].config)
    return runs


def _check_number_of_records(config: Config) -> None:
    """Curves begin after the first window; there must be as much again to see."""
    read = schema.build(config.data, [task.needs for task in build_tasks(config)])
    file, settings = JetFile(config.data.train_file, read), config.training
    jets = int(file.kept()[: config.data.train_jets].sum())
    file.close()
    steps = settings.epochs * math.ceil(jets / settings.batch_size)
    largest = steps // (2 * WINDOW)
    if settings.record_interactions > largest:
        raise InputError(
            f"`--every` must be at most {largest} for {2 * WINDOW} records of {steps:,} steps; got "
            f"{settings.record_interactions}"
        )


def compare(runs: Sequence[Run], output_dir: Path) -> str:
    """Trains what is not trained yet, draws the pictures and writes the report.

    Args:
        runs: their names are those of the weightings.
        output_dir: gets the pictures and `interactions.md`.

    Returns:
        The text of the report, and where it is.

    Raises:
        InputError: another process makes one of the runs, or records are missing.
        Stopped: by a signal, after saving.
    """
    with stopped_by_signals():
        for run in runs:
            _train(run)
    records = {run.model: read(run.folder) for run in runs}
    text = interactions_text.write(records)
    pictures = interactions_plots.draw(records, output_dir)
    page = "\n".join([f"# {_title(records)}", "", text, *_links(pictures)])
    write_whole(output_dir / REPORT_FILE, page.encode())
    return f"\n{text}\nreport and pictures: {output_dir / REPORT_FILE}"


def _train(run: Run) -> None:
    with claim(run.folder) as mine:
        if not mine:
            raise InputError(f"{run.folder} is being trained by another process")
        if read_progress(run, {}).trained:
            return
        print(f"\n{run.model} weights", flush=True)
        train(run)
    jax.clear_caches()
    gc.collect()


def _title(records: dict[str, Record]) -> str:
    return f"Task interactions with {' and '.join(records)} weights"


def _links(pictures: Sequence[Path]) -> Iterator[str]:
    yield "## Pictures"
    for path in pictures:
        yield f"\n![{path.stem.replace('_', ' ')}]({path.name})"
