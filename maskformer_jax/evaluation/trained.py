"""What a run folder holds that an evaluation needs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax import config as configuration
from maskformer_jax.build import Model, build
from maskformer_jax.config import Config
from maskformer_jax.data import NORMALISATION_FILE, Records, Scaling
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.training import manifest
from maskformer_jax.training.checkpoint import restore_params
from maskformer_jax.training.compilation import settle
from maskformer_jax.training.run_folder import (
    BASELINE_FILE,
    CONFIG_FILE,
    EVALUATED,
    check_unchanged,
)
from maskformer_jax.types import Batch


class Trained(NamedTuple):
    """What a run folder holds.

    Attributes:
        config: resolved configuration, with overrides.
        scaling: of inputs and targets.
        model: the network and its tasks.
        params: of the best checkpoint.
        baseline: impact-parameter tagger; none where the run has none or the config wants none.
        network: what stands for the parameters, made of the rows of a file and their batch; none:
            the parameters do.
    """

    config: Config
    scaling: Scaling
    model: Model
    params: Any
    baseline: Baseline | None
    network: Callable[[Records, Batch], Any] | None = None


def load_run(run: Path, overrides: Sequence[str] = ()) -> Trained:
    """Everything in a run folder that an evaluation needs.

    Args:
        run: the folder.
        overrides: command-line arguments that win over the folder's configuration.

    Raises:
        InputError: the folder is missing, incomplete or damaged.
    """
    settle()
    config = load_config(run, overrides)
    scaling = Scaling.load(run / NORMALISATION_FILE)
    model = build(config)
    scaling.check(model.schema)
    params = restore_params(run, model.params)
    file, wanted = run / BASELINE_FILE, config.evaluation.baseline
    baseline = Baseline.load(file, wanted) if wanted and file.exists() else None
    return Trained(config, scaling, model, params, baseline)


def load_config(run: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a run folder.

    Args:
        run: the folder.
        overrides: command-line arguments that win over it.

    Raises:
        InputError: the folder is missing, incomplete or damaged, or an option makes another model.
    """
    path = run / CONFIG_FILE
    for needed in (run, path, run / NORMALISATION_FILE):
        if not needed.exists():
            raise InputError(f"{needed}: no such file or folder; `--run` must be a training run")
    manifest.read(run)
    config = configuration.load_saved(path, overrides)
    check_unchanged(run, config, EVALUATED, "evaluated")
    return config
