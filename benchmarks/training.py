"""Jets/s of training, data loading included, and with `--peers` of Salt's training beside it.

Every turn of a training follows one of the reference, on the same two cores, so that a
disturbance of the machine meets both: the ratio of the two is what counts.
"""

import json
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

from benchmarks.fresh import loader_of
from benchmarks.salt_peer import Ask, salt, settings
from benchmarks.turns import bind, end_of_work
from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.training import loop
from maskformer_jax.training.compilation import use_cache
from maskformer_jax.weighting import METHODS

CORES = 2
# Label -> what follows `--config CONFIG` on the command line of train.py, beside the names of the
# methods, which are labels, too. Turns of a multiple of ten steps renew the weights equally often.
CAGRAD = "--config=configs/weighting/cagrad.yaml"
VARIANTS: dict[str, Sequence[str]] = {
    "equal, padded": ("--config=configs/weighting/equal.yaml", "--training.pack=false"),
    "cagrad, every 10": (CAGRAD, "--weighting.every=10"),
    "cagrad, fraction 1/8": (CAGRAD, "--weighting.gramian_fraction=0.125"),
    "cagrad, fraction 1/16": (CAGRAD, "--weighting.gramian_fraction=0.0625"),
    "cagrad, representation": (CAGRAD, "--weighting.at=representation"),
}
DEFAULT = ("equal", "cagrad", *VARIANTS)
PEERS = ("Salt", "Salt, flash attention", "Salt, TorchJD CAGrad")


class Turn(NamedTuple):
    """Some steps of a training.

    Attributes:
        jets: in their batches.
        seconds: that they took.
        waiting: seconds of them until the batches were there. The device may work meanwhile, so
            it was idle for no more than that.
    """

    jets: int
    seconds: float
    waiting: float


class Training(NamedTuple):
    """A network in training.

    Attributes:
        parameters: their number.
        turn: makes so many steps.
    """

    parameters: int
    turn: Callable[[int], Turn]


class Row(NamedTuple):
    """Turns of a training, each with the turn of the reference just before."""

    label: str
    turns: list[Turn]
    before: list[Turn]


def run(
    config: str,
    file: str,
    methods: Sequence[str] | None,
    *,
    batch_size: int,
    pairs: int,
    steps: int,
    peers: bool,
    peer_python: str | None,
    output: str | None,
) -> str:
    """A table of jets/s, and every turn as JSON.

    The reference is Salt with `--peers`, the first of the methods without.

    Args:
        config: YAML file of the network.
        file: training file in the default layout.
        methods: names of methods or labels of `VARIANTS`; none: `DEFAULT`.
        batch_size: jets of a batch.
        pairs: turns of each training.
        steps: of a turn.
        peers: whether Salt is trained as well.
        peer_python: interpreter that has Salt; none: this one.
        output: JSON file; none: no file.
    """
    if min(batch_size, pairs, steps) < 1:
        given = batch_size, pairs, steps
        raise InputError(f"`--batch_size`, `--pairs` and `--steps` must be at least 1; got {given}")
    options = [f"--config={config}", f"--data.train_file={file}"]
    options += [f"--training.batch_size={batch_size}"]
    configs = configs_of(methods, options)
    use_cache()
    bind(CORES)
    with salt(peer_python, CORES) if peers else nullcontext() as ask:
        trainings = {label: ours(label, value) for label, value in configs.items()}
        if ask:
            trainings = theirs(ask, next(iter(configs.values()))) | trainings
        rows = interleaved(trainings, pairs, steps)
    sizes = {label: training.parameters for label, training in trainings.items()}
    if output:
        about = {"machine": platform.platform(), "device": jax.devices()[0].device_kind}
        about |= {"file": file, "batch_size": batch_size, "steps": steps, "parameters": sizes}
        # By label: [jets, seconds, waiting] of every turn.
        about["turns"] = {row.label: row.turns for row in rows}
        about["reference_before"] = {row.label: row.before for row in rows}
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(json.dumps(about, indent=1) + "\n")
    counts = ", ".join(f"{label} {size:,}" for label, size in sizes.items())
    return f"parameters: {counts}\n{table(rows)}"


