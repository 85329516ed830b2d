"""How the losses pull at the parameters that they share, with equal and with static weights.

Two trainings record the gradients of the losses; pictures, tables and sentences follow from the
records.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax import errors
from maskformer_jax.build import build_tasks
from maskformer_jax.config import Config
from maskformer_jax.configuration import shipped
from maskformer_jax.data import JetFile, schema
from maskformer_jax.files import write_whole
from maskformer_jax.study import interactions_answers, interactions_plots
from maskformer_jax.study.interactions_answers import WINDOW, read
from maskformer_jax.study.plan import Run, check

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
    recorded = {"interactions": every, "curvature": curvature}
    record = [f"--training.record_{k}={n}" for k, n in recorded.items() if n is not None]
    given, runs = configuration.load([*overrides, *record]), []
    for name in WEIGHTINGS:
        folder, weighting = output_dir / name, given.weighting
        if weighting.name != name:
            overlay = configuration.load([f"--config={shipped.path_of(f'weighting/{name}')}"])
            weighting = dataclasses.replace(weighting, name=name, options=overlay.weighting.options)
        config = dataclasses.replace(given, weighting=weighting, output_dir=str(folder))
        runs.append(Run(name, config.training.seed, folder, config))
    check(runs, {})
    _check_number_of_records(runs[0].config)
    return runs


def _check_number_of_records(config: Config) -> None:
    """Curves begin after the first window; there must be as much again to see."""
    read = schema.build(config.data, [task.needs for task in build_tasks(config)])
    file, settings = JetFile(config.data.train_file, read), config.training
    jets = int(file.kept()[: config.data.train_jets].sum())
    file.close()
    steps = settings.epochs * math.ceil(jets / settings.batch_size)
    needed, every = 2 * WINDOW, settings.record_interactions
    rule = f"give at least {needed} steps, one for each record that the curves need, not {steps:,}"
    errors.check(steps >= needed, "training.epochs", rule, settings.epochs)
    rule = f"be at most {steps // needed} for {needed} records of {steps:,} steps"
    errors.check(every <= steps // needed, "--every", rule, every)


def compare(runs: Sequence[Run], output_dir: Path) -> str:
    """Draws the pictures and writes the report of trainings that have been made.

    Args:
        runs: their names are those of the weightings.
        output_dir: gets the pictures and `interactions.md`.

    Returns:
        The text of the report, and where it is.

    Raises:
        InputError: records are missing.
    """
    records = {run.model: read(run.folder) for run in runs}
    files = interactions_plots.draw(records, output_dir, runs[0].config.plot)
    pictures = [path.name for path in files if path.suffix == ".png"]
    report, write = output_dir / REPORT_FILE, interactions_answers.write
    write_whole(report, write(records, pictures).encode())
    return f"\n{write(records)}\nreport and pictures: {report}"
