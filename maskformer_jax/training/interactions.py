"""How the gradients of the losses lie to each other, recorded beside a training left as it is.

The gradients are those of the recorded step, over the parameters that at least two losses reach (or
what `weighting.shared` says instead), found by a program of its own: the training step is the same
with and without, for methods with one backward pass too.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
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
from maskformer_jax.training import curvature, step
from maskformer_jax.training.batches import parts_of
from maskformer_jax.training.curvature import Curvature
from maskformer_jax.training.logging import cut_back
from maskformer_jax.training.method import parameters_of_losses
from maskformer_jax.training.state import TrainState
from maskformer_jax.training.step import Step, StepMetrics
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import inner_products

FILE_NAME = "interactions.jsonl"
WHOLE = "whole"


def pairs(num_losses: int) -> list[tuple[int, int]]:
    """Pairs of losses, in the order of the records."""
    return list(itertools.combinations(range(num_losses), 2))


class Products(NamedTuple):
    """What is left of the gradients of the losses of a batch.

    Attributes:
        losses: unweighted.
        gramians: module -> inner products of its part of the gradients.
        l1: module -> sums of their magnitudes.
    """

    losses: Float[Array, " K"]
    gramians: Mapping[str, Float[Array, "K K"]]
    l1: Mapping[str, Float[Array, " K"]]


class Angles(NamedTuple):
    """Angles and sizes of the gradients in the whole model or one module, perhaps of many records.

    Attributes:
        cosine: of each pair (Eq. 3.4 of the thesis); NaN where a gradient is zero.
        similarity: of the magnitudes of each pair (Eq. 3.5); NaN where both are zero.
        scaled_similarity: the same after scaling by the weights.
        l1: norm of each loss's gradient.
        l2: norm of each loss's gradient.
        scaled_l1: after scaling by the weights.
        scaled_l2: after scaling by the weights.
    """

    cosine: Float[np.ndarray, "*T pairs"]
    similarity: Float[np.ndarray, "*T pairs"]
    scaled_similarity: Float[np.ndarray, "*T pairs"]
    l1: Float[np.ndarray, "*T K"]
    l2: Float[np.ndarray, "*T K"]
    scaled_l1: Float[np.ndarray, "*T K"]
    scaled_l2: Float[np.ndarray, "*T K"]


class Measures(NamedTuple):
    """Compiled functions of a batch `(batch, labels)` in a step.

    Attributes:
        products: `products(params, step, batch, labels) -> Products`.
        curvature: `curvature(before, after, weights, step, batch, labels) -> Curvature`; none: it
            is not asked for.
    """

    products: Callable[..., Products]
    curvature: Callable[..., Curvature] | None


def build(config: Config, model: Model) -> Measures | None:
    """The measures that `config.training` asks for; none if it asks for none.

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
    def products(params: PyTree, number: Int[Array, ""], batch: Batch, labels: Labels):
        sums_of = sums_at(number, len(batch.jet_valid))
        found = gradients_of_losses(sums_of, params, _used_first(batch, labels), settings.backward)
        modules = by_module(found.gradients, shared)
        return Products(
            losses=found.sums.mean(),
            gramians={name: inner_products(x, x) for name, x in modules.items()},
            l1={name: _sums_of_magnitudes(x) for name, x in modules.items()},
        )

    @jax.jit
    def along_update(before, after, weights, number, batch: Batch, labels: Labels) -> Curvature:
        sums_of, points = sums_at(number, len(batch.jet_valid)), settings.record_curvature
        parts = _used_first(batch, labels)
        return curvature.along_update(sums_of, before, after, weights, parts, points=points)

    return Measures(products, along_update if settings.record_curvature else None)


def _used_first(batch: Batch, labels: Labels) -> Parts:
    """The parts, those that hold jets first; of two halves the unused ones lie in the middle."""
    parts = parts_of(batch, labels)
    order = jnp.argsort(~batch.jet_valid.any(axis=1), stable=True)
    return parts._replace(tree=jax.tree.map(lambda x: x[order], parts.tree))


