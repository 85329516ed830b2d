"""Jets/s of training, data loading included, and with `--peers` of Salt's training beside it.

Every turn of a training follows one of the reference, on the same cores and device, so that a
disturbance of the machine meets both: the ratio of the two is what counts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

from benchmarks.made import SAMPLE, Made, at_least, chosen, load, overlay, weighted
from benchmarks.peer_process import Ask, peer, salt_settings
from benchmarks.settings import SALT
from benchmarks.tables import Table
from benchmarks.turns import Turn, bind, end_of_work, rounds, spread, turn
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.weighting import METHODS

# Label -> what follows the model on the command line of train.py, beside the names of the methods,
# which are labels, too. Turns of a multiple of ten steps renew the weights equally often.
EQUAL, CAGRAD = overlay("equal"), overlay("cagrad")
VARIANTS: dict[str, Sequence[str]] = {
    "equal, padded": (EQUAL, "--training.pack=false"),
    "cagrad, every 10": (CAGRAD, "--weighting.every=10"),
    "cagrad, fraction 1/8": (CAGRAD, "--weighting.gramian_fraction=0.125"),
    "cagrad, fraction 1/16": (CAGRAD, "--weighting.gramian_fraction=0.0625"),
    "cagrad, representation": (CAGRAD, "--weighting.at=representation"),
}
DEFAULT = ("equal", "cagrad", *VARIANTS)


class Training(NamedTuple):
    """A network in training: its number of parameters, and what makes so many steps."""

    parameters: int
    turn: Callable[[int], Turn]


def run(
    model: str = "maskformer_small",
    file: str = SAMPLE,
    methods: Sequence[str] = DEFAULT,
    batch_size: int = 500,
    repeats: int = 5,
    steps: int = 10,
    dtype: str | None = None,
    cores: int = 2,
    peers: bool = False,
    peer_python: str | None = None,
) -> Iterator[dict[str, Table]]:
    """Jets/s of training steps, loading included.

    The reference is Salt with `--peers`, the first of the methods without.

    Args:
        model: YAML file, or name of one in configs; with --peers a MaskFormer or GN2
        methods: names of methods, or variants of them
        steps: of a turn
        dtype: of the arithmetic, bfloat16 or float32; none: that of the model
        cores: of the CPU
    """
    at_least(1, batch_size=batch_size, repeats=repeats, steps=steps, cores=cores)
    configs = configs_of(methods, model, file, batch_size, dtype)
    bind(cores)
    with peer(peer_python, "salt_process", cores) if peers else nullcontext() as ask:
        trainings = theirs(ask, next(iter(configs.values()))) if ask else {}
        trainings |= {label: ours(label, config) for label, config in configs.items()}
        found = interleaved(trainings, repeats, steps)
    parameters = {label: training.parameters for label, training in trainings.items()}
    yield {"training": table(found, parameters, batch_size)}


def configs_of(
    methods: Sequence[str], model: str, file: str, batch_size: int, dtype: str | None
) -> dict[str, Config]:
    """The configuration of every label that is asked for.

    Raises:
        InputError: a label is unknown, or the configuration wrong.
    """
    base, options = load(model), [f"--model.compute_dtype={dtype}"] if dtype else []
    known = {name: weighted(base, name) for name in METHODS} | VARIANTS
    return {
        label: load(model, *known[label], *options, file=file, batch_size=batch_size)
        for label in chosen(methods, known)
    }


def ours(label: str, config: Config) -> Training:
    """A training as train.py makes it, without validation and checkpoints."""
    made = Made(config)
    batches, state = made.loader.iterator(), made.trainer.state
    size = optax.tree.size(state.params)

    def take(steps: int) -> Turn:
        nonlocal state
        state, found = loaded(made.trainer.step, state, batches, steps)
        if not state.finite:
            raise InputError(f"{label}: a loss or gradient was not finite")
        return found

    return Training(size, take)


def loaded(
    step: Callable[..., tuple], state: Any, batches: Iterator[tuple], number: int
) -> tuple[Any, Turn]:
    """The state after steps on batches of a loader, whose reading ahead is paid for."""
    before = None

    def one(batch: tuple) -> int:
        nonlocal state, before
        state, metrics = step(state, *jax.device_put(batch, jax.devices()[0]))
        # As in training, what a step reports is fetched when the next one is on its way.
        jax.block_until_ready(before)
        before = metrics
        return int(batch[0].jet_valid.sum())

    def end() -> float:
        jax.block_until_ready(state)
        return end_of_work()

    end_of_work()
    found = turn(batches, one, number, end)
    return state, found


def theirs(ask: Ask, config: Config) -> dict[str, Training]:
    """Salt's trainings of the same network, on the same inputs, file, batch size and device.

    Args:
        ask: Salt's process.
        config: of our training.
    """
    device = {"gpu": "cuda"}.get(jax.default_backend(), "cpu")
    told = salt_settings(config) | {"device": device, "dtype": config.model.compute_dtype}

    def take(label: str, steps: int) -> Turn:
        return Turn(*ask("turn", label, steps))

    return {label: Training(ask("train", label, told), partial(take, label)) for label in SALT}


def interleaved(
    trainings: Mapping[str, Training], repeats: int, steps: int
) -> dict[str, list[tuple[Turn, Turn]]]:
    """Turns of every training, each after one of the first of them, which is the reference."""
    reference, *others = trainings.values()
    for training in trainings.values():
        training.turn(2)  # compiles, and again for a state that a step has left on its device

    def pair(training: Training) -> tuple[Turn, Turn]:
        before = reference.turn(steps)
        return before, before if training is reference else training.turn(steps)

    labels = list(trainings)[1:] if others else trainings
    return rounds({label: partial(pair, trainings[label]) for label in labels}, repeats, warm=0)


def table(
    pairs: Mapping[str, Sequence[tuple[Turn, Turn]]], parameters: dict[str, int], batch_size: int
) -> Table:
    """Medians of the turns and of their ratios, and between which values all of them lie.

    Args:
        pairs: label -> turns, each behind the turn of the reference before it.
        parameters: label -> number of them, the reference first.
        batch_size: jets of a batch.
    """
    reference = next(iter(parameters))
    turns = {reference: [before for found in pairs.values() for before, _ in found]}
    turns |= {label: [turn for _, turn in found] for label, found in pairs.items()}
    lines = []
    for label, found in turns.items():
        ratios = [turn.rate / before.rate for before, turn in pairs.get(label, ())]
        compared = 3 * [None] if label == reference else spread(ratios)
        rates = spread([turn.rate for turn in found])
        waiting = sum(turn.waiting for turn in found) / sum(turn.seconds for turn in found)
        lines.append([label, parameters[label], *rates, *compared, waiting])
    columns = {"training": "", "parameters": ",d", "jets/s": ",.0f", "least": ",.0f"}
    columns |= {"most": ",.0f", f"to {reference}": ".3f", "least ratio": ".3f"}
    columns |= {"most ratio": ".3f", "waiting for data": ".2%"}
    return Table(f"Training on batches of {batch_size} jets", columns, lines, raw=pairs)
