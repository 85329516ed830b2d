"""Evaluation of training runs on one test file: run folders and the file are all it needs."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.build import build_tasks
from maskformer_jax.canvas import PlotConfig, check_label
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.cells import to_text
from maskformer_jax.evaluation.models import Entry, all_tables, own_tables, side_by_side
from maskformer_jax.evaluation.names import plural
from maskformer_jax.evaluation.plots import COMPARISON_FOLDER, OUTPUT_FOLDER, draw_logs, draw_plots
from maskformer_jax.evaluation.result_files import plain
from maskformer_jax.evaluation.results import Result, Table
from maskformer_jax.evaluation.run import WRITES, check_free, evaluate_trained, write_tables
from maskformer_jax.evaluation.trained import load_config, load_run
from maskformer_jax.files import held, refuse_link, refuse_links, write_whole
from maskformer_jax.progress import stage

FILE_NAME = "comparison.json"


def evaluate_runs(
    runs: Sequence[Path],
    test_file: Path,
    output_dir: Path | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] = (),
    *,
    predict_only: bool = False,
) -> str:
    """Evaluates every run, as `evaluate_trained` does, and puts several side by side.

    Of several runs it writes comparison.json, tables and pictures with all of them. They are
    evaluated with the options of the first, to which changes are relative.

    Args:
        runs: folders of training runs, the reference first.
        test_file: HDF5 file in the layout of all of them.
        output_dir: of one run. Of several it holds a folder for each and `comparison`; none: each
            run's results go to `evaluation` in its folder, the comparison to
            `evaluation/comparison` of the first.
        overrides: command-line arguments that win over the configuration of every run.
        labels: of the runs in tables and pictures; none: the name in the configuration of one, the
            names of the folders of several.
        predict_only: write the predictions and nothing else.

    Returns:
        The report for the terminal.

    Raises:
        InputError: something about a run, the file or the output folder is wrong, or the runs
            cannot be compared.
    """
    _check_labels(labels, runs)
    names, several = run_names(runs), len(runs) > 1
    reference = _check_comparable(runs, [load_config(run, overrides) for run in runs])
    labels = labels or (names if several else [reference.name])
    for label in labels:
        check_label(label)
    folder = (output_dir or _results_folder(runs[0])) / COMPARISON_FOLDER
    refuse_links(folder.parent)
    if several:
        check_free(folder / FILE_NAME, test_file)
    results, summaries = [], []
    for run, name, label in zip(runs, names, labels, strict=True):
        trained = load_run(run, overrides)
        alike = {name: getattr(reference, name) for name in ("evaluation", "plot")}
        config = dataclasses.replace(trained.config, **alike)
        own = output_dir / (name if several else "") if output_dir else _results_folder(run)
        trained = trained._replace(config=config)
        options = {"warn": run == runs[0], "predict_only": predict_only}
        evaluated = evaluate_trained(trained, test_file, own, label, **options)
        results.append(evaluated.result)
        summaries.append(evaluated.summary)
    if None in results or not several:
        return report(None if None in results else results[0], summaries, test_file)
    entries = [Entry(result.label, "", {0: result}) for result in results]
    _write_comparison(results, all_tables(entries), test_file, folder, reference.plot)
    draw_logs(runs, labels, folder, reference.plot)
    summaries.append(f"comparison written to {folder}")
    jets = plural(results[0].jets, "jet")
    heading = f"{len(runs)} runs, {jets}; changes are to {labels[0]}"
    return "\n\n".join([heading, *map(to_text, side_by_side(entries)), "\n".join(summaries)])


def report(result: Result | None, summaries: Sequence[str], test_file: Path) -> str:
    """What the terminal is told of one model, or of predictions without results.

    Args:
        result: of the model; none: there are predictions only.
        summaries: of all evaluations.
        test_file: that was evaluated.
    """
    tables, heading = [], f"{test_file}: predictions only"
    if result is not None:
        tables, heading = own_tables(result), plural(result.jets, "jet")
    return "\n\n".join([heading, *map(to_text, tables), "\n".join(summaries)])


def _results_folder(run: Path) -> Path:
    """Where the results of a run go unless it is said otherwise."""
    refuse_link(run / OUTPUT_FOLDER)
    return run / OUTPUT_FOLDER


def run_names(runs: Sequence[Path]) -> list[str]:
    """A name of its own for each run: the last part of its path, or more where runs share it.

    Raises:
        InputError: a run is given twice.

    >>> run_names([Path("runs/dwa/seed_0"), Path("runs/gls/seed_0")])
    ['dwa/seed_0', 'gls/seed_0']
    """
    parts = [run.resolve().parts for run in runs]
    twice = [run for i, run in enumerate(runs) if parts[i] in parts[:i]]
    if twice:
        raise InputError(f"--run {twice[0]}: this run is given twice")
    for number in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-number:]).lstrip("/") for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _check_labels(labels: Sequence[str], runs: Sequence[Path]) -> None:
    if labels and len(labels) != len(runs):
        raise InputError(
            f"--label must be given once for each --run, {len(runs)} times, or not at all; "
            f"got {len(labels)}"
        )
    twice = [label for i, label in enumerate(labels) if label in labels[:i]]
    if twice:
        raise InputError(f"--label must differ from run to run; got `{twice[0]}` twice")


def _check_comparable(runs: Sequence[Path], configs: Sequence[Config]) -> Config:
    """The first configuration, to which all others are alike in what is predicted."""
    first = configs[0]
    expected = _predicted(first)
    for run, config in zip(runs[1:], configs[1:], strict=True):
        found = _predicted(config)
        for name in dict.fromkeys([*expected, *found]):
            if found.get(name) != expected.get(name):
                raise InputError(
                    f"{run}: `{name}` is {found.get(name, 'not there')}, and "
                    f"{expected.get(name, 'not there')} in {runs[0]}: runs that predict different "
                    "things cannot be compared"
                )
    return first


def _predicted(config: Config) -> dict[str, Any]:
    """What a run predicts, by label: classes, or targets with their transforms.

    The transform of a target decides which residuals are formed.
    """
    found = {}
    for task in build_tasks(config):
        for name, label in task.needs.labels.items():
            part = getattr(label, "classes", None) or getattr(label, "transforms", {})
            found |= {name: list(plain(part).items())} if part else {}
    return found


def _write_comparison(
    results: Sequence[Result],
    tables: Sequence[Table],
    test_file: Path,
    folder: Path,
    look: PlotConfig,
) -> None:
    content = {
        "test_file": str(test_file.resolve()),
        "reference": results[0].label,
        "tables": plain(tables),
    }
    with held(folder, WRITES):
        write_whole(folder / FILE_NAME, f"{json.dumps(content, indent=1)}\n".encode())
        write_tables(tables, folder)
        with stage("drawing the comparison"):
            draw_plots(results, folder, look)
