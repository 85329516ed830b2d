"""The training loop: batches, steps, validation, logs and checkpoints of one run."""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from maskformer_jax import optimisers
from maskformer_jax.build import Model
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.progress import COMPILING, stage
from maskformer_jax.tasks.task import Task
from maskformer_jax.training import interactions, method, state, step, validation
from maskformer_jax.training.batches import used_parts
from maskformer_jax.training.checkpoint import Checkpoints, Progress
from maskformer_jax.training.interactions import Measures, Recorder
from maskformer_jax.training.logging import MetricsLog
from maskformer_jax.training.progress import Dispatched, ProgressBar, Reporter, StopSignals
from maskformer_jax.training.warm_start import frozen
from maskformer_jax.types import Batch, Labels


class Loader(Protocol):
    """Endless training batches in a reproducible order, in parts."""

    steps_per_epoch: int
    jets_per_epoch: int

    def iterator(self) -> Any:
        """A grain iterator over (Batch, Labels) whose position can be saved."""


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

    losses: tuple[str, ...]
    tasks: list[Task]
    state: state.TrainState
    step: step.Step
    validate: Callable[[Any, Iterable[tuple[Batch, Labels]]], Mapping[str, float]]
    nonfinite_losses: Callable[[Any, Batch, Labels], list[str]]
    measures: Measures | None = None


def build(config: Config, model: Model, total_steps: int, *, spread: int | None = None) -> Trainer:
    """Network, losses, weighting and optimiser put together, as the configuration says.

    Args:
        config: the configuration.
        model: network and losses.
        total_steps: of the training.
        spread: parts that the loader spreads a batch over, `Layout.spread`; none: not known, which
            makes `weighting.gramian_fraction` dearer.

    Raises:
        InputError: one of the method's options is wrong, the quantity to monitor is unknown, or
            there are fewer devices than asked for.
    """
    settings = config.training
    validation.monitored(settings.monitor, model.tasks)
    _placement(settings.devices)
    optimise, schedule = optimisers.build(
        settings.optimiser, settings.schedule, settings.max_gradient_norm, total_steps
    )
    weighting = method.build(config, model, optimise, total_steps // settings.epochs)
    optimise = frozen(optimise, model.params, settings.freeze)
    train_step = step.build(
        model.apply,
        model.terms,
        weighting,
        optimise,
        schedule,
        seed=settings.seed,
        dropout=step.has_dropout(config.model),
        backward=settings.backward,
        spread=spread,
    )
    sums = validation.build(model)

    @partial(jax.jit, static_argnums=0)
    def is_finite(number: int, params, batch: Batch, labels: Labels):
        # One loss at a time: in a joint backward pass 0 * inf of one would be a NaN in all.
        loss, gradient = jax.value_and_grad(
            lambda p: model.terms(model.apply(p, batch), batch, labels)[number].mean()
        )(params)
        return jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradient))

    def nonfinite_losses(params, batch: Batch, labels: Labels) -> list[str]:
        return [
            name
            for number, name in enumerate(model.losses)
            if not all(is_finite(number, params, *part) for part in used_parts(batch, labels))
        ]

    return Trainer(
        losses=model.losses,
        tasks=model.tasks,
        state=state.create(model.params, weighting.method, optimise, len(model.losses)),
        step=train_step,
        validate=lambda params, batches: validation.validate(model, sums, params, batches),
        nonfinite_losses=nonfinite_losses,
        measures=interactions.build(config, model),
    )


