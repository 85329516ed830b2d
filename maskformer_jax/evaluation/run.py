"""Evaluation of a training run on a test file: the run folder and the file are all it needs."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from maskformer_jax import config as configuration
from maskformer_jax import tasks
from maskformer_jax.config import Config
from maskformer_jax.data import NORMALISATION_FILE, JetFile, Records, Scaling, read_sequential
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import baseline as templates
from maskformer_jax.evaluation import report
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.metrics import Tally
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.predict import Predictions, build_predict
from maskformer_jax.evaluation.prediction_file import FILE_NAME, PredictionFile
from maskformer_jax.evaluation.results import read_results, write_results
from maskformer_jax.evaluation.section import Chunk
from maskformer_jax.model import maskformer
from maskformer_jax.training.checkpoint import restore_params
from maskformer_jax.training.run_folder import CONFIG_FILE
from maskformer_jax.types import Targets

OUTPUT_FOLDER = "evaluation"


class Trained(NamedTuple):
    """What a run folder holds.

    Attributes:
        config: resolved configuration, with overrides.
        scaling: of inputs and targets.
        apply: the model.
        params: of the best checkpoint.
        baseline: impact-parameter tagger; none where the run has none or the config wants none.
    """

    config: Config
    scaling: Scaling
    apply: maskformer.Apply
    params: Any
    baseline: Baseline | None


def load_run(run: Path, overrides: Sequence[str] = ()) -> Trained:
    """Everything in a run folder that an evaluation needs.

    Args:
        run: the folder.
        overrides: command-line arguments that win over the folder's configuration.

    Raises:
        InputError: the folder is missing, incomplete or damaged.
    """
    for path in (run, run / CONFIG_FILE, run / NORMALISATION_FILE):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; `--run` must be a training run")
    config = _load_config(run / CONFIG_FILE, overrides)
    scaling = Scaling.load(run / NORMALISATION_FILE)
    apply, params = maskformer.build(config, config.training.seed)
    params = restore_params(run, params)
    baseline_file = run / templates.FILE_NAME
    wanted = config.evaluation.baseline_fields and baseline_file.exists()
    return Trained(config, scaling, apply, params, Baseline.load(baseline_file) if wanted else None)


def _load_config(path: Path, overrides: Sequence[str]) -> Config:
    arguments = ["--config", str(path)]
    try:
        config = configuration.load(arguments)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return configuration.load([*arguments, *overrides]) if overrides else config


def evaluate(
    run: Path, test_file: Path, output_dir: Path | None = None, overrides: Sequence[str] = ()
) -> str:
    """Writes the predictions, metrics and plots of the best checkpoint on a test file.

    A file without truth labels gives the predictions only.

    Args:
        run: folder of a training run.
        test_file: HDF5 file in the layout of the run's configuration.
        output_dir: created if needed; none: `evaluation` in the run folder.
        overrides: command-line arguments that win over the run's configuration.

    Returns:
        The report for the terminal.

    Raises:
        InputError: something about the run, the file or the output folder is wrong.
    """
    trained = load_run(run, overrides)
    file = JetFile(test_file, trained.config.data, truth="optional")
    try:
        output_dir = output_dir or run / OUTPUT_FOLDER
        tally = Tally(trained.config, trained.baseline) if file.has_truth else None
        rate = write_predictions(trained, file, output_dir / FILE_NAME, tally)
    finally:
        file.close()
    done = f"{file.num_jets:,} jets written to {output_dir}"
    if rate:
        done += f", {rate:,.0f} jets/s after the first batch"
    if tally is None:
        return f"{test_file} has no truth labels: predictions only\n\n{done}"
    write_results(tally.results(), tally.curves(), output_dir)
    results = read_results(output_dir, trained.config.name)
    draw_plots([results], output_dir)
    return f"{report.table(results.metrics)}\n\n{done}"


def measure(
    run: Path,
    test_file: Path,
    output_dir: Path,
    overrides: Sequence[str] = (),
    *,
    keep_predictions: bool = False,
) -> None:
    """Writes metrics.json and curves.json of the best checkpoint, and no plots.

    Args:
        run: folder of a training run.
        test_file: HDF5 file in the layout of the run's configuration, with truth.
        output_dir: created if needed.
        overrides: command-line arguments that win over the run's configuration.
        keep_predictions: write predictions.h5 too.

    Raises:
        InputError: something about the run, the file or the output folder is wrong.
    """
    trained = load_run(run, overrides)
    file = JetFile(test_file, trained.config.data)
    try:
        tally = Tally(trained.config, trained.baseline)
        output_dir.mkdir(parents=True, exist_ok=True)
        write_predictions(
            trained, file, output_dir / FILE_NAME if keep_predictions else None, tally
        )
    finally:
        file.close()
    write_results(tally.results(), tally.curves(), output_dir)


def write_predictions(
    trained: Trained, file: JetFile, path: Path | None, tally: Tally | None
) -> float:
    """Streams a file through the model into a prediction file and the metrics.

    Args:
        trained: the model.
        file: test file.
        path: the prediction file; none: no such file.
        tally: takes in the metrics; none: there is no truth to compare with.

    Returns:
        Jets per second, all included, after the first batch, which waits for compilation and
        imports; 0 where there is no other.
    """
    begin, jets = None, 0
    config, to_physical = trained.config, trained.scaling.targets_to_physical
    with contextlib.ExitStack() as stack:
        output = None
        if path is not None:
            output = PredictionFile(path, config.name, config.data, file.num_jets)
            stack.enter_context(output)
        for records, targets, predictions in predict_file(trained, file):
            predicted = to_physical(predictions.regression)
            if output is not None:
                output.write(records, targets, predictions, predicted)
            if tally is not None:
                true = to_physical(targets.regression)
                tally.add(Chunk(records, targets, predictions, predicted, true))
            jets += 0 if begin is None else len(records.jets)
            begin = begin or time.perf_counter()
    return jets / (time.perf_counter() - begin)


def predict_file(trained: Trained, file: JetFile) -> Iterator[tuple[Records, Targets, Predictions]]:
    """Predictions of a file in its order, on the host and without padding jets.

    A batch is computed while the one before it is used.
    """
    config = trained.config
    match = tasks.build_match(config) if file.has_truth else None
    predict = build_predict(trained.apply, match)
    waiting = None
    batches = read_sequential(
        file, trained.scaling, config.evaluation.batch_size, labelled_only=False
    )
    for records, batch, targets in batches:
        started = (records, targets, predict(trained.params, batch, targets))
        if waiting is not None:
            yield _on_host(*waiting)
        waiting = started
    yield _on_host(*waiting)


def _on_host(
    records: Records, targets: Targets, predictions: Predictions
) -> tuple[Records, Targets, Predictions]:
    number = len(records.jets)
    per_jet = predictions._replace(confusions=())
    per_jet, targets = jax.tree.map(lambda x: x[:number], (jax.device_get(per_jet), targets))
    return records, targets, per_jet._replace(confusions=jax.device_get(predictions.confusions))
