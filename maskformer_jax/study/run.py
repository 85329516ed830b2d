"""Trains and evaluates the runs of a study one after the other, whatever was done before."""

import contextlib
import gc
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import jax

from maskformer_jax import experiment, files
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.run import measure
from maskformer_jax.program import Stopped
from maskformer_jax.study import progress
from maskformer_jax.study.plan import Run
from maskformer_jax.training.run_folder import CONFIG_FILE

FAILURES = (FloatingPointError, InputError, OSError, jax.errors.JaxRuntimeError)


class Outcome(NamedTuple):
    """How the runs of a study, or those of one process, ended.

    Attributes:
        failed: run -> why it could not be finished.
        elsewhere: runs that another process was making.
        signal: number of the signal that stopped it; 0: none.
    """

    failed: dict[str, str]
    elsewhere: list[str]
    signal: int = 0

    def exit_code(self) -> int:
        """Of the program, which says what went wrong.

        Raises:
            Stopped: by a signal.
        """
        for name, reason in self.failed.items():
            print(f"error: {name}: {reason}", file=sys.stderr)
        if self.signal:
            raise Stopped(self.signal)
        return 1 if self.failed else 0


class Todo(NamedTuple):
    """What is done with each run beside training it.

    Attributes:
        tests: name -> file that it is evaluated on.
        again: repeat the evaluations that are there.
        keep_predictions: of the evaluations.
    """

    tests: Mapping[str, str]
    again: bool = False
    keep_predictions: bool = False


def make(runs: Sequence[Run], todo: Todo) -> Outcome:
    """Makes the runs that no other process makes; what is finished is left alone.

    A run that fails is reported, and the next one is begun.

    Args:
        runs: in the order in which they are made.
        todo: what is done with each.
    """
    outcome = Outcome({}, [])
    try:
        for number, run in enumerate(runs, start=1):
            try:
                with claim(run.folder) as mine:
                    if mine:
                        _make(run, f"[{number}/{len(runs)}] {run.name}", runs, todo)
                    else:
                        outcome.elsewhere.append(run.name)
            except FAILURES as error:
                outcome.failed[run.name] = " ".join(str(error).split())
                print(f"{run.name} failed: {outcome.failed[run.name]}", flush=True)
    except Stopped as stop:
        return outcome._replace(signal=stop.number)
    return outcome


def claim(folder: Path) -> contextlib.AbstractContextManager[bool]:
    """Whether the run is this process's until the end of the block, or until the process dies.

    Raises:
        InputError: the folder, or what holds it, is a symbolic link, or has one in it.
    """
    for path in (folder.parent, folder):
        files.refuse_link(path)
    files.refuse_links(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return files.hold(folder.with_name(f".{folder.name}.lock"))


def _make(run: Run, title: str, runs: Sequence[Run], todo: Todo) -> None:
    state = progress.read_progress(run, todo.tests)
    missing = [test for test in todo.tests if todo.again or test not in state.evaluated]
    if state.trained and not missing:
        return
    try:
        if not state.trained:
            left = progress.time_left(runs, [progress.read_progress(x, {}) for x in runs])
            print(f"\n{title}: from step {state.step}; time left: {left}", flush=True)
            _train(run)
        for test in missing:
            _evaluate(run, test, todo)
    finally:
        # One model after the other: what was compiled for this one is of no use to the next.
        jax.clear_caches()
        gc.collect()


def _train(run: Run) -> None:
    """Trains a run, or goes on where it was interrupted."""
    resume = (run.folder / CONFIG_FILE).exists()
    outcome = experiment.train(run.config, resume=resume)
    if not outcome.finished:
        raise Stopped(outcome.signal)


def _evaluate(run: Run, test: str, todo: Todo) -> None:
    begin, file = time.perf_counter(), todo.tests[test]
    folder = progress.evaluation_folder(run.folder, test)
    (folder / progress.RECORD_FILE).unlink(missing_ok=True)
    options = [f"--evaluation={json.dumps(asdict(run.config.evaluation))}"]
    measure(run.folder, Path(file), folder, options, keep_predictions=todo.keep_predictions)
    progress.record_evaluation(run, test, file)
    print(f"{run.name}: evaluated on {test} in {time.perf_counter() - begin:.0f} s", flush=True)
