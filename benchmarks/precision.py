"""Cosine between the bfloat16 and the float32 update of every method, on a network in training."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from tqdm import tqdm

from benchmarks.methods import chosen
from maskformer_jax import config as configuration
from maskformer_jax import tasks
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, TrainLoader, fit_scaling
from maskformer_jax.experiment import training_layout
from maskformer_jax.gradients import LossGradients, Parts, gradients_of_losses
from maskformer_jax.model import maskformer
from maskformer_jax.training import loop, method
from maskformer_jax.weighting import METHODS

UPDATES = 3
Gradients = Callable[[PyTree, PyTree], LossGradients]


class Pair(NamedTuple):
    """The same thing computed in two precisions."""

    bfloat16: Any
    float32: Any


def run(config: str, methods: Sequence[str] | None) -> str:
    """A table of cosines at initialisation and after one epoch, for the third of three updates.

    The parameters stay where they are during the three updates, so that the two sides differ in
    nothing but the precision of the network; states of methods move on.

    Args:
        config: YAML file of the network and its training file.
        methods: names; none: all.
    """
    names = chosen(methods)
    base = configuration.load([f"--config={config}"])
    epoch, batches = _loader(base)
    trainer = loop.build(base, total_steps=base.training.epochs * epoch)
    gradients = Pair(*(_gradients(config, dtype) for dtype in Pair._fields))
    known = _known_to_training(base, trainer.state.params)
    state, columns, rows = trainer.state, [], []
    for steps in (0, epoch):
        for _ in tqdm(range(steps), leave=False):
            state, _ = trainer.step(state, *next(batches))
        params = jax.tree.map(jnp.copy, state.params)
        given = [next(batches) for _ in range(UPDATES + 1)]
        columns.append(_cosines(partial(_method, config, known), params, gradients, given, names))
    for label in columns[0]:
        rows.append(f"{label:28}" + "".join(f"{column[label]:16.5f}" for column in columns))
    head = f"{'cosine of':28}{'initialisation':>16}{'after an epoch':>16}"
    return "\n".join([head, *rows])


def _loader(config: Config) -> tuple[int, Iterator]:
    file = JetFile(config.data.train_file, config.data)
    settings = config.training
    loader = TrainLoader(
        file,
        fit_scaling(file),
        batch_size=settings.batch_size,
        seed=settings.seed,
        layout=training_layout(config, file),
    )
    return loader.steps_per_epoch, loader.iterator()


def _gradients(config: str, dtype: str) -> Gradients:
    changed = configuration.load([f"--config={config}", f"--model.compute_dtype={dtype}"])
    apply, _ = maskformer.build(changed, seed=0)
    terms = tasks.build_terms(changed)

    @jax.jit
    def gradients(params: PyTree, pair: PyTree) -> LossGradients:
        parts = Parts(pair, pair[0].jet_valid.any(axis=1).sum())
        return gradients_of_losses(lambda p, part: terms(apply(p, part[0]), *part), params, parts)

    return gradients


def _cosines(
    method_of: Callable[[str], optax.GradientTransformationExtraArgs],
    params: PyTree,
    gradients: Pair,
    batches: Sequence[PyTree],
    methods: Sequence[str],
) -> dict[str, float]:
    """Cosine of every task's gradient on the last batch, and of every method's last update."""
    found = [Pair(*(function(params, batch) for function in gradients)) for batch in batches]
    cosine = jax.jit(_cosine)
    columns = {}
    for task, name in enumerate(tasks.TASK_NAMES):
        sides = (
            jax.tree.map(lambda g, t=task: g[t], side.gradients) for side in found[UPDATES - 1]
        )
        columns[f"gradient of {name}"] = float(cosine(*sides))
    for name in tqdm(methods, leave=False):
        sides = Pair(*([step[side] for step in found] for side in range(2)))
        update = partial(_last_update, method_of(name), METHODS[name].needs, params)
        columns[name] = float(cosine(*map(update, sides)))
    return columns


def _known_to_training(config: Config, params: PyTree) -> dict[str, Any]:
    """Options of methods that the configuration can't hold, the same ones for all methods."""
    apply, _ = maskformer.build(config, seed=0)
    terms = tasks.build_terms(config)
    found = method.parameters_of_tasks(config, apply, params, terms, last_layer=True)
    return {"steps_per_epoch": 1, "optimiser": optax.adam(1e-3), **found}


def _method(config: str, known: dict[str, Any], name: str) -> optax.GradientTransformationExtraArgs:
    overlay = f"--config=configs/weighting/{name}.yaml"
    return method.make(configuration.load([f"--config={config}", overlay]).weighting, **known)


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
