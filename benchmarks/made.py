"""What every benchmark starts from: a configuration, and the training that it describes."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from maskformer_jax import config as configuration
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, fit_scaling
from maskformer_jax.errors import check, known
from maskformer_jax.experiment import training_loader
from maskformer_jax.training import loop
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import METHODS

SHIPPED = Path("configs")
SAMPLE = "data/sample/train.h5"

Result = TypeVar("Result")


def timed(function: Callable[..., Result], *arguments: Any) -> tuple[float, Result]:
    """Seconds until the result of a function is there, and the result."""
    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begin, result


def load(model: str, *options: str, file: str | None = None, batch_size: int = 0) -> Config:
    """The configuration of a model.

    Args:
        model: YAML file, or name of one in `configs`.
        *options: of train.py.
        file: to train on; none: that of the configuration.
        batch_size: jets of a batch; 0: that of the configuration.

    Raises:
        InputError: there is no such model.
    """
    if not model.endswith((".yaml", ".yml")):
        known(model, sorted(path.stem for path in SHIPPED.glob("*.yaml")), "model")
        model = str(SHIPPED / f"{model}.yaml")
    given = {"data.train_file": file, "training.batch_size": batch_size}
    found = [f"--{option}={value}" for option, value in given.items() if value]
    return configuration.load([f"--config={model}", *found, *options])


def overlay(method: str) -> str:
    """The option of train.py that chooses a weighting."""
    return f"--config=configs/weighting/{method}.yaml"


def weighted(config: Config, method: str) -> list[str]:
    """The same for a model whose own weighting stays as it is, with weights of its own losses."""
    return [] if config.weighting.name == method else [overlay(method)]


def chosen(
    names: Sequence[str] | None, there: Iterable[str] = METHODS, what: str = "method"
) -> list[str]:
    """The given names, each once, or all that there are.

    Raises:
        InputError: a name is unknown.
    """
    for name in names or ():
        known(name, there, what)
    return list(dict.fromkeys(names or there))


def at_least(least: float, **options: float | Sequence[float]) -> None:
    """Raises InputError unless every number that an option was given is as large as that."""
    for name, value in options.items():
        check(np.min(value) >= least, f"--{name}", f"be at least {least}", value)


class Made:
    """A training as train.py makes it, without validation and checkpoints.

    Attributes:
        config: of the training.
        model: network and losses.
        loader: of its batches.
    """

    def __init__(self, config: Config):
        """Reads the file that the configuration names.

        Raises:
            InputError: it names none, or one that does not fit.
        """
        self.config, self.model, data = config, build(config), config.data
        check(data.train_file is not None, "--file", "name a file to train on", data.train_file)
        file = JetFile(data.train_file, self.model.schema)
        scaling = fit_scaling(file, norm_file=data.norm_file, num_jets=data.train_jets)
        self.loader = training_loader(config, self.model, file, scaling)

    @cached_property
    def trainer(self) -> loop.Trainer:
        """State and step."""
        steps = self.config.training.epochs * self.loader.steps_per_epoch
        return loop.build(self.config, self.model, steps, spread=self.loader.layout.spread)

    def batch(self) -> tuple[Batch, Labels]:
        """The first batch."""
        with closing(self.loader.iterator()) as batches:
            return next(batches)
