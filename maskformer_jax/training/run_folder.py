"""The run folder: refused when it holds something, created only when all inputs are good.

RUN/config.yaml          every option, as resolved
RUN/normalisation.yaml   means and spreads of inputs and targets
RUN/baseline.npz         templates of the impact-parameter baseline
RUN/checkpoints/         last/STEP and best/STEP, best by `training.monitor`
RUN/nonfinite_batch.npz  only after a loss or gradient that was not finite
RUN/metrics.jsonl        the log, one JSON object a line
RUN/interactions.jsonl   gradients of the tasks beside each other, if `training` says so
RUN/tensorboard/         the same for TensorBoard
RUN/evaluation/          what `maskformer evaluate` writes
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.program import call_of

CONFIG_FILE = "config.yaml"
UNFINISHED_CONFIG_FILE = "config.tmp"
# Options that leave the steps of a resumed run as they would have been, up to rounding (and but
# for the draws of the dropout and the rows of `weighting.gramian_fraction`).
MAY_CHANGE = (
    "output_dir",
    "data.train_file",
    "data.val_file",
    "data.val_jets",
    "model.",
    "training.devices",
    "training.pack",
    "training.micro_batches",
    "training.backward",
    "training.log_every",
    "training.record_",
    "training.keep_checkpoints",
    "training.checkpoint_every",
    "evaluation.",
)


def check_is_free(run: Path) -> None:
    """Raises InputError if `run` holds anything, or is no folder."""
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise InputError(
            f"`output_dir` {run} is not empty: choose another, or continue it with "
            f"`{call_of('train')} --resume {run}`"
        )


def create(run: Path) -> None:
    """Creates the folder.

    Raises:
        InputError: the folder can't be created.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(run, error) from error


def complete(run: Path, config: Config) -> None:
    """Writes the resolved configuration, last of all: a folder that has it can be continued.

    Raises:
        InputError: the folder can't be written to.
    """
    unfinished = run / UNFINISHED_CONFIG_FILE
    try:
        configuration.save(config, unfinished)
        unfinished.replace(run / CONFIG_FILE)
    except OSError as error:
        raise _not_written(run, error) from error


def _not_written(run: Path, error: OSError) -> InputError:
    return InputError(f"`output_dir` {run} can't be written to: {error.strerror}")


def load_resumed(argv: Sequence[str]) -> Config:
    """The configuration that `--resume RUN` stands for: that in RUN, and RUN itself.

    Args:
        argv: command line with `--resume`; what follows overrides the configuration.

    Raises:
        InputError: `--resume` is not followed by a run folder, or an option is wrong.
    """
    position = list(argv).index("--resume")
    if position + 1 == len(argv):
        raise InputError("`--resume` must be followed by a run folder; got nothing")
    run = argv[position + 1]
    if not (Path(run) / CONFIG_FILE).is_file():
        raise InputError(f"`--resume` must name a run folder; {run} has no {CONFIG_FILE}")
    rest = [*argv[:position], *argv[position + 2 :], f"--output_dir={run}"]
    return configuration.load_saved(Path(run) / CONFIG_FILE, rest)


def check_is_continued(run: Path, config: Config) -> None:
    """Raises InputError if an option that decides how the run goes on has changed since its start.

    A changed model is left to the checkpoint, which knows the parameter that does not fit.
    """
    for name, (before, now) in differences(run, config).items():
        if not name.startswith(MAY_CHANGE):
            raise InputError(
                f"`{name}` can't change when a run is resumed: it was {before!r}, got {now!r}"
            )


def differences(run: Path, config: Config) -> dict[str, tuple[object, object]]:
    """Dotted options in which a configuration differs from that of a run: (there, here).

    Raises:
        InputError: the configuration of the run is damaged.
    """
    saved = configuration.load_saved(run / CONFIG_FILE)
    before, now = (_flat(dataclasses.asdict(c)) for c in (saved, config))
    pairs = {name: (before.get(name), now.get(name)) for name in sorted({*before, *now})}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings by their dotted path."""
    leaves = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        leaves |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return leaves
