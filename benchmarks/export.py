"""Exported networks, jets/s; and whole training steps, lowered for CPU, CUDA and TPU."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial

import jax
import numpy as np
from jax import export
from jaxtyping import PyTree
from tqdm import tqdm

from benchmarks.made import SAMPLE, Made, at_least, chosen, load, weighted
from benchmarks.peer_process import peer
from benchmarks.serving_speed import beside_salt, speeds
from benchmarks.tables import Table
from benchmarks.turns import bind

PLATFORMS = ("cpu", "cuda", "tpu")
FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}
BATCH_SIZE, JETS = 8, 200


def run(
    model: str = "quickstart",
    file: str = SAMPLE,
    methods: Sequence[str] | None = None,
    networks: Sequence[str] = ("gn2", "maskformer"),
    repeats: int = 5,
    peers: bool = False,
    peer_python: str | None = None,
) -> Iterator[dict[str, Table]]:
    """Speed of exported networks; whether every method's step, serialised, runs on other platforms.

    Args:
        model: YAML file, or name of one in configs, whose sizes are made tiny
        networks: names in configs, whose speed is measured; with --peers beside Salt's files
    """
    names = chosen(methods)
    at_least(1, repeats=repeats)
    bind(1)
    with peer(peer_python, "salt_onnx", 1) if peers else nullcontext() as ask:
        yield {"serving": speeds(networks, repeats)}
        if ask:
            yield {"serving_peers": beside_salt(ask, networks, repeats)}
    rows, notes = [], []
    for name in tqdm(names, leave=False):
        try:
            rows.append([name, *export_step(tiny(model, file, name))])
        except NotImplementedError as error:
            notes.append(f"{name} can't be lowered: {error}")
    columns = {"method": "", "kB": ".0f", "difference": ".0e"}
    title = f"Steps lowered for {', '.join(PLATFORMS)}, saved, loaded and run"
    yield {"export": Table(title, columns, rows, notes)}


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


def export_step(made: Made) -> list[float]:
    """Lowers the step for all platforms, saves and loads it, and makes one step with the result.

    Returns:
        Its kB, and the `difference` between its results and those of the step itself.

    Raises:
        NotImplementedError: a platform lacks an operation.
    """
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

    saved = export.export(step, platforms=PLATFORMS)(*leaves).serialize()
    loaded = jax.jit(export.deserialize(saved).call, compiler_options=FAST_TO_COMPILE)
    return [len(saved) / 1e3, difference(run(loaded), run(step))]


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