def by_module(gradients: PyTree, shared: PyTree | None) -> dict[str, list[Array]]:
    """Shared leaves of every child of the model that has any.

    Args:
        gradients: as a tree like the parameters.
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
            modules.setdefault(name, []).append(leaf)
    return modules


def _sums_of_magnitudes(leaves: list[Array]) -> Float[Array, " K"]:
    return sum(jnp.abs(x).reshape(len(x), -1).sum(1) for x in leaves)


class Recorder:
    """Makes the steps of a training, and records those that are due: the first and every n-th.

    A line of `interactions.jsonl` holds `step`, `losses`, `weights`, `parts` and, if asked for,
    `curvature`. `losses` and `weights` are by name; `parts` has what `describe` says of the `whole`
    model and of each module, losses in the order of these names, pairs in that of `pairs`.

    Args:
        make: the training step.
        measures: what to record; none: nothing.
        losses: their names.
        run: the run folder; lines of steps after `start` are removed from its file.
        start: steps that are done.
        every: steps from one record to the next.
    """

    def __init__(
        self,
        make: Step,
        measures: Measures | None,
        losses: Sequence[str],
        run: Path,
        start: int,
        every: int | None,
    ):
        self._make, self._measures, self._every, self._losses = make, measures, every, losses
        self._path = run / FILE_NAME
        cut_back(self._path, start)

    def step(
        self, number: int, state: TrainState, batch: Batch, labels: Labels
    ) -> tuple[TrainState, StepMetrics]:
        """Makes the step of that number, counted from 1."""
        if self._measures is None or (number > 1 and number % self._every):
            return self._make(state, batch, labels)
        found, before = self._measures.products(state.params, state.step, batch, labels), None
        if self._measures.curvature is not None:
            # The step is given the memory of its state.
            before = jax.tree.map(jnp.copy, state.params)
        state, metrics = self._make(state, batch, labels)
        if not metrics.finite:
            return state, metrics
        weights = np.asarray(metrics.weights)
        record = {"step": number, **_record(found, weights, self._losses)}
        if before is not None:
            pair, at = (before, state.params, metrics.weights), state.step - 1
            record["curvature"] = _curvature(self._measures.curvature(*pair, at, batch, labels))
        with writing(self._path), self._path.open("a") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        return state, metrics


def _record(found: Products, weights: np.ndarray, losses: Sequence[str]) -> dict[str, Any]:
    gramians, l1 = jax.device_get((dict(found.gramians), dict(found.l1)))
    gramians, l1 = ({k: v.astype(float) for k, v in x.items()} for x in (gramians, l1))
    parts = {WHOLE: describe(sum(gramians.values()), sum(l1.values()), weights)}
    parts |= {name: describe(gramians[name], l1[name], weights) for name in gramians}
    return {
        "losses": dict(zip(losses, _numbers(np.asarray(found.losses)), strict=True)),
        "weights": dict(zip(losses, _numbers(weights), strict=True)),
        "parts": {
            part: {name: _numbers(x) for name, x in values._asdict().items()}
            for part, values in parts.items()
        },
    }


def describe(gramian: np.ndarray, l1: np.ndarray, weights: np.ndarray) -> Angles:
    """Angles and sizes of the gradients, before and after scaling by the weights.

    Args:
        gramian: inner products of the gradients `[K, K]`.
        l1: sums of their magnitudes `[K]`.
        weights: of the step `[K]`.
    """
    i, j = np.transpose(pairs(len(gramian))) if len(gramian) > 1 else ([], [])
    l2, factors = np.sqrt(np.maximum(gramian.diagonal(), 0.0)), np.abs(weights.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip(gramian[i, j] / l2[i] / l2[j], -1.0, 1.0)
    return Angles(
        cosine=cosine,
        similarity=_similarity(l2[i], l2[j]),
        scaled_similarity=_similarity(factors[i] * l2[i], factors[j] * l2[j]),
        l1=l1,
        l2=l2,
        scaled_l1=factors * l1,
        scaled_l2=factors * l2,
    )


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    larger = np.maximum(a, b)
    with np.errstate(invalid="ignore"):
        a, b = a / larger, b / larger
    return 2 * a * b / (a**2 + b**2)


def _curvature(found: Curvature) -> dict[str, Any]:
    mean, squared_norm = float(found.mean), float(found.squared_norm)
    direction = mean / squared_norm if squared_norm > 0 else np.nan
    along = _numbers(np.asarray(found.along))
    mean, direction = _numbers(np.array([mean, direction]))
    return {"mean": mean, "along": along, "in_direction": direction}


def _numbers(values: np.ndarray) -> list[float | None]:
    """Six digits of each; what is not finite is none, for which JSON has a word."""
    return [float(f"{x:.6g}") if np.isfinite(x) else None for x in values]
