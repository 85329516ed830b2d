"""Evaluation of one training run on a test file."""

import contextlib
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from maskformer_jax.canvas import check_label, heading
from maskformer_jax.data import JetFile, summarise
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.event_display import EventDisplay, cannot, is_wanted
from maskformer_jax.evaluation.events import Events
from maskformer_jax.evaluation.formats import all_formats
from maskformer_jax.evaluation.metrics import Tally, left_out, setting_of
from maskformer_jax.evaluation.models import own_tables
from maskformer_jax.evaluation.names import plural
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.plots.event_display import draw as draw_events
from maskformer_jax.evaluation.prediction_file import FILE_NAME, PredictionFile
from maskformer_jax.evaluation.result_files import METRICS_FILE, write_events, write_results
from maskformer_jax.evaluation.results import Result, Table
from maskformer_jax.evaluation.trained import Trained, load_run, predict_file
from maskformer_jax.files import held, refuse_links, write_whole
from maskformer_jax.progress import COMPILING, bar, stage

WRITES = "writes results to"
# All tables, in every format: `tables.md` and others.
TABLES = "tables"


class Evaluated(NamedTuple):
    """What an evaluation has left.

    Attributes:
        result: what was measured; none: the test file has none of the truth.
        summary: how many jets went where, and how fast.
    """

    result: Result | None
    summary: str


def evaluate_trained(
    trained: Trained,
    test_file: Path,
    folder: Path,
    label: str,
    *,
    warn: bool = True,
    predict_only: bool = False,
) -> Evaluated:
    """Writes predictions, metrics, curves, tables and plots of a run on a test file.

    A file without any truth gives the predictions only.

    Args:
        trained: the run, with its best checkpoint.
        test_file: HDF5 file in the layout of its configuration.
        folder: where everything goes, created if needed.
        label: of the network in pictures and tables.
        warn: of what the test file can't mean.
        predict_only: leave it at the predictions.

    Raises:
        InputError: something about the file, the folder or the label is wrong.
    """
    for text in (label, heading(trained.config.plot)):
        check_label(text)
    check_free(folder / METRICS_FILE, test_file)
    with _opened(trained, test_file) as file:
        options, setting = trained.config.evaluation, setting_of(trained, file)
        tally, display, summary = Tally(setting), None, []
        if warn:
            field, number = options.fields.jet_pt, options.max_jets
            summarise(file, trained.scaling, field, number).warn(file.path)
        if not predict_only:
            summary = left_out(setting, file.missing, file.read(0, 1).jets.dtype.names)
            reason = cannot(setting)
            display = None if reason else EventDisplay(setting, file)
            if reason and is_wanted(trained.config):
                summary.append(f"no event display: {reason}")
        takers = [] if predict_only else [taker for taker in (tally, display) if taker]
        with held(folder, WRITES):
            refuse_links(folder)
            rate = write_predictions(trained, file, folder / FILE_NAME, takers, label)
            written = f"{plural(jets_of(trained, file), 'jet')} written to {folder}"
            written += f", {rate:,.0f} jets/s after the first batch" if rate else ""
            events = display.drawn(label) if display else Events({}, label, [])
            if not predict_only:
                write_events(events, folder)
                draw_events(events, folder, trained.config.plot)
            if predict_only or not tally.sections:
                return Evaluated(None, "\n".join([written, *summary]))
            result = tally.result(label, str(test_file.resolve()), summary)
            write_results(result, folder)
            write_tables(own_tables(result), folder)
            with stage(f"{label}: drawing"):
                draw_plots([result], folder, trained.config.plot)
    return Evaluated(result, written)


def _opened(trained: Trained, test_file: Path) -> contextlib.closing[JetFile]:
    """The test file, with whatever truth it has."""
    return contextlib.closing(JetFile(test_file, trained.model.schema, truth="optional"))


def check_free(path: Path, test_file: Path) -> None:
    """Refuses to replace the results of another test file.

    Args:
        path: a JSON file of an earlier evaluation; one that is not there or cannot be read is free.
        test_file: of the evaluation to come; whoever opens it says if it is not there.

    Raises:
        InputError: the results are those of another file.
    """
    try:
        other = json.loads(path.read_text()).get("test_file")
    except (OSError, ValueError, AttributeError):
        return
    if test_file.is_file() and other not in (None, str(test_file.resolve())):
        raise InputError(f"{path.parent} holds the results of {other}; choose another --output_dir")


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Writes all tables as tables.md, tables.csv, tables.tex and tables.html."""
    for suffix, text in all_formats(tables).items():
        write_whole(folder / f"{TABLES}.{suffix}", text.encode())


def measure(
    run: Path,
    test_file: Path,
    output_dir: Path,
    overrides: Sequence[str] = (),
    *,
    keep_predictions: bool = False,
) -> None:
    """Writes metrics.json and curves.json of the best checkpoint, and no plots.

    Results that are there are replaced, those of another file too.

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
    with _opened(trained, test_file) as file:
        tally = Tally(setting_of(trained, file))
        if not tally.sections:
            raise InputError(f"{test_file} has none of the truth labels, so nothing is measured")
        path = output_dir / FILE_NAME if keep_predictions else None
        with held(output_dir, WRITES):
            write_predictions(trained, file, path, [tally], trained.config.name)
            result = tally.result(trained.config.name, str(test_file.resolve()))
            write_results(result, output_dir)


def write_predictions(
    trained: Trained,
    file: JetFile,
    path: Path | None,
    takers: Sequence[Tally | EventDisplay],
    title: str,
) -> float:
    """Streams a file through the model into a prediction file and the metrics.

    Args:
        trained: the model.
        file: test file.
        path: the prediction file; none: no such file.
        takers: each is given all jets.
        title: of the run, on the terminal.

    Returns:
        Jets per second, all included, after the first batch, which waits for compilation and
        imports; 0 where there is no other.
    """
    begin, jets = None, 0
    with contextlib.ExitStack() as stack:
        if path is not None:
            output = stack.enter_context(PredictionFile(path, trained, jets_of(trained, file)))
            takers = [output, *takers]
        chunks = predict_file(trained, file)
        with stage(f"{title}: {COMPILING}"):
            first = next(chunks)
        shown = stack.enter_context(bar(jets_of(trained, file), "jets", title))
        for chunk in itertools.chain([first], chunks):
            for taker in takers:
                taker.add(chunk)
            jets += 0 if begin is None else len(chunk.records.jets)
            begin = begin or time.perf_counter()
            shown.update(len(chunk.records.jets))
    return jets / (time.perf_counter() - begin)


def jets_of(trained: Trained, file: JetFile) -> int:
    """Jets of a file that are evaluated."""
    return min(trained.config.evaluation.max_jets or file.num_jets, file.num_jets)
