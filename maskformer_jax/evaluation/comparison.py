"""Evaluation of several training runs on one test file, the first of which is the reference."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.comparison_report import change, comparison
from maskformer_jax.evaluation.output import write_whole
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.results import Results, plain
from maskformer_jax.evaluation.run import (
    OUTPUT_FOLDER,
    check_free,
    evaluate,
    evaluate_trained,
    write_tables,
)
from maskformer_jax.evaluation.tables.seeds import at
from maskformer_jax.evaluation.trained import load_config, load_run
from maskformer_jax.tasks import chosen

COMPARISON_FOLDER = "comparison"
FILE_NAME = "comparison.json"


def evaluate_runs(
    runs: Sequence[Path],
    test_file: Path,
    output_dir: Path | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> str:
    """The report of `evaluate` for one run, that of `compare` for several; arguments as there."""
    labels = _checked(labels, runs)
    if len(runs) > 1:
        return compare(runs, test_file, output_dir, overrides, labels)
    return evaluate(runs[0], test_file, output_dir, overrides, *labels)


def compare(
    runs: Sequence[Path],
    test_file: Path,
    output_dir: Path | None = None,
    overrides: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> str:
    """Evaluates every run as `evaluate` does, and puts them side by side.

    Writes comparison.json, tables.md and pictures with all runs. All runs are evaluated with the
    options of the first.

    Args:
        runs: folders of training runs, the reference first.
        test_file: HDF5 file in the layout of all of them.
        output_dir: holds a folder for each run and `comparison`; none: each run's results go to
            `evaluation` in its folder, the comparison to `evaluation/comparison` of the first.
        overrides: command-line arguments that win over the configuration of every run.
        labels: of the runs in tables and pictures; none: the names of their folders.

    Returns:
        The report for the terminal.

    Raises:
        InputError: something about a run, the file or the output folder is wrong, or the runs
            cannot be compared.
    """
    names = run_names(runs)
    labels = _checked(labels, runs) or names
    reference = _check_comparable(runs, [load_config(run, overrides) for run in runs])
    folder = (output_dir or runs[0] / OUTPUT_FOLDER) / COMPARISON_FOLDER
    check_free(folder / FILE_NAME, test_file)
    results, summaries = [], []
    for run, name, label in zip(runs, names, labels, strict=True):
        trained = load_run(run, overrides)
        config = dataclasses.replace(trained.config, evaluation=reference.evaluation)
        own = output_dir / name if output_dir else run / OUTPUT_FOLDER
        evaluated = evaluate_trained(trained._replace(config=config), test_file, own, label)
        results.append(evaluated.results)
        summaries.append(evaluated.summary)
    if None in results:
        summaries.insert(0, f"{test_file} has none of the truth: predictions only\n")
        return "\n".join(summaries)
    _write_comparison(results, test_file, folder)
    summaries.append(f"comparison written to {folder}")
    return "\n".join([comparison(results), "", *summaries])


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


def _checked(labels: Sequence[str], runs: Sequence[Path]) -> Sequence[str]:
    if labels and len(labels) != len(runs):
        raise InputError(
            f"--label must be given once for each --run, {len(runs)} times, or not at all; "
            f"got {len(labels)}"
        )
    twice = [label for i, label in enumerate(labels) if label in labels[:i]]
    if twice:
        raise InputError(f"--label must differ from run to run; got `{twice[0]}` twice")
    return labels


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
    """What a run predicts, by the name of the option: classes, and targets with transforms.

    The transform of a target decides which residuals are formed.
    """
    labels, found = config.data.labels, {}
    for name, options in chosen(config.tasks, config.without).items():
        losses, label = getattr(options, "losses", None), getattr(options, "label", None)
        if losses is not None:
            label = losses.object_class and losses.object_class.label
            options = losses.regression
        targets = getattr(options, "targets", None) or {}
        if label:
            classes = labels[label].classes if label in labels else None
            found[f"data.labels.{label}"] = list((classes or {}).items())
        found[f"tasks.{name}"] = {field: vars(transform) for field, transform in targets.items()}
    return found


def _write_comparison(results: Sequence[Results], test_file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "test_file": str(test_file.resolve()),
        "reference": results[0].label,
        "changes": {r.label: _changes(r, results[0]) for r in results[1:]},
        "metrics": {r.label: r.metrics for r in results},
    }
    text = json.dumps(plain(content), indent=2, allow_nan=False)
    write_whole(folder / FILE_NAME, f"{text}\n".encode())
    write_tables(results, folder)
    draw_plots(results, folder)


def _changes(result: Results, reference: Results) -> dict[str, Any]:
    """Percentage change of every rejection of the network to the reference, by task."""
    return {
        task: {name: _change(found, at(result.metrics, "tagging", task, "discriminants", name))
               for name, found in part["discriminants"].items()}
        for task, part in reference.metrics.get("tagging", {}).items()
    }  # fmt: skip


def _change(reference: dict[str, Any], found: dict[str, Any] | None) -> dict[str, Any]:
    expected, points = (next(iter(x["points"].values())) for x in (reference, found or reference))
    return {
        background: {
            target: change(
                points[target]["rejections"][background], point["rejections"][background]
            )
            for target, point in expected.items()
        }
        for background in reference["fractions"]
    }
