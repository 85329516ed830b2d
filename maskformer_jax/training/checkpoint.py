"""Checkpoints that survive a kill, know when they are damaged, and say what does not fit.

A run folder holds `checkpoints/last/STEP` (the latest ones, with everything needed to continue) and
`checkpoints/best/STEP` (parameters alone). Beside the arrays lies a summary with the shape and a
checksum of every array, since a flipped byte in an array file restores without complaint.
"""

import errno
import logging
import os
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import absl.logging
import grain.checkpoint
import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from maskformer_jax.errors import InputError
from maskformer_jax.training.state import TrainState

Tree = TypeVar("Tree")

# Orbax logs a warning for every manager that only reads; whatever fails raises an exception.
absl.logging.set_verbosity(absl.logging.ERROR)
# A write that fails in the background raises here too; asyncio would print every one of them.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
MOST_OF_A_REASON = 200


class Restored(NamedTuple):
    """What a run continues from.

    Attributes:
        state: parameters, weighting and optimiser state, step.
        progress: what the loop stored: the best value of the monitored quantity.
    """

    state: TrainState
    progress: Mapping[str, Any]


class Checkpoints:
    """Writes and reads the checkpoints of a run.

    Args:
        run: the run folder.
        keep: number of latest checkpoints that are kept.
    """

    def __init__(self, run: Path, keep: int):
        self.run = run
        self._last = _manager(run, "last", keep)
        self._best = _manager(run, "best", 1)

    def save(
        self, state: TrainState, loader: Any, progress: Mapping[str, Any], *, is_best: bool
    ) -> None:
        """Saves the state and the loader's position; returns before the files are written.

        Raises:
            InputError: the folder can't be written to; earlier checkpoints are untouched.
        """
        step = int(state.step)
        params, rest = _flatten(state.params), _flatten(state._replace(params=()))
        summary = {
            "progress": dict(progress),
            "params": _describe(params),
            "rest": _describe(rest),
        }
        try:
            if is_best:
                self._best.save(
                    step,
                    args=ocp.args.Composite(
                        params=ocp.args.StandardSave(params),
                        summary=ocp.args.JsonSave({"params": summary["params"]}),
                    ),
                )
            self._last.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(params),
                    rest=ocp.args.StandardSave(rest),
                    loader=grain.checkpoint.CheckpointSave(loader),
                    summary=ocp.args.JsonSave(summary),
                ),
            )
        except Exception as error:
            raise _not_written(self.run, error) from error

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
            summary = _summary(self._last, step)
            parts = {"params": state.params, "rest": state._replace(params=())}
            names = {"params": "params", "rest": "rest"}
            restored = {
                name: _restore_item(self._last, step, name, parts[name], summary) for name in names
            }
            self._last.restore(
                step,
                args=ocp.args.Composite(loader=grain.checkpoint.CheckpointRestore(loader)),
            )
            full = restored["rest"]._replace(params=restored["params"])
            return Restored(full, summary["progress"])

        restored = _newest_good([(self._last, read)], self.run)
        for manager in (self._last, self._best):
            for step in manager.all_steps():
                if step > int(restored.state.step):
                    manager.delete(step)  # damaged, or about to be made again
        if not self._best.all_steps():
            return restored._replace(progress={**restored.progress, "best": None})
        return restored

    def close(self) -> None:
        """Waits until everything is on disk.

        Raises:
            InputError: the last save could not be written.
        """
        try:
            self._last.wait_until_finished()
            self._best.wait_until_finished()
        except Exception as error:
            raise _not_written(self.run, error) from error
        finally:
            self._last.close()
            self._best.close()


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
    managers = [_manager(run, name, None) for name in ("best", "last")]

    def reader(manager: ocp.CheckpointManager) -> Callable[[int], Tree]:
        def read(step: int) -> Tree:
            return _restore_item(manager, step, "params", params, _summary(manager, step))

        return read

    try:
        return _newest_good([(manager, reader(manager)) for manager in managers], run)
    finally:
        for manager in managers:
            manager.close()


class _DamagedError(Exception):
    """A checkpoint is not what was saved."""


def _manager(run: Path, name: str, keep: int | None) -> ocp.CheckpointManager:
    folder = (run / "checkpoints" / name).absolute()
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, create=keep is not None, read_only=keep is None
    )
    return ocp.CheckpointManager(folder, options=options)


def _not_written(run: Path, error: Exception) -> InputError:
    text = " ".join(str(error).split()) or type(error).__name__
    # Tensorstore wraps the reason into the specification of the array.
    full = os.strerror(errno.ENOSPC)
    reason = full if full in text else text[:MOST_OF_A_REASON]
    return InputError(
        f"no checkpoint could be written in {run / 'checkpoints'}, earlier ones are kept: {reason}"
    )


def _flatten(tree: PyTree) -> dict[str, jax.Array]:
    """Arrays by their path, such as `encoder.0.attention.key.kernel`."""
    paths, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def _describe(arrays: Mapping[str, jax.Array]) -> dict[str, list]:
    """Shape, type and checksum of every array."""
    return {
        name: [list(x.shape), str(x.dtype), zlib.crc32(np.ascontiguousarray(x).tobytes())]
        for name, x in arrays.items()
    }


def _summary(manager: ocp.CheckpointManager, step: int) -> Mapping[str, Any]:
    restored = manager.restore(step, args=ocp.args.Composite(summary=ocp.args.JsonRestore()))
    return restored["summary"]


def _restore_item(
    manager: ocp.CheckpointManager, step: int, item: str, like: Tree, summary: Mapping[str, Any]
) -> Tree:
    """One item in the structure of `like`, checked against what was saved."""
    wanted = _flatten(like)
    saved = summary[item]
    for name in sorted({*wanted, *saved}):
        have = tuple(saved[name][0]) if name in saved else "nothing"
        want = wanted[name].shape if name in wanted else "nothing"
        if have != want:
            raise InputError(
                f"the checkpoint in {manager.directory} is of another model: `{name}` has shape "
                f"{have} in the checkpoint and {want} in the configuration"
            )
    abstract = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for name, x in wanted.items()
    }
    restored = manager.restore(
        step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(abstract)})
    )[item]
    if _describe(restored) != {name: list(value) for name, value in saved.items()}:
        raise _DamagedError("its checksum differs from the one that was saved")
    return jax.tree.unflatten(jax.tree.structure(like), [restored[name] for name in wanted])


def _newest_good(
    sources: list[tuple[ocp.CheckpointManager, Callable[[int], Tree]]], run: Path
) -> Tree:
    """What the first undamaged checkpoint holds, from the latest step backwards in each source."""
    damaged = []
    for manager, read in sources:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                result = read(step)
            except InputError:
                raise
            except Exception as error:  # orbax, tensorstore, JSON, file system: anything goes
                folder = manager.directory / str(step)
                reason = " ".join(str(error).split())[:MOST_OF_A_REASON] or type(error).__name__
                damaged.append(str(folder))
                print(f"warning: {folder} is damaged, skipped: {reason}", file=sys.stderr)
                continue
            if damaged:
                good = manager.directory / str(step)
                print(f"warning: using {good} instead", file=sys.stderr)
            return result
    if damaged:
        raise InputError(f"every checkpoint of {run} is damaged: {', '.join(damaged)}")
    raise InputError(f"{run} has no checkpoint yet")
