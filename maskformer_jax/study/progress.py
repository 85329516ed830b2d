"""How far the runs of a study are, and what they cost, read from their folders."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.result_files import CURVES_FILE, METRICS_FILE
from maskformer_jax.files import LOCK_FILE, write_whole
from maskformer_jax.study.plan import Run
from maskformer_jax.training.logging import LOG_FILE, read_log
from maskformer_jax.training.manifest import marked, unmarked

# In the folder of an evaluation, written last: what was evaluated, and how.
RECORD_FILE = "evaluated.json"


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
        step: of the latest checkpoint, 0 before the first.
        total: steps of the whole training; none: not known before the end of an epoch.
        trained: whether the last step is in a checkpoint.
        failed: whether a loss or a gradient was not finite.
        evaluated: tests that are done.
    """

    step: int
    total: int | None
    trained: bool
    failed: bool
    evaluated: tuple[str, ...]


class Cost(NamedTuple):
    """What a training took; NaN before its first line of numbers.

    Attributes:
        seconds: by the clock, compilation and validation included.
        jets_per_second: by the clock, median over the lines of the log.
        cpu_ms_per_jet: median time on all CPU cores, which other programs hardly change [ms].
    """

    seconds: float
    jets_per_second: float
    cpu_ms_per_jet: float


def evaluation_folder(run_folder: Path, test: str) -> Path:
    """Where the evaluation of a run on one of the tests lies."""
    return run_folder / "evaluation" / test


def read_progress(run: Run, tests: Mapping[str, str]) -> Progress:
    """How far a run is.

    Args:
        run: of a study.
        tests: name -> file.
    """
    epochs, folder = run.config.training.epochs, run.folder
    ends = [line for line in _log(folder) if line.get("epoch")]
    total = epochs * ends[0]["step"] // ends[0]["epoch"] if ends else None
    step = last_checkpoint(folder)
    # A lock that is left: a kill came at the end, and the best checkpoint may not be there yet.
    trained = step > 0 and step == total and not (folder / LOCK_FILE).exists()
    # With these options, on this file.
    done = (
        name
        for name, file in tests.items()
        if Path(file).exists()
        and read_record(evaluation_folder(folder, name)) == _record(run.config, file)
    )
    return Progress(
        step=step,
        total=total,
        trained=trained,
        failed=not trained and (folder / "nonfinite_batch.npz").exists(),
        evaluated=tuple(done) if trained else (),
    )


def last_checkpoint(folder: Path) -> int:
    """Step of the latest checkpoint of a run, 0 where there is none."""
    found = (folder / "checkpoints" / "last").glob("*")
    return max((int(path.name) for path in found if path.name.isdigit()), default=0)


def read_cost(folder: Path, batch_size: int) -> Cost:
    """What the training in a run folder took so far."""
    log = pd.DataFrame(_log(folder), columns=["step", *Cost._fields[1:]], dtype=float)
    log = log.dropna(subset="jets_per_second")
    steps, pace = log["step"].diff().fillna(log["step"]), log["jets_per_second"]
    seconds = (steps * batch_size / pace)[pace > 0].sum(min_count=1)
    return Cost(float(seconds), float(pace.median()), float(log["cpu_ms_per_jet"].median()))


def _log(folder: Path) -> list[dict[str, float]]:
    path = folder / LOG_FILE
    return _read(folder, path.stat().st_mtime_ns) if path.exists() else []


@functools.lru_cache(maxsize=256)
def _read(folder: Path, changed: int) -> list[dict[str, float]]:
    del changed
    return read_log(folder)


def _record(config: Config, file: str) -> dict[str, Any]:
    path = Path(file)
    evaluation = json.loads(json.dumps(asdict(config.evaluation)))
    return {"file": path.name, "bytes": path.stat().st_size, "evaluation": evaluation}


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was evaluated, and how; none: the results are not all there.

    Raises:
        InputError: the record is damaged.
    """
    if not all((folder / name).exists() for name in (RECORD_FILE, METRICS_FILE, CURVES_FILE)):
        return None
    try:
        record = unmarked(json.loads((folder / RECORD_FILE).read_text()))
        record["file"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / RECORD_FILE}: damaged; evaluate the run again") from error
    return record


def record_evaluation(run: Run, test: str, file: str) -> None:
    """Notes that the results of a file are complete."""
    text = json.dumps(marked(_record(run.config, file)), indent=2)
    write_whole(evaluation_folder(run.folder, test) / RECORD_FILE, text.encode())


def time_left(runs: Sequence[Run], states: Sequence[Progress]) -> str:
    """Time to train, such as `2 h 06 min`, at the pace of the steps made.

    A model that has made no step counts as one of average pace.
    """
    paces = []
    for run in runs:
        batch = run.config.training.batch_size
        pace = read_cost(run.folder, batch).jets_per_second
        paces.append(batch / pace if pace > 0 else math.nan)
    by_model = pd.Series(paces, [run.model for run in runs], float).groupby(level=0).mean()
    if by_model.isna().all():
        return "unknown"
    known = by_model.fillna(by_model.mean())
    seconds = sum(n * known[run.model] for run, n in zip(runs, steps_left(states), strict=True))
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def steps_left(states: Sequence[Progress]) -> list[int]:
    """Steps of each run that are not made; 0 for one that failed.

    A run before the end of its first epoch is taken to be as long as the longest known.
    """
    longest = max((state.total or 0 for state in states), default=0)
    return [
        0 if state.failed else max((state.total or longest) - state.step, 0) for state in states
    ]


def table(runs: Sequence[Run], tests: Mapping[str, str]) -> str:
    """Models by seeds: how far each run is, and the time that is left."""
    states = [read_progress(run, tests) for run in runs]
    rows: dict[str, dict[str, str]] = {run.model: {"model": run.model} for run in runs}
    for run, state in zip(runs, states, strict=True):
        rows[run.model][f"seed {run.seed}"] = _cell(state, tests)
    finished = sum(len(state.evaluated) == len(tests) for state in states)
    return (
        f"{tabulate(rows.values(), headers='keys', tablefmt='plain')}\n\n{finished} of {len(runs)} "
        f"runs are finished; time left to train: {time_left(runs, states)}"
    )


def _cell(state: Progress, tests: Mapping[str, str]) -> str:
    if state.failed:
        return f"not finite after {state.step}"
    if not state.trained:
        return f"{state.step}/{state.total or '?'}" if state.step else "-"
    missing = ", ".join(test for test in tests if test not in state.evaluated)
    return f"trained, not evaluated on {missing}" if missing else "done"
