"""Optimisers and schedules of the learning rate by name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import optax
import optax.contrib

from maskformer_jax.configuration import chosen_by
from maskformer_jax.errors import check, check_fraction


@dataclass(frozen=True)
class AdamWConfig:
    """Adam with decoupled weight decay, arXiv 1711.05101.

    Attributes:
        weight_decay: in units of the learning rate.
        b1: decay of the mean of the gradients.
        b2: decay of the mean of their squares.
        eps: added to the root of that mean.
    """

    weight_decay: float = 1e-5
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        check(self.weight_decay >= 0, "weight_decay", "be at least 0", self.weight_decay)
        check_fraction(self, "b1", "b2")
        check(self.eps > 0, "eps", "be positive", self.eps)


@dataclass(frozen=True)
class MuonConfig:
    """Muon for matrices, with updates of the size of Adam's; NAdamW for all else.

    Momentum, made orthogonal by Newton-Schulz iterations: Jordan et al. (2024); the size of the
    updates: arXiv 2502.16982, equation 4.

    Attributes:
        weight_decay: in units of the learning rate.
        beta: decay of the mean of the gradients of matrices.
        b1: as of AdamW.
        b2: as of AdamW.
        rms: root of the mean square of an update of a matrix, in units of the learning rate.
    """

    weight_decay: float = 1e-5
    beta: float = 0.95
    b1: float = 0.9
    b2: float = 0.999
    rms: float = 0.2

    def __post_init__(self):
        check(self.weight_decay >= 0, "weight_decay", "be at least 0", self.weight_decay)
        check_fraction(self, "beta", "b1", "b2")
        check(self.rms > 0, "rms", "be positive", self.rms)


@dataclass(frozen=True)
class OneCycleConfig:
    """A cosine up to the peak, then a cosine down to the end; arXiv 1708.07120.

    Attributes:
        initial: rate at the first step.
        peak: highest rate.
        final: rate at the last step.
        warmup_fraction: fraction of the steps before the peak.
    """

    initial: float = 1e-7
    peak: float = 5e-4
    final: float = 1e-5
    warmup_fraction: float = 0.05

    def __post_init__(self):
        for rate in ("initial", "final"):
            value = getattr(self, rate)
            rule = f"be positive and at most `peak` = {self.peak}"
            check(0 < value <= self.peak, rate, rule, value)
        value = self.warmup_fraction
        check(0 < value < 1, "warmup_fraction", "be between 0 and 1", value)


@dataclass(frozen=True)
class CosineConfig:
    """A linear rise, then a cosine down to the end; arXiv 1608.03983 without restarts.

    Attributes:
        peak: highest rate.
        final: rate at the last step.
        warmup_fraction: fraction of the steps before the peak; 0: none.
    """

    peak: float = 5e-4
    final: float = 0.0
    warmup_fraction: float = 0.0

    def __post_init__(self):
        check(self.peak > 0, "peak", "be positive", self.peak)
        in_range = 0 <= self.final <= self.peak
        check(in_range, "final", f"be between 0 and `peak` = {self.peak}", self.final)
        check_fraction(self, "warmup_fraction")


@dataclass(frozen=True)
class ConstantConfig:
    """The same rate at every step.

    Attributes:
        rate: of every step.
    """

    rate: float = 1e-3

    def __post_init__(self):
        check(self.rate > 0, "rate", "be positive", self.rate)


def one_cycle(steps: int, options: OneCycleConfig) -> optax.Schedule:
    """Learning rate of each of so many steps; the last one has the final rate."""
    last = max(steps - 1, 1)
    warmup = min(max(round(options.warmup_fraction * steps), 1), last)
    if warmup == last:  # two steps have no room for a peak
        boundaries = {last: options.final / options.initial}
    else:
        boundaries = {warmup: options.peak / options.initial, last: options.final / options.peak}
    return optax.schedules.piecewise_interpolate_schedule("cosine", options.initial, boundaries)


def cosine(steps: int, options: CosineConfig) -> optax.Schedule:
    """Likewise."""
    last = max(steps - 1, 1)
    warmup = round(options.warmup_fraction * steps)
    return optax.schedules.warmup_cosine_decay_schedule(
        options.peak if warmup == 0 else 0.0,
        options.peak,
        warmup,
        max(last, warmup + 1),
        options.final,
    )


def constant(steps: int, options: ConstantConfig) -> optax.Schedule:
    """Likewise."""
    del steps
    return optax.schedules.constant_schedule(options.rate)


def adamw(rate: optax.Schedule, options: AdamWConfig) -> optax.GradientTransformation:
    """AdamW with this learning rate."""
    return optax.adamw(rate, options.b1, options.b2, options.eps, weight_decay=options.weight_decay)


def muon(rate: optax.Schedule, options: MuonConfig) -> optax.GradientTransformation:
    """Muon with this learning rate, which is AdamW's too."""
    return optax.contrib.muon(
        rate,
        beta=options.beta,
        weight_decay=options.weight_decay,
        adam_b1=options.b1,
        adam_b2=options.b2,
        adam_weight_decay=options.weight_decay,
        consistent_rms=options.rms,
    )


class Choice(NamedTuple):
    """An entry of a table.

    Attributes:
        options: frozen dataclass of its options.
        build: makes it.
    """

    options: type
    build: Callable[..., Any]


OPTIMISERS = {"adamw": Choice(AdamWConfig, adamw), "muon": Choice(MuonConfig, muon)}
SCHEDULES = {
    "one_cycle": Choice(OneCycleConfig, one_cycle),
    "cosine": Choice(CosineConfig, cosine),
    "constant": Choice(ConstantConfig, constant),
}


@dataclass(frozen=True)
class OptimiserConfig:
    """What turns the combined gradient into an update.

    Attributes:
        name: an entry of `OPTIMISERS`.
        options: its options.
    """

    name: str = "adamw"
    options: object = field(
        default_factory=AdamWConfig, metadata=chosen_by("name", "optimisers", options=True)
    )


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate of each step.

    Attributes:
        name: an entry of `SCHEDULES`.
        options: its options.
    """

    name: str = "one_cycle"
    options: object = field(
        default_factory=OneCycleConfig, metadata=chosen_by("name", "schedules", options=True)
    )


def build(
    optimiser: OptimiserConfig,
    schedule: ScheduleConfig,
    max_gradient_norm: float | None,
    steps: int,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimiser that follows the task weighting, and its learning rate for the log.

    Args:
        optimiser: its name and options.
        schedule: of the learning rate.
        max_gradient_norm: the gradient is clipped to this global norm; none: no clipping.
        steps: number of steps of the whole training.
    """
    rate = SCHEDULES[schedule.name].build(steps, schedule.options)
    update = OPTIMISERS[optimiser.name].build(rate, optimiser.options)
    if max_gradient_norm is None:
        return update, rate
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), update), rate
