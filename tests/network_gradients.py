"""Losses of any network and their derivatives, one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maskformer_jax.build import Model
from maskformer_jax.gradients import stacked
from maskformer_jax.types import Batch, Labels

CONFIGS = Path(__file__).parents[1] / "configs"


def losses_of(model: Model, params: Any, batch: Batch, labels: Labels) -> jax.Array:
    """The losses of a batch `[K]`."""
    return stacked(model.terms(model.apply(params, batch), batch, labels)).mean()


class LossGradients(NamedTuple):
    """Losses of a network and their derivatives, with the axis of losses in front."""

    losses: jax.Array
    params: Any
    batch: Any


def gradients_of(model: Model) -> Callable[..., LossGradients]:
    """`gradients(params, batch, labels)`, jitted: with respect to parameters and inputs."""

    @jax.jit
    def gradients(params, batch, labels):
        def of_inputs(params, jets, values):
            streams = {k: s._replace(values=values[k]) for k, s in batch.streams.items()}
            moved = batch._replace(jets=jets, streams=streams)
            return losses_of(model, params, moved, labels)

        values = {k: s.values for k, s in batch.streams.items()}
        losses, pull = jax.vjp(of_inputs, params, batch.jets, values)
        params, jets, values = jax.vmap(pull)(jnp.eye(len(model.losses)))
        return LossGradients(losses, params, {"jets": jets, **values})

    return gradients
