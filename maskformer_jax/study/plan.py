"""The runs of a study, each with its resolved configuration, and what is wrong with them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import optax

from maskformer_jax import configuration
from maskformer_jax.build import build_tasks
from maskformer_jax.config import Config, tables
from maskformer_jax.data import JetFile, schema
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError, known
from maskformer_jax.evaluation.outputs import outputs_of
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


def plan(study: StudyConfig, models: Sequence[str] | None = None) -> list[Run]:
    """All runs in the order in which they are made: every model with the first seed, and so on.

    Args:
        study: the study.
        models: some of its models; none: all.

    Raises:
        InputError: a model is unknown, or the configuration of one is wrong.
    """
    for name in models or ():
        known(name, study.models, "model (`--models`)")
    chosen = [name for name in study.models if models is None or name in models]
    return [_run(study, model, seed) for seed in study.seeds for model in chosen]


def _run(study: StudyConfig, name: str, seed: int) -> Run:
    model, folder = study.models[name], Path(study.output_dir) / name / f"seed_{seed}"
    argv = [f"--config={path}" for path in (*study.configs, *model.configs)]
    overrides = {**study.overrides, **model.overrides, "training.seed": seed}
    overrides["output_dir"] = str(folder)
    with _naming(name):
        config = configuration.load(argv, Config, "", tables(), overrides=overrides.items())
    return Run(name, seed, folder, config)


@contextlib.contextmanager
def _naming(model: str) -> Iterator[None]:
    """Says which model an error is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"model `{model}`: {error}") from error


def check(runs: Sequence[Run], tests: Mapping[str, str]) -> None:
    """Finds what would stop a run, before the first one starts.

    Args:
        runs: all with resolved configurations.
        tests: name -> file that they are evaluated on.

    Raises:
        InputError: a method or its options are wrong, a file is missing or does not match the
            layout, or a run folder was made with other options.
    """
    opened = set()
    for run in runs:
        with _naming(run.model):
            read, data = _check_options(run.config), run.config.data
            _check_folder(run)
            for name, path, jets in (
                ("data.train_file", data.train_file, data.train_jets),
                ("data.val_file", data.val_file, data.val_jets),
                *((f"tests.{name}", path, None) for name, path in tests.items()),
            ):
                if (file := (path, jets, repr(read))) not in opened:
                    _check_file(name, path, jets, read)
                opened.add(file)


def _check_options(config: Config) -> Schema:
    """What is read for the tasks, whose losses weighting and monitor must fit."""
    tasks = build_tasks(config)
    losses = [loss for task in tasks for loss in task.losses]
    known = {"steps_per_epoch": 1, "optimiser": optax.identity(), "norm_params": lambda path: True}
    method.make(config.weighting, losses, left_out(config.tasks, config.without), **known)
    validation.monitored(config.training.monitor, tasks)
    read = schema.build(config.data, [task.needs for task in tasks])
    outputs_of(tasks, read, config.name)
    return read


def _check_file(name: str, path: str | None, needed: int | None, read: Schema) -> None:
    if path is None:
        raise InputError(f"`{name}` must name an HDF5 file; got none")
    # A test may lack labels; what needs them is left out then.
    jets = JetFile(path, read, "optional" if name.startswith("tests.") else "required")
    jets.close()
    if (needed or 1) > jets.num_jets:
        raise InputError(
            f"{path} has {jets.num_jets} jets, fewer than the {needed} of "
            f"`{name.replace('_file', '_jets')}`"
        )


def _check_folder(run: Run) -> None:
    """A folder that is there must hold this run, or what is left of a run that never began."""
    if not (run.folder / run_folder.CONFIG_FILE).exists():
        run_folder.check_is_free(run.folder)
        return
    # Other options than when a run is resumed: the jets may have moved, but not changed.
    for name, (before, now) in run_folder.differences(run.folder, run.config).items():
        is_free = run_folder.matches(name, run_folder.RESUMED)
        is_moved = Path(str(before)).name == Path(str(now)).name
        if not (is_moved if name == "data.train_file" else is_free):
            raise InputError(
                f"{run.folder} was made with `{name}` {before!r}, not {now!r}: choose another "
                "`output_dir`, or remove the folder"
            )
