"""Losses and quick figures of merit over a whole validation file."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from maskformer_jax.evaluation.classification import (
    Confusions,
    accuracy,
    confusions,
    object_metrics,
)
from maskformer_jax.tasks import TASK_NAMES, LossSums, Match, reorder
from maskformer_jax.types import Batch, Outputs, Targets

FIGURES = ("flavour_accuracy", "origin_accuracy", "object_efficiency", "object_purity")
QUANTITIES = (*(f"val/loss/{task}" for task in TASK_NAMES), *(f"val/{name}" for name in FIGURES))


class ValidationSums(NamedTuple):
    """What adds up over batches.

    Attributes:
        losses: sums of the six losses.
        confusions: of flavours, track origins and object classes.
    """

    losses: LossSums
    confusions: Confusions


Sums = Callable[[PyTree, Batch, Targets], ValidationSums]


def build(
    apply: Callable[..., Outputs],
    loss_sums: Callable[[Outputs, Batch, Targets], LossSums],
    match: Match,
) -> Sums:
    """`sums(params, batch, targets)`, jitted."""

    @jax.jit
    def sums(params: PyTree, batch: Batch, targets: Targets) -> ValidationSums:
        outputs = apply(params, batch)
        matched = reorder(outputs.objects, match(outputs.objects, batch, targets))
        return ValidationSums(
            loss_sums(outputs, batch, targets),
            confusions(
                outputs.jet_class_logits,
                outputs.origin_logits,
                matched.class_logits,
                batch,
                targets,
            ),
        )

    return sums


def validate(
    sums: Sums, params: PyTree, batches: Iterable[tuple[Batch, Targets]]
) -> Mapping[str, float]:
    """Every entry of `QUANTITIES` over all batches; NaN where nothing could be counted."""
    total = None
    for batch, targets in batches:
        part = sums(params, batch, targets)
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    counts = Confusions(*(np.asarray(x) for x in total.confusions))
    objects = object_metrics(counts.objects)
    figures = (
        accuracy(counts.flavour),
        accuracy(counts.track_origin),
        objects.efficiency,
        objects.purity,
    )
    values = [*np.asarray(total.losses.mean()), *(figure.value for figure in figures)]
    return {name: float(value) for name, value in zip(QUANTITIES, values, strict=True)}
