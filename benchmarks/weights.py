"""How far cheaper weights lead away: cosine of the update with the one of exact weights.

The training moves by the exact update of a method. Beside it the same method finds weights on what
the options `every`, `gramian_fraction` and `at` leave of the gradients; their update of the shared
parameters follows from the exact Gramian.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree
from tqdm import tqdm

from benchmarks.made import SAMPLE, Made, at_least, chosen, load, overlay, sums_of
from benchmarks.tables import Table
from maskformer_jax.build import Model
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.gradients import (
    CheaperWeights,
    LossSums,
    SumsOf,
    Weighting,
    gradients_of_losses,
    weighted_gradient,
)
from maskformer_jax.training import method
from maskformer_jax.training.batches import parts_of, sample_of
from maskformer_jax.weighting import TaskState, inner_products
from maskformer_jax.weighting import Weighting as Method

DEFAULT = ("cagrad", "nash_mtl", "mgda", "upgrad", "aligned_mtl")
EVERY = (2, 5, 10, 50)
FRACTIONS = (2, 4, 8, 16)
REPRESENTATION = "representation"


class Given(NamedTuple):
    """What weights are found from: unweighted losses, and inner products of their gradients."""

    losses: Float[Array, " K"]
    gramian: Float[Array, "K K"]


# From parameters and a batch: gradients of the tasks, leaves `[K, ...]`; losses and Gramian of the
# whole batch over the shared parameters; and, by label, what cheaper options leave of them.
Find = Callable[[PyTree, PyTree], tuple[PyTree, Given, dict[str, Given]]]


def run(
    model: str = "quickstart",
    file: str = SAMPLE,
    methods: Sequence[str] = DEFAULT,
    steps: int = 250,
) -> Iterator[dict[str, Table]]:
    """Cheaper weights against exact ones, in a training.

    Args:
        methods: weightings that find weights from a Gramian
        steps: of each training
    """
    at_least(max(EVERY) + 1, steps=steps)
    names, made = chosen(methods), Made(load(model, file=file))
    ways = {n: weighting_of(load(model, overlay(n), file=file), made.model) for n in names}
    batches = [used_parts(batch) for batch in made.batches(steps)]
    first, spread = next(iter(ways.values())), made.loader.layout.spread
    find = finder(sums_of(made.model), first, spread)
    given = made.optimiser(steps), made.model.params, batches
    columns = {name: cosines(find, way, *given) for name, way in ways.items()}
    yield {"weights": table(columns)}


def used_parts(batch: PyTree) -> PyTree:
    """The batch without its empty parts: programs for one part compile faster."""
    used = int(batch[0].jet_valid.any(axis=1).sum())
    return jax.tree.map(lambda x: x[:used], batch)


def weighting_of(config: Config, model: Model) -> Method:
    """The method of a configuration, which is one on the Gramian.

    Raises:
        InputError: it has no weights that could be found more cheaply.
    """
    way = method.build(config, model, optax.sgd(1.0), 1).method
    if way.weigh is None:
        raise InputError(f"`--methods`: {config.weighting.name} finds no weights from a Gramian")
    return way


def finder(sums_of: SumsOf, way: Method, spread: int | None = None) -> Find:
    """What finds the gradients of a batch, and losses and Gramians of all options.

    Every option is a program of its own: together they would take minutes to compile.

    Args:
        sums_of: the losses of a part one by one.
        way: says which parameters are shared.
        spread: as of `sample_of`.
    """

    def given(params: PyTree, sums: LossSums, gradients: PyTree) -> Given:
        leaves = zip(jax.tree.leaves(gradients), way.is_shared(params), strict=True)
        kept = [leaf for leaf, is_shared in leaves if is_shared]
        return Given(sums.mean(), inner_products(kept, kept))

    @jax.jit
    def exact(params: PyTree, batch: PyTree) -> tuple[PyTree, Given]:
        sums, gradients = gradients_of_losses(sums_of, params, parts_of(*batch))
        return gradients, given(params, sums, gradients)

    @partial(jax.jit, static_argnums=2)
    def of_fraction(params: PyTree, batch: PyTree, fraction: float) -> Given:
        sample = sample_of(*batch, fraction, spread)
        return given(params, *gradients_of_losses(sums_of, params, sample))

    @jax.jit
    def at_cut(params: PyTree, batch: PyTree) -> Given:
        weighting = Weighting(way, False, cheaper=CheaperWeights(at_representation=True))
        state, parts = way.init(params), parts_of(*batch)
        found = weighted_gradient(sums_of, params, weighting, state, parts)
        return Given(found.losses, found.weighting_state.gramian)

    def find(params: PyTree, batch: PyTree) -> tuple[PyTree, Given, dict[str, Given]]:
        cheap = {f"fraction 1/{n}": of_fraction(params, batch, 1 / n) for n in FRACTIONS}
        return *exact(params, batch), cheap | {REPRESENTATION: at_cut(params, batch)}

    return find


def cosines(
    find: Find,
    way: Method,
    optimise: optax.GradientTransformation,
    params: PyTree,
    batches: Sequence[PyTree],
) -> dict[str, np.ndarray]:
    """Label -> cosine at every step of a training that moves by exact weights."""
    weigh = jax.jit(lambda given, state: way.weigh(given.gramian, state, given.losses))
    states: dict[str, TaskState] = {}
    found: dict[str, list[float]] = defaultdict(list)

    @jax.jit
    def move(params: PyTree, states: PyTree, gradients: PyTree, losses: Array) -> PyTree:
        exact, inner = states
        update, exact = way.update(gradients, exact, params, losses=losses)
        update, inner = optimise.update(update, inner, params)
        return optax.apply_updates(params, update), (exact, inner), exact.weights

    first = way.init(params)
    moving = (first, optimise.init(params))
    for number, batch in enumerate(tqdm(batches, leave=False)):
        gradients, here, cheap = find(params, batch)
        params, moving, weights = move(params, moving, gradients, here.losses)
        due = {f"every {n}": here for n in EVERY if number % n == 0}
        for label, given in (due | cheap).items():
            states[label] = weigh(given, states.get(label, first))
        for label, state in states.items():
            found[label].append(cosine(here.gramian, weights, state))
    return {label: np.array(values) for label, values in found.items()}


def cosine(gramian: Float[Array, "K K"], weights: Float[Array, " K"], other: TaskState) -> float:
    """Of two weighted sums of gradients with this Gramian."""
    exact = np.asarray(gramian, np.float64)
    a, b = np.asarray(weights, np.float64), np.asarray(other.weights, np.float64)
    return float(a @ exact @ b / np.sqrt((a @ exact @ a) * (b @ exact @ b)))


def table(columns: dict[str, dict[str, np.ndarray]]) -> Table:
    """Mean and lowest cosine of every method and option."""
    kinds, first = {"mean": np.mean, "lowest": np.min}, next(iter(columns.values()))
    heads = {f"{name}, {kind}": ".3f" for name in columns for kind in kinds}
    rows = [
        [label, *(float(of(x[label])) for x in columns.values() for of in kinds.values())]
        for label in first
    ]
    steps = len(first[REPRESENTATION])
    title = f"Cosine of the update of the shared parameters with the exact one, {steps} steps"
    return Table(title, {"weights": "", **heads}, rows)
