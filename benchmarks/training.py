"""Jets/s of training, data loading included, and with `--peers` of Salt's training beside it.

Every turn of a training follows one of the reference, on the same two cores, so that a
disturbance of the machine meets both: the ratio of the two is what counts.
"""

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from benchmarks.made import Made, load, overlay, weighted
from benchmarks.salt_peer import VARIANTS as PEERS
from benchmarks.salt_peer import Ask, salt, settings
from benchmarks.tables import Table, text
from benchmarks.turns import bind, end_of_work
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.training.compilation import use_cache
from maskformer_jax.weighting import METHODS

CORES = 2
# Label -> what follows the model on the command line of train.py, beside the names of the methods,
# which are labels, too. Turns of a multiple of ten steps renew the weights equally often.
CAGRAD = overlay("cagrad")
VARIANTS: dict[str, Sequence[str]] = {
    "equal, padded": (overlay("equal"), "--training.pack=false"),
    "cagrad, every 10": (CAGRAD, "--weighting.every=10"),
    "cagrad, fraction 1/8": (CAGRAD, "--weighting.gramian_fraction=0.125"),
    "cagrad, fraction 1/16": (CAGRAD, "--weighting.gramian_fraction=0.0625"),
    "cagrad, representation": (CAGRAD, "--weighting.at=representation"),
}
DEFAULT = ("equal", "cagrad", *VARIANTS)


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
    model: str,
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
        model: YAML file or name; with `peers` a MaskFormer or GN2.
        file: training file.
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
    configs = configs_of(methods, model, file, batch_size)
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
        about |= {
            "model": model,
            "file": file,
            "batch_size": batch_size,
            "steps": steps,
            "parameters": sizes,
        }
        # By label: [jets, seconds, waiting] of every turn.
        about["turns"] = {row.label: row.turns for row in rows}
        about["reference_before"] = {row.label: row.before for row in rows}
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).write_text(json.dumps(about, indent=1) + "\n")
    return text(table(rows, sizes, batch_size))


def configs_of(
    methods: Sequence[str] | None, model: str, file: str, batch_size: int
) -> dict[str, Config]:
    """The configuration of every label that is asked for.

    Raises:
        InputError: a label is unknown, or the configuration wrong.
    """
    labels = list(dict.fromkeys(methods or DEFAULT))
    base = load(model)
    known = {name: weighted(base, name) for name in METHODS} | VARIANTS
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise InputError(f"`--methods`: no {', '.join(unknown)}; known: {', '.join(known)}")
    return {label: load(model, *known[label], file=file, batch_size=batch_size) for label in labels}


def ours(label: str, config: Config) -> Training:
    """A training as train.py makes it, without validation and checkpoints."""
    made = Made(config)
    batches, state = made.loader.iterator(), made.trainer.state
    size = optax.tree.size(state.params)

    def turn(steps: int) -> Turn:
        nonlocal state
        state, found, finite = loaded(made.trainer.step, state, batches, steps)
        if not finite:
            raise InputError(f"{label}: a loss or gradient was not finite")
        return found

    return Training(size, turn)


def loaded(
    step: Callable[..., tuple], state: Any, batches: Iterator[tuple], number: int
) -> tuple[Any, Turn, bool]:
    """Steps on batches of a loader, whose reading ahead is paid for.

    Returns:
        The state after them, what they took, and whether the last one was finite.
    """
    end_of_work()
    begin, jets, waiting, before = time.perf_counter(), 0, 0.0, None
    for _ in range(number):
        asked = time.perf_counter()
        batch = next(batches)
        waiting += time.perf_counter() - asked
        jets += int(batch[0].jet_valid.sum())
        state, metrics = step(state, *jax.device_put(batch, jax.devices()[0]))
        # As in training, what a step reports is fetched when the next one is on its way.
        jax.block_until_ready(before)
        before = metrics
    jax.block_until_ready(state)
    return state, Turn(jets, end_of_work() - begin, waiting), bool(metrics.finite)


def theirs(ask: Ask, config: Config) -> dict[str, Training]:
    """Salt's trainings of the same network, on the same inputs, file and batch size."""
    told = settings(config)

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


def table(rows: Sequence[Row], parameters: dict[str, int], batch_size: int) -> Table:
    """Medians of the turns and of their ratios, and between which values all of them lie.

    Args:
        rows: the reference first.
        parameters: label -> number of them.
        batch_size: jets of a batch.
    """
    ratio = f"to {rows[0].label}"
    columns = {"training": "", "parameters": ",d", "jets/s": ",.0f", "least": ",.0f"}
    columns |= {"most": ",.0f", ratio: ".3f", "least ratio": ".3f", "most ratio": ".3f"}
    lines = []
    for row in rows:
        rates = _rates(row.turns)
        ratios = _spread(rates / _rates(row.before)) if row.before else 3 * [None]
        waiting = sum(turn.waiting for turn in row.turns) / sum(turn.seconds for turn in row.turns)
        lines.append([row.label, parameters[row.label], *_spread(rates), *ratios, waiting])
    title = f"Training on batches of {batch_size} jets"
    return Table(title, columns | {"waiting for data": ".2%"}, lines)


def load_table(path: Path) -> Table:
    """The table of the turns that `run` wrote."""
    found = json.loads(path.read_text())
    rows = []
    for label, turns in found["turns"].items():
        before = found["reference_before"][label]
        rows.append(Row(label, [Turn(*turn) for turn in turns], [Turn(*turn) for turn in before]))
    return table(rows, found["parameters"], found["batch_size"])


def _rates(turns: Sequence[Turn]) -> np.ndarray:
    return np.array([turn.jets / turn.seconds for turn in turns])


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())
