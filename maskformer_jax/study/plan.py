"""The runs of a study, each with its resolved configuration, and what is wrong with them."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import optax

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.data import NORMALISATION_FILE, JetFile
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import baseline
from maskformer_jax.study.config import StudyConfig, arguments
from maskformer_jax.training import method, run_folder, validation


class Run(NamedTuple):
    """A training of a study.

    Attributes:
        model: its name in the study.
        seed: of the training.
        folder: the run folder, as `train.py` makes it.
        config: resolved configuration of the training.
    """

    model: str
    seed: int
    folder: Path
    config: Config

    @property
    def name(self) -> str:
        """In messages."""
        return f"{self.model}, seed {self.seed}"


def run_folder_of(study: StudyConfig, model: str, seed: int) -> Path:
    """Where a training of the study lies."""
    return Path(study.output_dir) / model / f"seed_{seed}"


def plan(study: StudyConfig, models: Iterable[str] | None = None) -> list[Run]:
    """All runs in the order in which they are made: every model with the first seed, and so on.

    Args:
        study: the study.
        models: some of its models; none: all.

    Raises:
        InputError: a model is unknown, or the configuration of one is wrong.
    """
    wanted = set(study.models if models is None else models)
    unknown = sorted(wanted - set(study.models))
    if unknown:
        raise InputError(
            f"`--models` must be among {', '.join(study.models)}; got {', '.join(unknown)}"
        )
    chosen = [name for name in study.models if name in wanted]
    return [_run(study, model, seed) for seed in study.seeds for model in chosen]


def _run(study: StudyConfig, name: str, seed: int) -> Run:
    model, folder = study.models[name], run_folder_of(study, name, seed)
    argv = [
        *(f"--config={path}" for path in study.configs),
        *arguments(study.overrides),
        *(f"--config={path}" for path in model.configs),
        *arguments(model.overrides),
        f"--training.seed={seed}",
        f"--output_dir={folder}",
    ]
    try:
        return Run(name, seed, folder, configuration.load(argv))
    except InputError as error:
        raise InputError(f"model `{name}`: {error}") from error


def check(study: StudyConfig, runs: Sequence[Run]) -> None:
    """Finds what would stop a run, before the first one starts.

    Raises:
        InputError: a method or its options are wrong, a file is missing or does not match the
            layout, or a run folder was made with other options.
    """
    opened = set()
    for run in runs:
        try:
            _check_options(run.config)
            _check_folder(run)
            files = (run.config.data.train_file, run.config.data.val_file, *study.tests.values())
            for path in files:
                key = (path, repr(dataclasses.replace(run.config.data, train_file=None)))
                if key not in opened:
                    _check_file(path, run.config)
                opened.add(key)
        except InputError as error:
            raise InputError(f"model `{run.model}`: {error}") from error


def _check_options(config: Config) -> None:
    known = {"steps_per_epoch": 1, "optimiser": optax.identity(), "norm_params": lambda path: True}
    method.make(config.weighting, **known)
    if config.training.monitor not in validation.QUANTITIES:
        raise InputError(
            f"`training.monitor` must be one of {', '.join(validation.QUANTITIES)}; got "
            f"{config.training.monitor!r}"
        )


def _check_file(path: str | None, config: Config) -> None:
    if path is None:
        raise InputError("`data.train_file` and `data.val_file` must name HDF5 files; got none")
    JetFile(path, config.data).close()


def _check_folder(run: Run) -> None:
    """A folder that is there must hold this run, or what is left of a run that never began."""
    if not (run.folder / run_folder.CONFIG_FILE).exists():
        if not is_abandoned(run.folder):
            run_folder.check_is_free(run.folder)
        return
    for name, (before, now) in run_folder.differences(run.folder, run.config).items():
        if not _may_differ(name, before, now):
            raise InputError(
                f"{run.folder} was made with `{name}` {before!r}, not {now!r}: choose another "
                "`output_dir`, or remove the folder"
            )


def _may_differ(name: str, before: object, now: object) -> bool:
    """Other options than when a run is resumed: the jets may have moved, but not changed."""
    if name == "data.train_file":
        return Path(str(before)).name == Path(str(now)).name
    return name.startswith(run_folder.MAY_CHANGE) and not name.startswith("model.")


def is_abandoned(folder: Path) -> bool:
    """Whether a training was killed while it made its folder, before the configuration."""
    made = {NORMALISATION_FILE, baseline.FILE_NAME, run_folder.UNFINISHED_CONFIG_FILE}
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= made
