"""Cosine between the bfloat16 and the float32 update of every method, on a network in training."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from tqdm import tqdm

from benchmarks.made import SAMPLE, Made, chosen, load, sums_of, weighted
from benchmarks.tables import Table
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.gradients import LossGradients, gradients_of_losses
from maskformer_jax.training import method
from maskformer_jax.training.batches import parts_of
from maskformer_jax.weighting import METHODS

UPDATES = 3


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
    gradients = [_gradients(made.config, dtype) for dtype in ("bfloat16", "float32")]
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
        sides = [[of_batch(params, batch) for batch in given] for of_batch in gradients]
        columns.append(_cosines(ways, params, sides))
    rows = [[label, *(column[label] for column in columns)] for label in columns[0]]
    heads = {"cosine of": "", "initialisation": ".5f", "after an epoch": ".5f"}
    yield {"precision": Table("Updates by bfloat16 against those by float32", heads, rows)}


def _gradients(config: Config, dtype: str) -> Callable[[PyTree, PyTree], LossGradients]:
    model = build(replace(config, model=replace(config.model, compute_dtype=dtype)))

    @jax.jit
    def gradients(params: PyTree, pair: PyTree) -> LossGradients:
        return gradients_of_losses(sums_of(model), params, parts_of(*pair))

    return gradients


def _cosines(
    ways: Mapping[str, optax.GradientTransformationExtraArgs],
    params: PyTree,
    sides: Sequence[list[LossGradients]],
) -> dict[str, float]:
    """Cosine of every method's last update; of a second batch it is told the next one."""
    found = {}
    for name, way in tqdm(ways.items(), leave=False):

        @jax.jit
        def update(state: PyTree, here: LossGradients, other: LossGradients, name=name, way=way):
            known = {"losses_after": other.sums.mean(), "task_grads_2": other.gradients}
            extra = {need: known[need] for need in METHODS[name].needs}
            losses = here.sums.mean()
            return way.update(here.gradients, state, params, losses=losses, **extra)

        last = []
        for side in sides:
            state = way.init(params)
            for here, other in itertools.pairwise(side):
                direction, state = update(state, here, other)
            last.append(direction)
        found[name] = _cosine(*last)
    return found


def _cosine(a: PyTree, b: PyTree) -> float:
    product = optax.tree.vdot(a, b)
    return float(product / (optax.tree.norm(a) * optax.tree.norm(b)))
