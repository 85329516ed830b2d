"""Checkpoints that survive a kill, know when they are damaged, and say what does not fit.

A run folder holds `checkpoints/last/STEP` (the latest ones, with everything needed to continue) and
`checkpoints/best/STEP` (parameters alone). Beside the arrays lies a summary with the shape and a
checksum of every array, since a flipped byte in an array file restores without complaint. The
summary is sealed, so that what does not fit it is damaged, and what it does not fit is of another
model.
"""

import ctypes
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import absl.logging
import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from maskformer_jax.errors import InputError
from maskformer_jax.training.manifest import seal
from maskformer_jax.training.restoring import (
    MOST_OF_A_REASON,
    NoneGoodError,
    describe,
    flatten,
    manager_of,
    newest_good,
    restore_item,
    summary_of,
)
from maskformer_jax.training.state import TrainState

Tree = TypeVar("Tree")

# Orbax logs a warning for every manager that only reads, and all threads whose writes fail; asyncio
# logs, and tensorstore prints, what waited for one. Whatever fails raises an exception as well.
absl.logging.set_verbosity(absl.logging.FATAL)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
_unraisablehook = sys.unraisablehook


def _without_closed_loops(failure: Any) -> None:
    if str(failure.exc_value) != "Event loop is closed":
        _unraisablehook(failure)


sys.unraisablehook = _without_closed_loops


class Progress(NamedTuple):
    """What a training remembers beside its state.

    Attributes:
        best: value of the monitored quantity in the best checkpoint; none: there is none yet.
        best_step: step of that checkpoint.
        nonfinite: epochs after which a number of the validation was not finite.
    """

    best: float | None = None
    best_step: int | None = None
    nonfinite: Sequence[int] = ()


class Restored(NamedTuple):
    """What a run continues from.

    Attributes:
        state: parameters, weighting and optimiser state, step.
        progress: what the training remembers.
    """

    state: TrainState
    progress: Progress


class Checkpoints:
    """Writes and reads the checkpoints of a run.

    Args:
        run: the run folder.
        keep: number of latest checkpoints that are kept.
    """

    def __init__(self, run: Path, keep: int):
        self.run = run
        self._last = manager_of(run, "last", keep)
        self._best = manager_of(run, "best", 1)
        self._read_back = False

    def save(self, state: TrainState, loader: Any, progress: Progress, *, is_best: bool) -> None:
        """Saves the state and the loader's position; returns before the files are written.

        The first checkpoint is read back, and a best one written after it is there to go on from.

        Raises:
            InputError: the folder can't be written to; earlier checkpoints are untouched.
        """
        step = int(state.step)
        params, rest = flatten(state.params), flatten(state._replace(params=()))
        summary = {
            "progress": progress._asdict(),
            "loader": loader.get_state(),
            "params": describe(params),
            "rest": describe(rest),
        }
        try:
            self._last.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(params),
                    rest=ocp.args.StandardSave(rest),
                    summary=ocp.args.JsonSave(seal(summary)),
                ),
            )
            if is_best or not self._read_back:
                self._last.wait_until_finished()
            if not self._read_back:
                self._read(step, state)
                self._read_back = True
            if is_best:
                _save_alone(self._best, step, params, progress)
        except Exception as error:
            raise _not_written(self.run, error) from error
        _give_memory_back()

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, Mapping[str, Any]]:
        summary = summary_of(self._last, step)
        params = restore_item(self._last, step, "params", like.params, summary)
        rest = restore_item(self._last, step, "rest", like._replace(params=()), summary)
        return rest._replace(params=params), summary

    def is_empty(self) -> bool:
        """True before the first checkpoint."""
        return not self._last.all_steps()

    def restore(self, state: TrainState, loader: Any) -> Restored:
        """The latest good checkpoint; the loader moves to its position.

        Args:
            state: a state of the right structure, whose arrays say where the restored ones go.
            loader: iterator of the training batches.

        Raises:
            InputError: there is no checkpoint, none is undamaged, or it is of another model.
        """

        def read(step: int) -> Restored:
            restored, summary = self._read(step, state)
            loader.set_state(summary["loader"])
            return Restored(restored, Progress(**summary["progress"]))

        restored = newest_good([(self._last, read)], self.run)
        for manager in (self._last, self._best):
            for step in manager.all_steps():
                if step > int(restored.state.step):
                    manager.delete(step)  # damaged, or about to be made again
        return restored._replace(progress=self._with_best(*restored))

    def _with_best(self, state: TrainState, progress: Progress) -> Progress:
        """Progress whose best checkpoint is there: saved again if it can be, or an earlier one."""
        step = int(state.step)
        try:
            found = newest_good([(self._best, _best_reader(self._best, state.params))], self.run)
        except NoneGoodError:
            found = Progress()
        if found.best_step == progress.best_step:
            for earlier in self._best.all_steps():
                if earlier != found.best_step:
                    self._best.delete(earlier)  # a kill came before it went
            return progress
        lost = f"warning: the best checkpoint, of step {progress.best_step}, is not there"
        if progress.best_step != step:
            print(f"{lost}: the best is now that of step {found.best_step}", file=sys.stderr)
            return progress._replace(best=found.best, best_step=found.best_step)
        print(f"{lost}: it is saved again", file=sys.stderr)
        if step in self._best.all_steps():
            self._best.delete(step)
        _save_alone(self._best, step, flatten(state.params), progress)
        return progress

    def close(self) -> None:
        """Waits until everything is on disk.

        Raises:
            InputError: the last save could not be written.
        """
        managers, failures = (self._last, self._best), []
        for each in [x.wait_until_finished for x in managers] + [x.close for x in managers]:
            try:
                each()
            except Exception as error:  # a full disk may be met by all of them
                failures.append(error)
        if failures:
            raise _not_written(self.run, failures[0]) from failures[0]


