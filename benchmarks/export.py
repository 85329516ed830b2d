"""The whole training step of every method, lowered for CPU, CUDA and TPU without having them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import export
from jaxtyping import PyTree
from tqdm import tqdm

from benchmarks.made import Made, chosen, load, weighted

PLATFORMS = ("cpu", "cuda", "tpu")
FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}
BATCH_SIZE, JETS = 8, 200


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


def run(model: str, file: str, methods: Sequence[str] | None) -> str:
    """A table of method and platform, each step serialised, loaded and run again on CPU.

    Args:
        model: YAML file or name, whose sizes are made tiny.
        file: training file.
        methods: names; none: all.
    """
    names = chosen(methods)
    lines = [f"{'method':14}" + "".join(f"{p:>6}" for p in PLATFORMS) + f"{'kB':>8}{'CPU':>9}"]
    for name in tqdm(names, leave=False):
        found = export_step(tiny(model, file, name))
        marks = "".join(f"{'yes' if found.lowered[p] else 'no':>6}" for p in PLATFORMS)
        lines.append(f"{name:14}{marks}{found.kilobytes:8.0f}{found.difference:9.0e}")
    return "\n".join(lines)


def tiny(model: str, file: str, method: str) -> Made:
    """A training with all parts of a model, on batches of few jets, that compiles in seconds.

    Args:
        model: YAML file or name.
        file: training file.
        method: weighting.
    """
    config = load(model)
    sizes = ["--model.embed_dim=16", "--model.num_heads=2", "--model.head_widths=[16]"]
    if config.model.encoder.layers:
        sizes.append("--model.encoder.layers=1")
    if config.model.encoder.output_dim:
        sizes.append("--model.encoder.output_dim=16")
    sizes += [f"--data.streams.{name}.cap=8" for name in config.data.streams]
    sizes += [f"--data.objects.{name}.cap=3" for name in config.data.objects]
    objects = [name for name, options in config.tasks.items() if options.kind == "objects"]
    sizes += [f"--tasks.{name}.decoder_layers=1" for name in objects]
    sizes += [f"--data.train_jets={JETS}", *weighted(config, method)]
    return Made(load(model, *sizes, file=file, batch_size=BATCH_SIZE))


def export_step(made: Made) -> Exported:
    """Lowers the step, saves and loads it, and makes one step with the result."""
    trainer = made.trainer
    arguments = (trainer.state, *made.batch())
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
