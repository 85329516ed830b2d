"""The training loop: batches, steps, validation, logs and checkpoints of one run."""

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tqdm import tqdm

from maskformer_jax import tasks
from maskformer_jax.config import Config, WeightingConfig
from maskformer_jax.errors import InputError
from maskformer_jax.model import maskformer
from maskformer_jax.tasks import TASK_NAMES
from maskformer_jax.training import optimiser, state, step, task_gradients, validation
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.logging import MetricsLog
from maskformer_jax.types import Batch, Targets
from maskformer_jax.weighting import METHODS, Method


class Loader(Protocol):
    """Endless training batches in a reproducible order."""

    steps_per_epoch: int
    jets_per_epoch: int

    def iterator(self) -> Any:
        """A grain iterator over (Batch, Targets) whose position can be saved."""


class Outcome(NamedTuple):
    """How a training ended.

    Attributes:
        finished: False if a signal stopped it before the last step.
        signal: the number of that signal, 0 otherwise.
        step: number of steps made.
    """

    finished: bool
    signal: int
    step: int


class Trainer(NamedTuple):
    """The compiled pieces of a run and its state before the first step."""

    state: state.TrainState
    step: step.Step
    validate: Callable[[Any, Iterable[tuple[Batch, Targets]]], Mapping[str, float]]
    nonfinite_tasks: Callable[[Any, Batch, Targets], list[str]]


def build(
    config: Config,
    total_steps: int,
    class_weights: Mapping[str, np.ndarray] | None = None,
) -> Trainer:
    """Model, losses, weighting and optimiser put together, as the configuration says.

    Raises:
        InputError: the weighting method or one of its options is wrong, or the quantity to
            monitor is unknown.
    """
    if config.training.monitor not in validation.QUANTITIES:
        raise InputError(
            f"`training.monitor` must be one of {', '.join(validation.QUANTITIES)}; got "
            f"{config.training.monitor!r}"
        )
    entry = find_method(config.weighting)
    try:
        method = entry(len(TASK_NAMES), **config.weighting.options)
    except (TypeError, ValueError) as error:
        raise InputError(f"`weighting.options` of {config.weighting.name}: {error}") from error
    apply, params = maskformer.build(config, config.training.seed)
    loss_sums = tasks.build_losses(config, class_weights)
    optimise, schedule = optimiser.build(config.training, total_steps)
    train_step = step.build(
        apply,
        loss_sums,
        method,
        optimise,
        schedule,
        scalarise=entry.family == "loss",
        seed=config.training.seed,
        dropout=config.model.dropout > 0,
    )
    sums = validation.build(apply, loss_sums, tasks.build_match(config))

    @jax.jit
    def finite_tasks(params, batch, targets):
        return task_gradients.finite_tasks(
            lambda p: loss_sums(apply(p, batch), batch, targets).mean(), params
        )

    def nonfinite_tasks(params, batch: Batch, targets: Targets) -> list[str]:
        finite = np.asarray(finite_tasks(params, batch, targets))
        return [name for name, good in zip(TASK_NAMES, finite, strict=True) if not good]

    return Trainer(
        state=state.create(params, method, optimise),
        step=train_step,
        validate=lambda params, batches: validation.validate(sums, params, batches),
        nonfinite_tasks=nonfinite_tasks,
    )


def find_method(weighting: WeightingConfig) -> Method:
    """The entry of `METHODS`, or an InputError that lists the known names."""
    if weighting.name not in METHODS:
        raise InputError(
            f"`weighting.name` must be one of {', '.join(METHODS)}; got {weighting.name!r}"
        )
    return METHODS[weighting.name]


def train(
    config: Config,
    run: Path,
    trainer: Trainer,
    loader: Loader,
    validation_batches: Callable[[], Iterable[tuple[Batch, Targets]]],
    *,
    resume: bool = False,
) -> Outcome:
    """Trains until the last epoch, or until SIGTERM or Ctrl-C, which save before they stop.

    The metrics of a step are fetched only after the next one has been dispatched, so the device
    never waits for the log.

    Args:
        config: `config.training` is read.
        run: the run folder.
        trainer: the compiled pieces.
        loader: training batches.
        validation_batches: called at the end of each epoch.
        resume: continue from the latest good checkpoint of the run folder.

    Raises:
        FloatingPointError: a loss or gradient was not finite; the batch is in the run folder.
        InputError: a file turned out to be bad, or a checkpoint can't be read or written.
    """
    settings = config.training
    place_state, place_batch = _placement(settings.devices)
    current, iterator = jax.device_put(trainer.state, place_state), loader.iterator()
    checkpoints = Checkpoints(run, settings.keep_checkpoints)
    best = None
    if resume:
        current, progress = checkpoints.restore(current, iterator)
        best = progress["best"]
    start, total = int(current.step), settings.epochs * loader.steps_per_epoch
    log = MetricsLog(run, start)
    sign = 1.0 if settings.monitor.startswith("val/loss/") else -1.0
    saved_step = start

    def save(is_best: bool) -> None:
        nonlocal saved_step
        checkpoints.save(current, iterator, {"best": best}, is_best=is_best)
        saved_step = int(current.step)

    with (
        _StopSignals() as stop,
        _ProgressBar(loader, start, settings.epochs) as progress_bar,
    ):
        pending = None
        try:
            for number in range(start + 1, total + 1):
                batch, targets = next(iterator)
                jets = int(batch.jet_valid.sum())
                placed = jax.device_put((batch, targets), place_batch)
                current, metrics = trainer.step(current, *placed)
                if pending is not None:
                    _report(*pending, trainer, current, log, progress_bar, run, settings.log_every)
                pending = (number, metrics, placed, jets)
                epoch_end = number % loader.steps_per_epoch == 0
                due = settings.checkpoint_every and number % settings.checkpoint_every == 0
                if not (epoch_end or due or stop.signal):
                    continue
                _report(*pending, trainer, current, log, progress_bar, run, settings.log_every)
                pending, is_best = None, False
                if epoch_end:
                    placed_batches = (
                        jax.device_put(pair, place_batch) for pair in validation_batches()
                    )
                    values = trainer.validate(current.params, placed_batches)
                    log.write(number, {"epoch": number // loader.steps_per_epoch, **values})
                    progress_bar.show_validation(number // loader.steps_per_epoch, values)
                    value = values[settings.monitor]
                    is_best = best is None or sign * value < sign * best
                    best = value if is_best else best
                save(is_best)
                if stop.signal and number < total:
                    return Outcome(finished=False, signal=stop.signal, step=number)
        except InputError:
            if pending is not None and saved_step < int(current.step) and bool(current.finite):
                save(False)
            raise
        finally:
            log.close()
            checkpoints.close()
    return Outcome(finished=True, signal=0, step=total)


def _placement(devices: int) -> tuple[NamedSharding, NamedSharding]:
    """Where the state (everywhere) and the batch (a share on each device) go."""
    available = jax.local_devices()
    if devices > len(available):
        raise InputError(
            f"`training.devices` must be at most {len(available)}, the number of local "
            f"{available[0].platform} devices; got {devices}"
        )
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=available[:devices]
    )
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))


