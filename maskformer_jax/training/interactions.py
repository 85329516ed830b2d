"""How the gradients of the losses lie to each other, recorded beside a training left as it is.

The gradients are those of the recorded step, over the parameters that at least two losses reach (or
what `weighting.shared` says instead), found by a program of its own: the training step is the same
with and without, for methods with one backward pass too.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from maskformer_jax.build import Model
from maskformer_jax.config import Config
from maskformer_jax.files import writing
from maskformer_jax.gradients import Parts, gradients_of_losses
from maskformer_jax.training import step
from maskformer_jax.training.batches import parts_of
from maskformer_jax.training.curvature import along_update
from maskformer_jax.training.logging import as_line, cut_back
from maskformer_jax.training.method import parameters_of_losses
from maskformer_jax.training.state import TrainState
from maskformer_jax.training.step import Step, StepMetrics
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import inner_products

FILE_NAME = "interactions.jsonl"
WHOLE = "whole"


class Found(NamedTuple):
    """What is left of the gradients of the losses of a batch.

    Attributes:
        losses: unweighted.
        gramians: module -> inner products of its part of the gradients.
        l1: module -> sums of their magnitudes.
        curvature: what `along_update` says; nothing if it is not asked for.
    """

    losses: Float[Array, " K"]
    gramians: Mapping[str, Float[Array, "K K"]]
    l1: Mapping[str, Float[Array, " K"]]
    curvature: Mapping[str, Array]


# Compiled: `(before, after, weights, step, batch, labels)` of a step, counted from 0.
Measures = Callable[[PyTree, PyTree, Float[Array, " K"], Int[Array, ""], Batch, Labels], Found]


def build(config: Config, model: Model) -> Measures | None:
    """What `config.training` asks for of the parameters before and after a step; none: nothing.

    Args:
        config: of the training.
        model: network and losses.
    """
    settings = config.training
    if settings.record_interactions is None:
        return None
    sums_at = step.build_sums(
        model.apply, model.terms, seed=settings.seed, dropout=step.has_dropout(config.model)
    )
    shared = parameters_of_losses(config, model, last_layer=False)["shared"]

    @jax.jit
    def measures(before, after, weights, number, batch: Batch, labels: Labels) -> Found:
        sums_of, parts = sums_at(number, len(batch.jet_valid)), _used_first(batch, labels)
        found = gradients_of_losses(sums_of, before, parts, settings.backward)
        modules, curvature = by_module(found.gradients, shared), {}
        if points := settings.record_curvature:
            update = before, after, weights, found.gradients
            curvature = along_update(sums_of, *update, parts, points=points)
        return Found(
            losses=found.sums.mean(),
            gramians={name: inner_products(x, x) for name, x in modules.items()},
            l1={k: sum(jnp.abs(x).sum(1) for x in v) for k, v in modules.items()},
            curvature=curvature,
        )

    return measures


def _used_first(batch: Batch, labels: Labels) -> Parts:
    """The parts, those that hold jets first; of two halves the unused ones lie in the middle."""
    parts = parts_of(batch, labels)
    order = jnp.argsort(~batch.jet_valid.any(axis=1), stable=True)
    return parts._replace(tree=jax.tree.map(lambda x: x[order], parts.tree))


def by_module(gradients: PyTree, shared: PyTree | None) -> dict[str, list[Array]]:
    """Shared leaves of every child of the model that has any, as matrices `[K, ...]`.

    Args:
        gradients: of the losses, as a tree like the parameters.
        shared: True for each shared parameter, as such a tree; none: all are.
    """
    leaves = jax.tree_util.tree_leaves_with_path(gradients)
    is_shared = [True] * len(leaves) if shared is None else jax.tree.leaves(shared)
    modules: dict[str, list[Array]] = {}
    for (path, leaf), kept in zip(leaves, is_shared, strict=True):
        if kept:
            names = [str(entry.key) for entry in path]
            # Of a decoder what is in it: `heads/hadrons/decoder/layers` is `layers` of `hadrons`.
            of_head = names[0] == "heads" and len(names) > 3
            name = f"{names[1]}.{names[3]}" if of_head else names[0]
            modules.setdefault(name, []).append(leaf.reshape(len(leaf), -1))
    return modules


@dataclass(frozen=True)
class Recorder:
    """Makes the steps of a training, and records those that are due: the first and every n-th.

    A line of `interactions.jsonl` holds `step`, `losses`, `weights`, `parts` and, if asked for,
    `curvature`. `losses` and `weights` are by name; `parts` has what `describe` says of the `whole`
    model and of each module, losses in the order of these names, pairs in that of `combinations`.

    Args:
        make: the training step.
        measures: what to record; none: nothing.
        losses: their names.
        run: the run folder; lines of steps after `start` are removed from its file.
        start: steps that are done.
        every: steps from one record to the next.
    """

    make: Step
    measures: Measures | None
    losses: Sequence[str]
    run: Path
    start: int
    every: int | None

    def __post_init__(self):
        cut_back(self.run / FILE_NAME, self.start)

    def step(
        self, number: int, state: TrainState, batch: Batch, labels: Labels
    ) -> tuple[TrainState, StepMetrics]:
        """Makes the step of that number, counted from 1."""
        if self.measures is None or (number > 1 and number % self.every):
            return self.make(state, batch, labels)
        # The step is given the memory of its state.
        before = jax.tree.map(jnp.copy, state.params)
        state, metrics = self.make(state, batch, labels)
        if metrics.finite:
            pair, at = (before, state.params), state.step - 1
            found = self.measures(*pair, metrics.weights, at, batch, labels)
            record = {"step": number, **_record(found, metrics.weights, self.losses)}
            path = self.run / FILE_NAME
            with writing(path), path.open("a") as file:
                file.write(as_line(json.loads(json.dumps(record, default=_numbers))))
        return state, metrics


def _record(found: Found, weights: Array, losses: Sequence[str]) -> dict[str, Any]:
    found, weights = jax.device_get((found, weights))
    sums = jax.tree.map(lambda x: x.astype(float), (found.gramians, found.l1))
    gramians, l1 = ({WHOLE: sum(x.values()), **x} for x in sums)
    parts = {name: describe(gramian, l1[name], weights) for name, gramian in gramians.items()}
    named = {"losses": found.losses, "weights": weights}
    by_loss = {name: dict(zip(losses, x, strict=True)) for name, x in named.items()}
    more = {"curvature": found.curvature} if found.curvature else {}
    return {**by_loss, "parts": parts, **more}


def describe(gramian: np.ndarray, l1: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Angles and sizes of the gradients, before and after scaling by the weights.

    Args:
        gramian: inner products of the gradients `[K, K]`.
        l1: sums of their magnitudes `[K]`.
        weights: of the step `[K]`.

    Returns:
        Of each pair the `cosine` (Eq. 3.4 of the thesis), NaN where a gradient is zero, and the
        `similarity` of the magnitudes (Eq. 3.5), NaN where both are zero, with
        `scaled_similarity` after scaling; of each loss the norms `l1` and `l2` of its gradient, and
        `scaled_l1` and `scaled_l2` after scaling.
    """
    i, j = np.triu_indices(len(gramian), 1)
    l2, factors = np.sqrt(np.maximum(gramian.diagonal(), 0.0)), np.abs(weights.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip(gramian[i, j] / l2[i] / l2[j], -1.0, 1.0)
    return {
        "cosine": cosine,
        "similarity": _similarity(l2[i], l2[j]),
        "scaled_similarity": _similarity(factors[i] * l2[i], factors[j] * l2[j]),
        "l1": l1,
        "l2": l2,
        "scaled_l1": factors * l1,
        "scaled_l2": factors * l2,
    }


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        ratio = np.minimum(a, b) / np.maximum(a, b)
    return 2 * ratio / (1 + ratio**2)


def _numbers(values: np.ndarray | np.float32) -> Any:
    """Six digits of each; what is not finite is none, for which JSON has a word."""
    if np.ndim(values):
        return list(map(_numbers, values))
    return float(f"{values:.6g}") if np.isfinite(values) else None