def save_params(run: Path, params: PyTree) -> None:
    """Writes parameters that no training has made as the best checkpoint of a run, of step 0.

    Raises:
        InputError: the folder can't be written to.
    """
    try:
        manager = manager_of(run, "best", 1)
        _save_alone(manager, 0, flatten(params), Progress())
        manager.close()
    except Exception as error:
        raise _not_written(run, error) from error


def _save_alone(
    best: ocp.CheckpointManager, step: int, params: dict[str, jax.Array], progress: Progress
) -> None:
    summary = ocp.args.JsonSave(seal({"progress": progress._asdict(), "params": describe(params)}))
    arrays = ocp.args.StandardSave(params)
    best.save(step, args=ocp.args.Composite(params=arrays, summary=summary))


def _give_memory_back() -> None:
    """What is free goes back to the system, where malloc is that of glibc.

    A save works in threads of its own, each with an arena that keeps what it once held: a tiny
    training had 611 MB after 40 checkpoints without this, 469 MB with it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def restore_params(run: Path, params: Tree) -> Tree:
    """Parameters of the best checkpoint of a run, or of the latest where none is marked best.

    A damaged checkpoint is skipped with a line on standard error.

    Args:
        run: the run folder.
        params: parameters of the right structure.

    Raises:
        InputError: there is no checkpoint, none is undamaged, or it is of another model.
    """
    if not (run / "checkpoints").is_dir():
        raise InputError(f"{run} has no checkpoint: {run / 'checkpoints'} does not exist")
    managers = [manager_of(run, name, None) for name in ("best", "last")]

    def reader(manager: ocp.CheckpointManager) -> Callable[[int], Tree]:
        return lambda step: restore_item(manager, step, "params", params, summary_of(manager, step))

    try:
        order = managers[::-1] if _best_is_last(*managers) else managers
        return newest_good([(manager, reader(manager)) for manager in order], run)
    finally:
        for manager in managers:
            manager.close()


def _best_is_last(best: ocp.CheckpointManager, last: ocp.CheckpointManager) -> bool:
    """Whether the latest checkpoint is the best, but its training was killed before it said so."""
    step = last.latest_step()
    try:
        return step not in best.all_steps() and step == _progress(last, step).best_step
    except Exception:  # it is damaged, or there is none
        return False


def _progress(manager: ocp.CheckpointManager, step: int) -> Progress:
    return Progress(**summary_of(manager, step)["progress"])


def _best_reader(best: ocp.CheckpointManager, params: PyTree) -> Callable[[int], Progress]:
    """What a training remembered at a step, whose parameters are found to be whole."""

    def read(step: int) -> Progress:
        restore_item(best, step, "params", params, summary_of(best, step))
        return _progress(best, step)

    return read


def _not_written(run: Path, error: Exception) -> InputError:
    text = " ".join(str(error).split()) or type(error).__name__
    # Tensorstore wraps the reason into the specification of the array.
    full = os.strerror(errno.ENOSPC)
    reason = full if full in text else text[:MOST_OF_A_REASON]
    named = re.search(f"[\"']({re.escape(str(run.absolute()))}[^\"']*)", text)
    where = named[1] if named else run / "checkpoints"
    return InputError(f"{where}: no checkpoint could be written, earlier ones are kept: {reason}")