def configs_of(methods: Sequence[str] | None, options: Sequence[str]) -> dict[str, Config]:
    """The configuration of every label that is asked for.

    Raises:
        InputError: a label is unknown, or the configuration wrong.
    """
    labels = list(dict.fromkeys(methods or DEFAULT))
    known = {name: (f"--config=configs/weighting/{name}.yaml",) for name in METHODS} | VARIANTS
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise InputError(f"`--methods`: no {', '.join(unknown)}; known: {', '.join(known)}")
    return {label: configuration.load([*options, *known[label]]) for label in labels}


def ours(label: str, config: Config) -> Training:
    """A training as train.py makes it, without validation and checkpoints."""
    loader = loader_of(config)
    total_steps = config.training.epochs * loader.steps_per_epoch
    trainer = loop.build(config, total_steps, spread=loader.layout.spread)
    batches, state = loader.iterator(), trainer.state
    size = optax.tree.size(state.params)

    def turn(steps: int) -> Turn:
        nonlocal state
        begin, jets, waiting, before = time.perf_counter(), 0, 0.0, None
        for _ in range(steps):
            asked = time.perf_counter()
            batch, targets = next(batches)
            waiting += time.perf_counter() - asked
            jets += int(batch.jet_valid.sum())
            state, metrics = trainer.step(state, *jax.device_put((batch, targets)))
            # As in training, what a step reports is fetched when the next one is on its way.
            jax.block_until_ready(before)
            before = metrics
        jax.block_until_ready(state)
        seconds = end_of_work() - begin
        if not metrics.finite:
            raise InputError(f"{label}: a loss or gradient was not finite")
        return Turn(jets, seconds, waiting)

    return Training(size, turn)


def theirs(ask: Ask, config: Config) -> dict[str, Training]:
    """Salt's trainings of a network of the same width, on the same inputs, file and batch size."""
    data = config.data
    told = settings(
        *(data, data.train_file, config.training.batch_size, data.train_jets),
        embed_dim=config.model.embed_dim,
    )

    def turn(label: str, steps: int) -> Turn:
        return Turn(**ask("turn", label, steps=steps))

    return {
        label: Training(ask("train", label, settings=told), partial(turn, label)) for label in PEERS
    }


def interleaved(trainings: dict[str, Training], pairs: int, steps: int) -> list[Row]:
    """Turns of every training in turn with the first of them, which is the reference."""
    reference, *others = trainings
    for training in trainings.values():
        training.turn(1)  # compiles
    rows = {label: Row(label, [], []) for label in trainings}
    for _ in range(pairs):
        for label in others or [reference]:
            before = trainings[reference].turn(steps)
            rows[reference].turns.append(before)
            if label != reference:
                rows[label].before.append(before)
                rows[label].turns.append(trainings[label].turn(steps))
    return list(rows.values())


def table(rows: Sequence[Row]) -> str:
    """Medians of the turns, and between which values all of them lie."""
    reference = rows[0].label
    lines = [
        f"{'':24}{'jets/s':>8}{'least':>8}{'most':>8}"
        f"{'to ' + reference:>11}{'least':>8}{'most':>8}{'waiting for data':>18}"
    ]
    for row in rows:
        rates = np.array([turn.jets / turn.seconds for turn in row.turns])
        waiting = sum(turn.waiting for turn in row.turns) / sum(turn.seconds for turn in row.turns)
        cells = f"{row.label:24}" + "".join(f"{value:8.0f}" for value in _spread(rates))
        ratios = f"{'-':>11}{'-':>8}{'-':>8}"
        if row.before:
            median, *ends = _spread(rates / [turn.jets / turn.seconds for turn in row.before])
            ratios = f"{median:11.3f}" + "".join(f"{value:8.3f}" for value in ends)
        lines.append(f"{cells}{ratios}{waiting:18.2%}")
    return "\n".join(lines)


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())
