"""The run folder: refused when it holds something, created only when all inputs are good.

RUN/config.yaml          every option, as resolved
RUN/normalisation.yaml   means and spreads of inputs and targets
RUN/baseline.npz         templates of the impact-parameter baseline
RUN/checkpoints/         last/STEP and best/STEP
RUN/metrics.jsonl        the log, one JSON object a line
RUN/tensorboard/         the same for TensorBoard
RUN/evaluation/          what `evaluate.py` writes
"""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError


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
        configuration.save(config, run / "config.yaml")
    except OSError as error:
        raise InputError(f"`output_dir` {run} can't be written to: {error.strerror}") from error


def config_file(arguments: Sequence[str]) -> Path:
    """The resolved configuration of the run that follows `--resume`.

    Args:
        arguments: the run folder, or nothing.

    Raises:
        InputError: there is no argument, or it is not a run folder.
    """
    if not arguments:
        raise InputError("`--resume` must be followed by a run folder; got nothing")
    path = Path(arguments[0]) / "config.yaml"
    if not path.is_file():
        raise InputError(f"`--resume` must name a run folder; {arguments[0]} has no config.yaml")
    return path
