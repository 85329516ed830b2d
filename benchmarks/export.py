"""The whole training step of every method, lowered for CPU, CUDA and TPU without having them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import PyTree
from tqdm import tqdm

from benchmarks.methods import chosen
from maskformer_jax import config as configuration
from maskformer_jax import tasks
from maskformer_jax.config import Config
from maskformer_jax.training import loop
from maskformer_jax.types import Batch, Targets
from maskformer_jax.weighting import METHODS

PLATFORMS = ("cpu", "cuda", "tpu")
BATCH_SIZE = 8
FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}
TINY = (
    *("--config=configs/quickstart.yaml", "--data.tracks.cap=8", "--data.hadrons.cap=3"),
    *("--model.embed_dim=16", "--model.num_heads=2", "--model.head_widths=[16]"),
    *("--model.encoder_layers=1", "--model.decoder_layers=1"),
    f"--training.batch_size={BATCH_SIZE}",
)


class Exported(NamedTuple):
    """What became of a step.

    Attributes:
        lowered: whether it could be lowered for each platform.
        kilobytes: size of the serialised step, for all of them together.
        difference: between the results of the step and of the one that was saved, loaded and run
            on this machine's CPU, relative to the norm of each part of the state.
    """

    lowered: dict[str, bool]
    kilobytes: float
    difference: float


def run(methods: Sequence[str] | None) -> str:
    """A table of method and platform, each step serialised, loaded and run again on CPU.

    Args:
        methods: names; none: all.
    """
    names = chosen(methods)
    lines = [f"{'method':14}" + "".join(f"{p:>6}" for p in PLATFORMS) + f"{'kB':>8}{'CPU':>9}"]
    for name in tqdm(names, leave=False):
        overlay = f"--config=configs/weighting/{name}.yaml"
        found = export_step(configuration.load([*TINY, overlay]))
        marks = "".join(f"{'yes' if found.lowered[p] else 'no':>6}" for p in PLATFORMS)
        lines.append(f"{name:14}{marks}{found.kilobytes:8.0f}{found.difference:9.0e}")
    return "\n".join(lines)


def export_step(config: Config) -> Exported:
    """Lowers the step, saves and loads it, and makes one step with the result."""
    trainer = loop.build(config, total_steps=10)
    arguments = (trainer.state, *make_batch(config, seed=0))
    leaves, structure = jax.tree.flatten(arguments)

    # Flat, since the types of states are not known to the format.
    @partial(jax.jit, compiler_options=FAST_TO_COMPILE)
    def step(*leaves: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(jax.tree.leaves(trainer.step(*jax.tree.unflatten(structure, leaves))))

    def run(step: Callable[..., tuple[jax.Array, ...]]) -> list[PyTree]:
        results = jax.tree.structure(jax.eval_shape(trainer.step, *arguments))
        state, metrics = jax.tree.unflatten(results, step(*leaves))
        return [state.params, state.optimiser_state, state.weighting_state, metrics]

    lowered = {platform: True for platform in PLATFORMS}
    try:
        saved = export.export(step, platforms=PLATFORMS)(*leaves).serialize()
    except NotImplementedError:
        lowered = {platform: _can_be_lowered(step, platform, leaves) for platform in PLATFORMS}
        good = [platform for platform, fine in lowered.items() if fine]
        saved = export.export(step, platforms=good)(*leaves).serialize()
    loaded = jax.jit(export.deserialize(saved).call, compiler_options=FAST_TO_COMPILE)
    return Exported(lowered, len(saved) / 1e3, difference(run(loaded), run(step)))


def _can_be_lowered(step: jax.stages.Wrapped, platform: str, leaves: Sequence[jax.Array]) -> bool:
    try:
        export.export(step, platforms=[platform])(*leaves)
    except NotImplementedError:
        return False
    return True


def difference(found: PyTree, expected: PyTree) -> float:
    """Largest |a - b|/|b| over the parts of the result.

    Part by part, not array by array: where a gradient is zero but for rounding, as for the bias of
    attention keys, no two programs agree.
    """
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        a, b = (
            np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(part)])
            for part in (a, b)
        )
        # A NaN stays.
        worst = np.maximum(worst, np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))
    return float(worst)


def make_batch(config: Config, seed: int) -> tuple[Batch, Targets]:
    """A batch of noise, in one part, in which every task has something to learn."""
    generator = np.random.default_rng(seed)
    batch, targets = jax.tree.map(
        lambda x: jnp.asarray(generator.normal(size=x.shape), x.dtype),
        tasks.batch_shapes(config, config.training.batch_size),
    )
    data = config.data

    def index(like: jax.Array, classes: int) -> jax.Array:
        return jnp.asarray(generator.integers(0, classes, like.shape), jnp.int32)

    targets = targets._replace(
        jet_class_index=index(targets.jet_class_index, len(data.jets.classes)),
        origin_index=index(targets.origin_index, len(data.tracks.origin_classes)),
        object_class_index=index(targets.object_class_index, len(data.hadrons.classes)),
        masks=jnp.asarray(generator.random(targets.masks.shape) < 0.5),
    )
    # Halves of the batch where a method needs two.
    number = 2 if "task_grads_2" in METHODS[config.weighting.name].needs else 1
    return jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), (batch, targets))
