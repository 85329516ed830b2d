"""Weighting, optimiser, schedule, checkpoints and logs of a training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.configuration import chosen_by
from maskformer_jax.errors import check, check_range
from maskformer_jax.optimisers import OptimiserConfig, ScheduleConfig

# What is above was not meant.
MAX_EPOCHS, MAX_POINTS = 100_000, 1_000


@dataclass(frozen=True)
class WeightingConfig:
    """The task weighting: an entry of `weighting.METHODS`.

    Attributes:
        name: the method.
        options: keyword arguments of its factory, those that are one value per loss by the name of
            the loss; for a method on gradients also `granularity`, `normalise`, `preference` and
            `own_weights`.
        shared: parameters over which gradients are compared: those `reached` by at least two
            losses, those of the `encoder`, which every loss reaches, or `all`. The others get the
            gradient of their only loss.
        every: renew the weights of a method on the Gramian every so many steps.
        gramian_fraction: fraction of the batch whose gradients make the Gramian, rounded to whole
            rows, of the first parts of the batch.
        at: compare gradients with respect to the shared `parameters`, or to the `representation`
            that all losses share, which spares the encoder (MGDA-UB).
    """

    name: str = "equal"
    options: dict[str, object] = field(
        default_factory=dict, metadata=chosen_by("name", "methods", options=True)
    )
    shared: Literal["reached", "encoder", "all"] = "reached"
    every: int = 1
    gramian_fraction: float = 1.0
    at: Literal["parameters", "representation"] = "parameters"

    def __post_init__(self):
        check_range(self, 1, math.inf, "every")
        fraction = self.gramian_fraction
        rule = "be above 0 and at most 1"
        check(0 < fraction <= 1, "gramian_fraction", rule, fraction)
        weights = self.options.get("weights")
        if isinstance(weights, Mapping):
            bad = [x for x in weights.values() if not x >= 0]
            check(not bad, "options.weights", "hold values that are not negative", weights)


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser, schedule, checkpoints and logs; Section 4.3.3 of the thesis.

    Attributes:
        epochs: passes over the training file.
        batch_size: jets of one step, over all devices.
        seed: seed of the parameters, the order of the jets and the dropout.
        devices: local devices that share a batch.
        pack: put several jets into a row, so that the arithmetic follows the number of real
            constituents; False: a row for each jet, padded. The same up to rounding, but for the
            draws of the dropout and the rows of `weighting.gramian_fraction`.
        micro_batches: parts of a batch whose gradients are added up one after the other, which
            saves memory; none: as many as fit the cache of a CPU best, and one on accelerators.
            The same as with `pack` holds.
        backward: gradients of several losses by `vmap` at once, or by `map` in less memory.
        optimiser: what turns the combined gradient into an update.
        schedule: learning rate of each step.
        init_from: run whose parameters the training begins with, where names and shapes fit, and
            whose scaling of the same inputs it keeps; none: all are drawn.
        freeze: parameters that stay as they are, by the beginning of their path: `encoder`,
            `embedding.tracks`, `heads.jet_class`.
        max_gradient_norm: clip the update's gradient to this global norm; none: no clipping.
        monitor: validation quantity whose minimum (a loss or an error) or maximum (anything else)
            marks the best checkpoint, a key of the log that starts with `val/`; none: the first
            loss.
        checkpoint_every: steps between checkpoints within an epoch; none: at its end only.
        keep_checkpoints: number of latest checkpoints that are kept, beside the best.
        log_every: steps between lines of the log.
        record_interactions: steps between records of how the gradients of the losses lie to each
            other (`interactions.jsonl`), for any weighting; none: no records.
        record_curvature: add the curvature along the update (Eq. 3.6) to these records, by a
            trapezoid rule with so many points; none: no curvature.
    """

    epochs: int = 20
    batch_size: int = 500
    seed: int = 0
    devices: int = 1
    pack: bool = True
    micro_batches: int | None = None
    backward: Literal["vmap", "map"] = "vmap"
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    init_from: str | None = None
    freeze: list[str] = field(default_factory=list)
    max_gradient_norm: float | None = None
    monitor: str | None = None
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    log_every: int = 50
    record_interactions: int | None = None
    record_curvature: int | None = None

    def __post_init__(self):
        check_range(self, 1, MAX_EPOCHS, "epochs")
        counts = ("batch_size", "devices", "micro_batches", "checkpoint_every", "keep_checkpoints")
        check_range(self, 1, math.inf, *counts, "log_every", "record_interactions")
        check_range(self, 0, math.inf, "seed")
        clip = self.max_gradient_norm
        check(clip is None or clip > 0, "max_gradient_norm", "be positive", clip)
        points, name = self.record_curvature, "record_curvature"
        check_range(self, 2, MAX_POINTS, name)
        check(
            points is None or self.record_interactions is not None,
            "record_interactions",
            f"be given when `{name}` is set",
            self.record_interactions,
        )
        parts = self.devices * (self.micro_batches or 1)
        check(
            self.batch_size % parts == 0,
            "batch_size",
            f"be a multiple of `devices` times `micro_batches`, which is {parts}",
            self.batch_size,
        )
        good = self.monitor is None or self.monitor.startswith("val/")
        check(good, "monitor", "start with `val/`", self.monitor)