def _report(number, metrics, placed, jets, trainer, current, log, bar, run, log_every) -> None:
    """Shows and logs a finished step; stops the run if it was not finite."""
    if not bool(metrics.finite):
        _stop_nonfinite(number, metrics, placed, trainer, current, run)
    bar.advance(jets)
    if number % log_every and number != 1:
        return
    losses, weights = np.asarray(metrics.losses), np.asarray(metrics.weights)
    values = {f"loss/{name}": float(x) for name, x in zip(TASK_NAMES, losses, strict=True)}
    values |= {f"weight/{name}": float(x) for name, x in zip(TASK_NAMES, weights, strict=True)}
    values["loss/total"] = float(weights @ losses)
    values["gradient_norm"] = float(metrics.gradient_norm)
    values["learning_rate"] = float(metrics.learning_rate)
    values["jets_per_second"] = bar.rate()
    log.write(number, values)
    bar.show_losses(losses)


def _stop_nonfinite(number, metrics, placed, trainer, current, run: Path) -> None:
    batch, targets = placed
    losses = np.asarray(metrics.losses)
    bad = [name for name, x in zip(TASK_NAMES, losses, strict=True) if not np.isfinite(x)]
    what = "loss"
    if not bad:
        what, bad = "gradient", trainer.nonfinite_tasks(current.params, batch, targets)
    path = run / "nonfinite_batch.npz"
    np.savez(path, **jax.device_get(batch._asdict()), **jax.device_get(targets._asdict()))
    raise FloatingPointError(
        f"the {what} of {', '.join(bad) or 'all tasks together'} is not finite at step {number}; "
        f"the batch is in {path}"
    )


class _StopSignals:
    """Remembers SIGTERM and SIGINT instead of dying; a second one is no longer caught."""

    def __enter__(self) -> "_StopSignals":
        self.signal = 0
        self._previous = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _note(self, number: int, frame: object) -> None:
        del frame
        self.signal = number
        self.__exit__()

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class _ProgressBar:
    """Jets seen, jets/s, time left and the latest losses on the terminal."""

    def __init__(self, loader: Loader, start: int, epochs: int):
        done, rest = divmod(start, loader.steps_per_epoch)
        self._bar = tqdm(
            total=epochs * loader.jets_per_epoch,
            initial=done * loader.jets_per_epoch
            + round(rest / loader.steps_per_epoch * loader.jets_per_epoch),
            unit="jet",
            unit_scale=True,
            dynamic_ncols=True,
            mininterval=1.0,
        )
        self._since, self._jets = time.perf_counter(), 0

    def __enter__(self) -> "_ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def advance(self, jets: int) -> None:
        """Counts the jets of a step."""
        self._bar.update(jets)
        self._jets += jets

    def rate(self) -> float:
        """Jets per second since the last call."""
        now = time.perf_counter()
        rate = self._jets / max(now - self._since, 1e-9)
        self._since, self._jets = now, 0
        return rate

    def show_losses(self, losses: np.ndarray) -> None:
        """Puts the six losses behind the bar."""
        names = ("jet", "origin", "object", "ce", "dice", "reg")
        text = " ".join(f"{name} {x:.3g}" for name, x in zip(names, losses, strict=True))
        self._bar.set_postfix_str(text, refresh=False)

    def show_validation(self, epoch: int, values: Mapping[str, float]) -> None:
        """Prints a line above the bar."""
        losses = " ".join(f"{name} {values[f'val/loss/{name}']:.3f}" for name in TASK_NAMES)
        accuracy = values["val/flavour_accuracy"]
        self._bar.write(f"epoch {epoch:3d}  validation: {losses}  accuracy {accuracy:.3f}")