def train(
    config: Config,
    run: Path,
    trainer: Trainer,
    loader: Loader,
    validation_batches: Callable[[], Iterable[tuple[Batch, Labels]]],
    *,
    resume: bool = False,
    at_epoch_end: Callable[[bool], None] = lambda is_last: None,
) -> Outcome:
    """Trains until the last epoch, or until SIGTERM or Ctrl-C, which save before they stop.

    The metrics of a step are fetched only after the next one has been dispatched, so the device
    never waits for the log.

    Args:
        config: `config.training` is read.
        run: the run folder.
        trainer: the compiled pieces.
        loader: training batches, in parts.
        validation_batches: called at the end of each epoch; batches without an axis of parts.
        resume: continue from the latest good checkpoint of the run folder, or from the start if
            the run was killed before its first.
        at_epoch_end: is called when an epoch has been logged and saved, with whether it is the
            last.

    Raises:
        FloatingPointError: a loss or gradient was not finite, and the batch is in the run folder;
            or a number of the validation, after the last epoch.
        InputError: a file turned out to be bad, or a checkpoint can't be read or written.
    """
    settings = config.training
    place_state, place_rows, place_parts = _placement(settings.devices)
    current, iterator = jax.device_put(trainer.state, place_state), loader.iterator()
    checkpoints = Checkpoints(run, settings.keep_checkpoints)
    progress = Progress()
    if resume and not checkpoints.is_empty():
        current, progress = checkpoints.restore(current, iterator)
    start, per_epoch = int(current.step), loader.steps_per_epoch
    total, saved = settings.epochs * per_epoch, start
    monitor = validation.monitored(settings.monitor, trainer.tasks)
    if start == total:
        print(f"{run} is already finished")
    jets_done = round(start / per_epoch * loader.jets_per_epoch)
    log = MetricsLog(run, start)
    recorder = Recorder(
        *(trainer.step, trainer.measures, trainer.losses, run, start),
        settings.record_interactions,
    )

    def save(is_best: bool) -> None:
        checkpoints.save(current, iterator, progress, is_best=is_best)

    with (
        StopSignals() as stop,
        ProgressBar(settings.epochs * loader.jets_per_epoch, jets_done) as bar,
        contextlib.closing(log),
        contextlib.closing(checkpoints),
    ):
        report = Reporter(run, log, bar, settings.log_every, trainer)
        for number in range(start + 1, total + 1):
            try:
                batch, labels = next(iterator)
            except InputError:
                report.flush(current.params)
                if saved < number - 1:
                    save(is_best=False)
                raise
            jets = int(batch.jet_valid.sum())
            batch, labels = jax.device_put((batch, labels), place_parts)
            with stage(COMPILING) if number == start + 1 else contextlib.nullcontext():
                current, metrics = recorder.step(number, current, batch, labels)
            report.dispatched(Dispatched(number, metrics, batch, labels, jets), current.params)
            epoch_end = number % per_epoch == 0
            due = settings.checkpoint_every and number % settings.checkpoint_every == 0
            if not (epoch_end or due or stop.received):
                continue
            report.flush(current.params)
            is_best = False
            if epoch_end:
                try:
                    placed = (jax.device_put(x, place_rows) for x in validation_batches())
                    values = trainer.validate(current.params, placed)
                except InputError:
                    save(is_best=False)
                    raise
                epoch = number // per_epoch
                log.write(number, {"epoch": epoch, **values})
                bar.show_validation(epoch, values)
                if bar.warn_of_nonfinite(epoch, values):
                    progress = progress._replace(nonfinite=(*progress.nonfinite, epoch))
                # What nothing could be counted for is no best.
                value = values.get(monitor, math.nan)
                is_best = validation.is_better(monitor, value, progress.best)
                if is_best:
                    progress = progress._replace(best=value, best_step=number)
            save(is_best)
            saved = number
            if epoch_end:
                at_epoch_end(number == total)
            if stop.received and number < total:
                return Outcome(finished=False, signal=stop.received, step=number)
    if progress.nonfinite:
        epochs = ", ".join(map(str, progress.nonfinite))
        raise FloatingPointError(f"a number of the validation was not finite after epoch {epochs}")
    return Outcome(finished=True, signal=0, step=total)


def _placement(devices: int) -> tuple[NamedSharding, NamedSharding, NamedSharding]:
    """Where the state (everywhere) and the rows of a batch, or of its parts, go (shared out)."""
    available = jax.local_devices()
    if devices > len(available):
        raise InputError(
            f"`training.devices` must be at most {len(available)}, the number of local "
            f"{available[0].platform} devices; got {devices}"
        )
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=available[:devices]
    )
    everywhere, rows, parts = PartitionSpec(), PartitionSpec("data"), PartitionSpec(None, "data")
    return tuple(NamedSharding(mesh, spec) for spec in (everywhere, rows, parts))
