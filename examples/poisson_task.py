"""A kind of task of one's own: how many constituents of some classes a jet has.

    python -m examples.poisson_task --config examples/poisson_task.yaml

The file shows all that a kind needs: a frozen dataclass of options, a function that builds the
task, and an entry in the table of kinds. Reading, packing, weighting, checkpoints and the log
follow from what the task says of itself; nothing in the package changes.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maskformer_jax import tasks
from maskformer_jax.config import load
from maskformer_jax.data.schema import Needs
from maskformer_jax.errors import known
from maskformer_jax.experiment import train
from maskformer_jax.gradients import LossSums
from maskformer_jax.tasks.head import EntryHead
from maskformer_jax.tasks.task import Context, Kind, Task, label_of, weighted_sum
from maskformer_jax.types import Batch, Labels


@dataclass(frozen=True)
class PoissonConfig:
    """Number of constituents of some classes.

    Attributes:
        label: a label of a stream, with classes.
        classes: those that are counted.
        kind: of the task.
    """

    label: str
    classes: list[str]
    kind: Literal["poisson"] = "poisson"


def build(name: str, options: PoissonConfig, context: Context) -> Task:
    """The task: the logarithm of the mean of a Poisson distribution for every jet."""
    label = label_of(options.label, context, name)
    for chosen in options.classes:
        known(chosen, label.classes, f"class of `tasks.{name}.classes`")
    index = jnp.array([list(label.classes).index(chosen) for chosen in options.classes])

    def number(batch: Batch, labels: Labels) -> Float[Array, " B"]:
        own = batch.streams[label.of].jets_of_rows()
        counted = jnp.isin(labels[options.label], index)
        return jnp.einsum("njl,nl->nj", own, counted, preferred_element_type=jnp.float32).ravel()

    def terms(log_mean: Float[Array, "B 1"], batch: Batch, labels: Labels) -> list[LossSums]:
        log_mean = log_mean[:, 0]
        loss = jnp.exp(log_mean) - number(batch, labels) * log_mean
        return [weighted_sum(loss, batch.jet_valid)]

    def count(log_mean: Float[Array, "B 1"], batch: Batch, labels: Labels) -> dict[str, Array]:
        error = jnp.abs(jnp.exp(log_mean[:, 0]) - number(batch, labels))
        real = batch.jet_valid
        return {"error": jnp.where(real, error, 0.0).sum(), "jets": real.sum()}

    def figures(sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        return {f"error/{name}": float(sums["error"] / sums["jets"])} if sums["jets"] else {}

    widths = tuple(context.model.head_widths)
    return Task(
        name=name,
        options=options,
        losses=(name,),
        needs=Needs({options.label: label}),
        head=lambda rngs: EntryHead("jets", 1, widths, context, None, rngs),
        terms=terms,
        quantities=(f"error/{name}",),
        count=count,
        figures=figures,
        predict=lambda log_mean, batch, labels: {"mean": jnp.exp(log_mean[:, 0])},
    )


KINDS = {**tasks.KINDS, "poisson": Kind(PoissonConfig, build)}

if __name__ == "__main__":
    train(load(sys.argv[1:], "Trains with a kind of task of one's own.", KINDS), kinds=KINDS)
