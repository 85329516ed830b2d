"""The runs of a study, each with its resolved configuration, and what is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import optax

from maskformer_jax import configuration
from maskformer_jax.build import build_tasks
from maskformer_jax.config import Config, tables
from maskformer_jax.data import NORMALISATION_FILE, JetFile, schema
from maskformer_jax.data.config import DataConfig
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import baseline
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.tasks import left_out
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
    argv = [f"--config={path}" for path in (*study.configs, *model.configs)]
    overrides = {**study.overrides, **model.overrides, "training.seed": seed}
    overrides["output_dir"] = str(folder)
    try:
        config = configuration.load(argv, Config, "", tables(), overrides=overrides.items())
    except InputError as error:
        raise InputError(f"model `{name}`: {error}") from error
    return Run(name, seed, folder, config)


def check(study: StudyConfig | None, runs: Sequence[Run]) -> None:
    """Finds what would stop a run, before the first one starts.

    Args:
        study: what the runs are evaluated on; none: they are not evaluated.
        runs: all with resolved configurations.

    Raises:
        InputError: a method or its options are wrong, a file is missing or does not match the
            layout, or a run folder was made with other options.
    """
    opened, tests = set(), {} if study is None else study.tests
    for run in runs:
        try:
            read = _check_options(run.config)
            _check_folder(run)
            for file in _files(tests, run.config.data):
                if (file, repr(read)) not in opened:
                    _check_file(file, read)
                opened.add((file, repr(read)))
        except InputError as error:
            raise InputError(f"model `{run.model}`: {error}") from error


def _check_options(config: Config) -> Schema:
    """What is read for the tasks, whose losses weighting and monitor must fit."""
    tasks = build_tasks(config)
    losses = [loss for task in tasks for loss in task.losses]
    known = {"steps_per_epoch": 1, "optimiser": optax.identity(), "norm_params": lambda path: True}
    method.make(config.weighting, losses, left_out(config.tasks, config.without), **known)
    validation.monitored(config.training.monitor, tasks)
    return schema.build(config.data, [task.needs for task in tasks])


class File(NamedTuple):
    """A file that a study reads, and how many of its jets.

    Attributes:
        name: the option that names it.
        path: the file.
        jets: how many of its first jets are used; none: all.
    """

    name: str
    path: str | None
    jets: int | None = None


def _files(tests: Mapping[str, str], data: DataConfig) -> list[File]:
    return [
        File("data.train_file", data.train_file, data.train_jets),
        File("data.val_file", data.val_file, data.val_jets),
        *(File(f"tests.{name}", path) for name, path in tests.items()),
    ]


def _check_file(file: File, read: Schema) -> None:
    if file.path is None:
        raise InputError(f"`{file.name}` must name an HDF5 file; got none")
    # A test may lack labels; what needs them is left out then.
    truth = "optional" if file.name.startswith("tests.") else "required"
    jets = JetFile(file.path, read, truth)
    jets.close()
    if (file.jets or 1) > jets.num_jets:
        raise InputError(
            f"{file.path} has {jets.num_jets} jets, fewer than the {file.jets} of "
            f"`{file.name.replace('_file', '_jets')}`"
        )


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
