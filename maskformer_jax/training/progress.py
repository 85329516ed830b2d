"""What a running training shows: the terminal, the log, and the stop at the first bad number."""

import itertools
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree
from tqdm import tqdm

from maskformer_jax.tasks import TASK_NAMES
from maskformer_jax.training.logging import MetricsLog
from maskformer_jax.training.step import StepMetrics
from maskformer_jax.types import Batch, Targets

SHORT_NAMES = ("jet", "origin", "object", "ce", "dice", "reg")
NonfiniteTasks = Callable[[PyTree, Batch, Targets], list[str]]


class Dispatched(NamedTuple):
    """A step that the device has been told to make.

    Attributes:
        number: of the step, from 1.
        metrics: still being computed, perhaps.
        batch: what it is made with.
        targets: the same.
        jets: real jets of the batch.
    """

    number: int
    metrics: StepMetrics
    batch: Batch
    targets: Targets
    jets: int


class Reporter:
    """Shows and logs steps, one behind the device, and stops at the first that is not finite.

    Args:
        run: the run folder.
        log: where numbers go.
        bar: what the terminal shows.
        every: steps between lines of the log.
        nonfinite_tasks: names the tasks whose gradient is not finite.
    """

    def __init__(
        self,
        run: Path,
        log: MetricsLog,
        bar: "ProgressBar",
        every: int,
        nonfinite_tasks: NonfiniteTasks,
    ):
        self._run, self._log, self._bar, self._every = run, log, bar, every
        self._nonfinite_tasks = nonfinite_tasks
        self._pending: Dispatched | None = None

    def dispatched(self, step: Dispatched, params: PyTree) -> None:
        """Takes a step that was just dispatched and reports the one before it.

        Raises:
            FloatingPointError: that one was not finite.
        """
        self.flush(params)
        self._pending = step

    def flush(self, params: PyTree) -> None:
        """Reports the step that waits, if any.

        Raises:
            FloatingPointError: it was not finite.
        """
        step, self._pending = self._pending, None
        if step is None:
            return
        if not bool(step.metrics.finite):
            self._stop(step, params)
        self._bar.advance(step.jets)
        if step.number == 1 or step.number % self._every == 0:
            self._log.write(step.number, self._values(step.metrics))
            self._bar.show_losses(np.asarray(step.metrics.losses))

    def _values(self, metrics: StepMetrics) -> dict[str, float]:
        losses, weights = np.asarray(metrics.losses), np.asarray(metrics.weights)
        by_task = {"loss": losses, "weight": weights}
        values = {
            f"{kind}/{task}": float(value)
            for kind, array in by_task.items()
            for task, value in zip(TASK_NAMES, array, strict=True)
        }
        values["loss/total"] = float(weights @ losses)
        if metrics.gramian is not None:
            values |= _angles(np.asarray(metrics.gramian))
        if metrics.residual is not None:
            values["weighting_residual"] = float(metrics.residual)
        values["gradient_norm"] = float(metrics.gradient_norm)
        values["learning_rate"] = float(metrics.learning_rate)
        return values | self._bar.pace()._asdict()

    def _stop(self, step: Dispatched, params: PyTree) -> None:
        finite = np.isfinite(step.metrics.losses)
        what = "loss"
        bad = [name for name, good in zip(TASK_NAMES, finite, strict=True) if not good]
        if not bad:
            what, bad = "gradient", self._nonfinite_tasks(params, step.batch, step.targets)
        if not bad:
            what = "weight"
            finite = np.isfinite(step.metrics.weights)
            bad = [name for name, good in zip(TASK_NAMES, finite, strict=True) if not good]
        path = self._run / "nonfinite_batch.npz"
        arrays = {**step.batch._asdict(), **step.targets._asdict()}
        np.savez(path, **jax.device_get(arrays))
        raise FloatingPointError(
            f"the {what} of {', '.join(bad) or 'the update'} is not finite at step "
            f"{step.number}; the batch is in {path}"
        )


def _angles(gramian: np.ndarray) -> dict[str, float]:
    """Length of every task gradient and cosine of every pair; 0 for a gradient of zero."""
    norms = np.sqrt(np.maximum(gramian.diagonal().astype(float), 0.0))
    values = {f"gradient_norm/{task}": float(x) for task, x in zip(TASK_NAMES, norms, strict=True)}
    for (i, a), (j, b) in itertools.combinations(enumerate(TASK_NAMES), 2):
        size = norms[i] * norms[j]
        values[f"cosine/{a}/{b}"] = float(gramian[i, j] / size) if size > 0 else 0.0
    return values


class Pace(NamedTuple):
    """How fast a training is, with all that it does meanwhile.

    Attributes:
        jets_per_second: by the clock.
        cpu_ms_per_jet: time of this process on all its CPU cores, which other processes hardly
            change [ms].
    """

    jets_per_second: float
    cpu_ms_per_jet: float


class ProgressBar:
    """Jets seen, jets/s, time left and the latest losses on the terminal.

    Args:
        jets: of the whole training.
        done: jets of the steps made before.
    """

    def __init__(self, jets: int, done: int):
        self._bar = tqdm(
            total=jets,
            initial=done,
            unit="jet",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=1.0,
        )
        self._since, self._cpu, self._jets = time.perf_counter(), time.process_time(), 0

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def advance(self, jets: int) -> None:
        """Counts the jets of a step."""
        self._bar.update(jets)
        self._jets += jets

    def pace(self) -> "Pace":
        """Of the steps since the last call."""
        now, cpu = time.perf_counter(), time.process_time()
        rate = self._jets / max(now - self._since, 1e-9)
        cost = 1000 * (cpu - self._cpu) / max(self._jets, 1)
        self._since, self._cpu, self._jets = now, cpu, 0
        return Pace(rate, cost)

    def show_losses(self, losses: np.ndarray) -> None:
        """Puts the six losses behind the bar."""
        pairs = zip(SHORT_NAMES, losses, strict=True)
        self._bar.set_postfix_str(" ".join(f"{name} {x:.3g}" for name, x in pairs), refresh=False)

    def show_validation(self, epoch: int, values: Mapping[str, float]) -> None:
        """Prints a line above the bar."""
        names = zip(SHORT_NAMES, TASK_NAMES, strict=True)
        losses = "  ".join(f"{short} {values[f'val/loss/{task}']:.3f}" for short, task in names)
        accuracy = values["val/flavour_accuracy"]
        self._bar.write(f"epoch {epoch:3d}  validation  {losses}  flavour accuracy {accuracy:.3f}")


class StopSignals:
    """Remembers SIGTERM and SIGINT instead of dying; a second one is no longer caught."""

    def __enter__(self) -> "StopSignals":
        self.received = 0
        self._previous = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _note(self, number: int, frame: object) -> None:
        del frame
        self.received = number
        self.__exit__()

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
