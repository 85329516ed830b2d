"""Cosine between the bfloat16 and the float32 update of every method, on a network in training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from tqdm import tqdm

from benchmarks.made import SAMPLE, Made, chosen, load, sums_of, weighted
from benchmarks.tables import Table
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.gradients import LossGradients, Parts, gradients_of_losses
from maskformer_jax.training import method
from maskformer_jax.weighting import METHODS

UPDATES = 3
Gradients = Callable[[PyTree, PyTree], LossGradients]


class Pair(NamedTuple):
    """The same thing computed in two precisions."""

    bfloat16: Any
    float32: Any


def run(
    model: str = "quickstart", file: str = SAMPLE, methods: Sequence[str] | None = None
) -> Iterator[dict[str, Table]]:
    """Cosines of bfloat16 with float32 updates of every method, for the third of three updates.

    The parameters stay where they are during the three updates, so that the two sides differ in
    nothing but the precision of the network; states of methods move on.
    """
    names = chosen(methods)
    made = Made(load(model, file=file))
    epoch, batches = made.loader.steps_per_epoch, made.loader.iterator()
    gradients = Pair(*(_gradients(made.config, dtype) for dtype in Pair._fields))
    known = {"steps_per_epoch": 1, "optimiser": optax.adam(1e-3)}
    known |= method.parameters_of_losses(made.config, made.model, last_layer=True)
    ways = {}
    for name in names:
        weighting = load(model, *weighted(made.config, name)).weighting
        ways[name] = method.make(weighting, made.model.losses, **known)
    state, columns = made.trainer.state, []
    for steps in (0, epoch):
        for _ in tqdm(range(steps), leave=False):
            state, _ = made.trainer.step(state, *next(batches))
        params = jax.tree.map(jnp.copy, state.params)
        given = [next(batches) for _ in range(UPDATES + 1)]
        columns.append(_cosines(ways, made.model.losses, params, gradients, given))
    rows = [[label, *(column[label] for column in columns)] for label in columns[0]]
    heads = {"cosine of": "", "initialisation": ".5f", "after an epoch": ".5f"}
    yield {"precision": Table("Updates by bfloat16 against those by float32", heads, rows)}


def _gradients(config: Config, dtype: str) -> Gradients:
    model = build(replace(config, model=replace(config.model, compute_dtype=dtype)))

    @jax.jit
    def gradients(params: PyTree, pair: PyTree) -> LossGradients:
        parts = Parts(pair, pair[0].jet_valid.any(axis=1).sum())
        return gradients_of_losses(sums_of(model), params, parts)

    return gradients


def _cosines(
    methods: Mapping[str, optax.GradientTransformationExtraArgs],
    losses: Sequence[str],
    params: PyTree,
    gradients: Pair,
    batches: Sequence[PyTree],
) -> dict[str, float]:
    """Cosine of every loss's gradient on the last batch, and of every method's last update."""
    found = [Pair(*(function(params, batch) for function in gradients)) for batch in batches]
    cosine = jax.jit(_cosine)
    columns = {}
    for number, name in enumerate(losses):
        last = found[UPDATES - 1]
        sides = (jax.tree.map(lambda g, k=number: g[k], side.gradients) for side in last)
        columns[f"gradient of {name}"] = float(cosine(*sides))
    for name, way in tqdm(methods.items(), leave=False):
        sides = Pair(*([step[side] for step in found] for side in range(2)))
        update = partial(_last_update, way, METHODS[name].needs, params)
        columns[name] = float(cosine(*map(update, sides)))
    return columns


def _last_update(
    transformation: optax.GradientTransformationExtraArgs,
    needs: Sequence[str],
    params: PyTree,
    found: Sequence[LossGradients],
) -> PyTree:
    """The update on the last batch; what a method wants of a second batch is that of the next."""

    @jax.jit
    def update(state: PyTree, this: LossGradients, other: LossGradients) -> tuple[PyTree, PyTree]:
        known = {"losses_after": other.sums.mean(), "task_grads_2": other.gradients}
        extra = {name: known[name] for name in needs}
        losses = this.sums.mean()
        return transformation.update(this.gradients, state, params, losses=losses, **extra)

    state = transformation.init(params)
    for number in range(UPDATES):
        direction, state = update(state, found[number], found[number + 1])
    return direction


def _cosine(a: PyTree, b: PyTree) -> jax.Array:
    product = optax.tree.vdot(a, b)
    return product / (optax.tree.norm(a) * optax.tree.norm(b))
