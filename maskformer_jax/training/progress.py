"""What a running training shows: the terminal, the log, and the stop at the first bad number."""

import itertools
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import PyTree
from numpy.typing import ArrayLike

from maskformer_jax.files import writing
from maskformer_jax.program import first_signal
from maskformer_jax.progress import bar
from maskformer_jax.training.logging import MetricsLog
from maskformer_jax.training.step import StepMetrics
from maskformer_jax.types import Batch, Labels

# Columns that a bar takes, without what is behind it.
BESIDE = 64


class Describes(Protocol):
    """What a reporter has to know of a training."""

    losses: tuple[str, ...]
    nonfinite_losses: Callable[[PyTree, Batch, Labels], list[str]]


class Dispatched(NamedTuple):
    """A step that the device has been told to make.

    Attributes:
        number: of the step, from 1.
        metrics: still being computed, perhaps.
        batch: what it is made with.
        labels: the same.
        jets: real jets of the batch.
    """

    number: int
    metrics: StepMetrics
    batch: Batch
    labels: Labels
    jets: int


class Reporter:
    """Shows and logs steps, one behind the device, and stops at the first that is not finite.

    Args:
        run: the run folder.
        log: where numbers go.
        bar: what the terminal shows.
        every: steps between lines of the log.
        training: the names of its losses, and which of them have a gradient that is not finite.
    """

    def __init__(
        self,
        run: Path,
        log: MetricsLog,
        bar: "ProgressBar",
        every: int,
        training: Describes,
    ):
        self._run, self._log, self._bar, self._every = run, log, bar, every
        self._training = training
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
            values = self._values(step.metrics)
            self._log.write(step.number, values)
            self._bar.show_losses(values["loss/total"], self._losses(step.metrics))

    def _values(self, metrics: StepMetrics) -> dict[str, float]:
        losses, weights = np.asarray(metrics.losses), np.asarray(metrics.weights)
        named = {"loss": self._losses(metrics), "weight": self._by_loss(weights)}
        values = {
            f"{kind}/{x}": value for kind, found in named.items() for x, value in found.items()
        }
        values["loss/total"] = float(weights @ losses)
        if metrics.gramian is not None:
            values |= _angles(np.asarray(metrics.gramian), self._training.losses)
        if metrics.residual is not None:
            values["weighting_residual"] = float(metrics.residual)
        values["gradient_norm"] = float(metrics.gradient_norm)
        values["learning_rate"] = float(metrics.learning_rate)
        return values | self._bar.pace()._asdict()

    def _losses(self, metrics: StepMetrics) -> dict[str, float]:
        """Those that something was counted for."""
        found = zip(self._by_loss(metrics.losses).items(), metrics.counted, strict=True)
        return dict(pair for pair, counted in found if counted)

    def _by_loss(self, values: ArrayLike) -> dict[str, float]:
        values = np.asarray(values).tolist()
        return dict(zip(self._training.losses, values, strict=True))

    def _stop(self, step: Dispatched, params: PyTree) -> None:
        finite = np.isfinite(step.metrics.losses)
        what = "loss"
        bad = [name for name, good in self._by_loss(finite).items() if not good]
        if not bad:
            what = "gradient"
            bad = self._training.nonfinite_losses(params, step.batch, step.labels)
        if not bad:
            what = "weight"
            finite = np.isfinite(step.metrics.weights)
            bad = [name for name, good in self._by_loss(finite).items() if not good]
        path = self._run / "nonfinite_batch.npz"
        leaves = jax.tree_util.tree_leaves_with_path({**step.batch._asdict(), **step.labels})
        with writing(path):
            np.savez(path, **{_name(path): jax.device_get(leaf) for path, leaf in leaves})
        raise FloatingPointError(
            f"the {what} of {', '.join(bad) or 'the update'} is not finite at step "
            f"{step.number}; the batch is in {path}"
        )


def _name(path: tuple) -> str:
    """Of a leaf of a batch or its labels: `streams.tracks.values`."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _angles(gramian: np.ndarray, losses: Sequence[str]) -> dict[str, float]:
    """Length of the gradient of every loss and cosine of every pair of which none is zero."""
    norms = np.sqrt(np.maximum(gramian.diagonal().astype(float), 0.0))
    values = {f"gradient_norm/{name}": float(x) for name, x in zip(losses, norms, strict=True)}
    for (i, a), (j, b) in itertools.combinations(enumerate(losses), 2):
        if norms[i] * norms[j] > 0:
            values[f"cosine/{a}/{b}"] = float(gramian[i, j] / (norms[i] * norms[j]))
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
        # It is shown at the first step, which waits for compilation.
        # In the log of a batch system it leaves standard error to what goes wrong.
        place = sys.stderr if sys.stderr.isatty() else sys.stdout
        options = {"disable": done >= jets, "file": place, "initial": done, "delay": 1e-9}
        self._bar = bar(jets, "jets", **options)
        self._begun = False
        self._since, self._cpu, self._jets = time.perf_counter(), time.process_time(), 0

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def advance(self, jets: int) -> None:
        """Counts the jets of a step, but not the time of the first."""
        if not self._begun:
            self._bar.unpause()
            self._begun = True
        self._bar.update(jets)
        self._jets += jets

    def pace(self) -> "Pace":
        """Of the steps since the last call."""
        now, cpu = time.perf_counter(), time.process_time()
        rate = self._jets / max(now - self._since, 1e-9)
        cost = 1000 * (cpu - self._cpu) / max(self._jets, 1)
        self._since, self._cpu, self._jets = now, cpu, 0
        return Pace(rate, cost)

    def show_losses(self, total: float, losses: Mapping[str, float]) -> None:
        """Puts their weighted sum behind the bar, and as many losses as there is room for."""
        text, room = f"loss {total:.4g}", shutil.get_terminal_size().columns - BESIDE
        for name, value in losses.items():
            longer = f"{text}, {name} {value:.3g}"
            if len(longer) > room:
                break
            text = longer
        self._bar.set_postfix_str(text, refresh=False)

    def show_validation(self, epoch: int, values: Mapping[str, float]) -> None:
        """Prints a line above the bar."""
        words = [
            f"{name.removeprefix('val/').replace('/', ' ').removeprefix('loss ')} {value:.3f}"
            for name, value in values.items()
            if name.startswith(("val/loss/", "val/accuracy/"))
        ]
        # A name and its number stay together.
        text = "  ".join(word.replace(" ", "\N{NO-BREAK SPACE}") for word in words)
        start, width = f"epoch {epoch:3d}  validation  ", shutil.get_terminal_size().columns
        whole = {"break_long_words": False, "subsequent_indent": " " * len(start)}
        lines = textwrap.wrap(text, width, initial_indent=start, **whole)
        self._bar.write("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "))

    def warn_of_nonfinite(self, epoch: int, values: Mapping[str, float]) -> bool:
        """Prints a line on standard error if a value is not finite, and says whether it did."""
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            text = f"warning: not finite after epoch {epoch}, and not logged: {', '.join(bad)}"
            self._bar.write(text, file=sys.stderr)
        return bool(bad)


class StopSignals:
    """Remembers the first SIGTERM or Ctrl-C; a second one is no longer caught.

    Attributes:
        received: its number, 0 before it came.
    """

    def __enter__(self) -> "StopSignals":
        self.received = 0
        self._block = first_signal(self._note)
        self._block.__enter__()
        return self

    def _note(self, number: int) -> None:
        self.received = number

    def __exit__(self, *exception: object) -> None:
        self._block.__exit__(*exception)
