"""The run folder: refused when it holds something, created only when all inputs are good.

RUN/config.yaml          every option, as resolved
RUN/normalisation.yaml   means and spreads of inputs and targets
RUN/baseline.npz         templates of the impact-parameter baseline
RUN/checkpoints/         last/STEP and best/STEP, best by `training.monitor`
RUN/nonfinite_batch.npz  only after a loss or gradient that was not finite
RUN/metrics.jsonl        the log, one JSON object a line
RUN/interactions.jsonl   gradients of the tasks beside each other, if `training` says so
RUN/tensorboard/         the same for TensorBoard
RUN/evaluation/          what `evaluate.py` writes
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError

CONFIG_FILE = "config.yaml"
# Options that leave the steps of a resumed run as they would have been, up to rounding (and but
# for the draws of the dropout and the rows of `weighting.gramian_fraction`).
MAY_CHANGE = (
    "output_dir",
    "data.train_file",
    "data.val_file",
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
            f"`python train.py --resume {run}`"
        )


def create(run: Path, config: Config) -> None:
    """Creates the folder with the resolved configuration in it.

    Raises:
        InputError: the folder can't be created or written to.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        configuration.save(config, run / CONFIG_FILE)
    except OSError as error:
        raise InputError(f"`output_dir` {run} can't be written to: {error.strerror}") from error


def resumed(argv: Sequence[str]) -> list[str]:
    """The command line that `--resume RUN` stands for: the configuration in RUN, and RUN itself.

    Args:
        argv: command line with `--resume`; what follows overrides the configuration.

    Raises:
        InputError: `--resume` is not followed by a run folder.
    """
    position = list(argv).index("--resume")
    if position + 1 == len(argv):
        raise InputError("`--resume` must be followed by a run folder; got nothing")
    run = argv[position + 1]
    if not (Path(run) / CONFIG_FILE).is_file():
        raise InputError(f"`--resume` must name a run folder; {run} has no {CONFIG_FILE}")
    rest = [*argv[:position], *argv[position + 2 :]]
    return ["--config", str(Path(run) / CONFIG_FILE), *rest, f"--output_dir={run}"]


def check_is_continued(run: Path, config: Config) -> None:
    """Raises InputError if an option that decides how the run goes on has changed since its start.

    A changed model is left to the checkpoint, which knows the parameter that does not fit.
    """
    saved = configuration.load(["--config", str(run / CONFIG_FILE)])
    before, now = (_flat(dataclasses.asdict(c)) for c in (saved, config))
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    refused = [name for name in changed if not name.startswith(MAY_CHANGE)]
    if refused:
        raise InputError(
            f"`{refused[0]}` can't change when a run is resumed: it was "
            f"{before.get(refused[0])!r}, got {now.get(refused[0])!r}"
        )


def _flat(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings by their dotted path."""
    leaves = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        leaves |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return leaves
