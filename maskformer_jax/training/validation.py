"""Losses and quick figures of merit over a whole validation file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from maskformer_jax.build import Model
from maskformer_jax.errors import known
from maskformer_jax.gradients import LossSums, stacked
from maskformer_jax.tasks.task import Sums, Task
from maskformer_jax.types import Batch, Labels


class ValidationSums(NamedTuple):
    """What adds up over batches.

    Attributes:
        losses: sums of the losses.
        counts: task -> what its figures are made of.
    """

    losses: LossSums
    counts: Mapping[str, Sums]


Validate = Callable[[PyTree, Batch, Labels], ValidationSums]


def build(model: Model) -> Validate:
    """`sums(params, batch, labels)`, jitted."""

    @jax.jit
    def sums(params: PyTree, batch: Batch, labels: Labels) -> ValidationSums:
        outputs = model.apply(params, batch)
        return ValidationSums(
            stacked(model.terms(outputs, batch, labels)),
            {task.name: task.count(outputs[task.name], batch, labels) for task in model.tasks},
        )

    return sums


def validate(
    model: Model, sums: Validate, params: PyTree, batches: Iterable[tuple[Batch, Labels]]
) -> dict[str, float]:
    """Losses and figures over all batches by key of the log.

    What nothing could be counted for is left out.
    """
    total = None
    for batch, labels in batches:
        part = sums(params, batch, labels)
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    losses, there, counts = jax.device_get(
        (total.losses.mean(), total.losses.count != 0, total.counts)
    )
    found = zip(model.losses, losses, there, strict=True)
    values = {f"val/loss/{name}": float(loss) for name, loss, counted in found if counted}
    for task in model.tasks:
        found = task.figures(jax.tree.map(np.asarray, counts[task.name]))
        values |= {f"val/{name}": float(value) for name, value in found.items()}
    return values


def monitored(monitor: str | None, tasks: Sequence[Task]) -> str:
    """The quantity that marks the best checkpoint; none: the first loss.

    Raises:
        InputError: there is none of this name.
    """
    names = [f"val/loss/{loss}" for task in tasks for loss in task.losses]
    if monitor is None:
        return names[0]
    names += [f"val/{quantity}" for task in tasks for quantity in task.quantities]
    known(monitor, names, "quantity (`training.monitor`)")
    return monitor


def is_better(monitor: str, value: float, best: float | None) -> bool:
    """Whether a value is the best so far; losses and errors go down, others up; NaN is none."""
    if not np.isfinite(value):
        return False
    if best is None:
        return True
    falls = monitor.startswith(("val/loss/", "val/error/"))
    return value < best if falls else value > best
