"""A small run folder, and what a resumed training or an evaluation takes from a copy of it."""

import atexit
import contextlib
import dataclasses
import functools
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import numpy as np
from golden import golden

from maskformer_jax import experiment
from maskformer_jax.commands import train
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import trained
from maskformer_jax.training import loop
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.logging import MetricsLog

ROOT = Path(__file__).parents[2]
TINY = (
    f"--config={ROOT / 'configs' / 'quickstart.yaml'}",
    *("--data.streams.tracks.cap=8", "--data.block_size=10", "--data.group_blocks=3"),
    *("--model.embed_dim=8", "--model.num_heads=2", "--model.encoder.layers=1"),
    *("--without=[hadrons, track_origin]", "--model.head_widths=[8]"),
    *("--training.batch_size=20", "--training.log_every=1", "--training.checkpoint_every=2"),
)


class Read(NamedTuple):
    """What came of reading a run folder.

    Attributes:
        leaves: all that a result depends on, as bytes and numbers; none: it was refused.
        said: lines on standard error, or the refusal.
        fault: an exception that is no refusal.
    """

    leaves: list | None
    said: str
    fault: str = ""


class WholeRun:
    """A run folder of two checkpoints, and its network, which is compiled no more.

    Args:
        folder: an empty one, for the data and the run.
        *more: options of the training.
    """

    def __init__(self, folder: Path, *more: str):
        golden.write_sample(folder)
        self.run, built = folder / "run", {}
        files = [f"--data.{name}_file={folder / name}.h5" for name in ("train", "val")]

        def keep(name: str, function: Callable) -> Callable:
            def kept(*arguments: Any, **options: Any) -> Any:
                built[name] = function(*arguments, **options)
                return built[name]

            return kept

        with (
            patch.object(experiment, "build", keep("model", experiment.build)),
            patch.object(loop, "build", keep("trainer", loop.build)),
            quiet(),
        ):
            train.main([*TINY, "--training.epochs=1", *files, f"--output_dir={self.run}", *more])
        self._model, self._trainer = built["model"], built["trainer"]
        # The step donated it.
        state = self._trainer.state._replace(params=self._model.params)
        shapes = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
        self._trainer = self._trainer._replace(state=shapes)

    def resumed(self, run: Path) -> Read:
        """What a training goes on from in a copy of the run folder."""
        found = []

        def restore(config, run, trainer, loader, batches, **options):
            state, iterator = jax.device_put(trainer.state), loader.iterator()
            checkpoints = Checkpoints(run, 3)
            with contextlib.closing(checkpoints):
                restored = checkpoints.restore(state, iterator)
            MetricsLog(run, int(restored.state.step)).close()
            same = dataclasses.replace(config, output_dir="")
            position = iterator.get_state()
            found.extend([*_plain(restored), position, _plain(next(iterator)), repr(same)])
            return loop.Outcome(True, 0, 0)

        with (
            self.built(experiment),
            patch.object(loop, "build", lambda *_, **__: self._trainer),
            patch.object(loop, "train", restore),
        ):
            return reading(lambda: found if train.main(["--resume", str(run)]) == 0 else [])

    def evaluated(self, run: Path) -> Read:
        """What an evaluation takes from a copy of the run folder."""

        def load() -> list:
            found = trained.load_run(run)
            baseline = found.baseline.log_ratio if found.baseline else None
            return _plain((found.params, found.scaling, baseline, repr(found.config)))

        with self.built(trained):
            return reading(load)

    def built(self, module: ModuleType) -> AbstractContextManager:
        """A module that builds the network of this run, whatever is asked for."""
        return patch.object(module, "build", lambda *_: self._model)


@functools.cache
def shared() -> "WholeRun":
    """One for all kinds of trials in this process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return WholeRun(folder)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Nothing is printed; standard error is what is yielded."""
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        yield error


def reading(function: Callable[[], list]) -> Read:
    """What a function returns, says or refuses."""
    with quiet() as error:
        try:
            return Read(function(), error.getvalue())
        except InputError as refusal:
            return Read(None, str(refusal))
        except Exception as fault:
            return Read(None, error.getvalue(), f"{type(fault).__name__}: {fault}")


def copied(folder: Path, place: Path) -> Path:
    """A copy of a folder in place of an earlier one."""
    shutil.rmtree(place, ignore_errors=True)
    return shutil.copytree(folder, place)


def _plain(tree: Any) -> list:
    """Leaves that can be compared bit by bit."""
    leaves = jax.tree.leaves(tree)
    return [x.tobytes() if hasattr(x, "tobytes") else np.asarray(x).tolist() for x in leaves]
