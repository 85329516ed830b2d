"""What every benchmark starts from: a configuration, and the training that it describes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optax
from jaxtyping import PyTree

from maskformer_jax import config as configuration
from maskformer_jax import optimisers
from maskformer_jax.build import Model, build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, fit_scaling
from maskformer_jax.errors import check, known
from maskformer_jax.experiment import training_loader
from maskformer_jax.gradients import LossSums, SumsOf
from maskformer_jax.training import loop
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import METHODS

SHIPPED = Path("configs")
SAMPLE = "data/sample/train.h5"


def arguments(model: str, *options: str, file: str | None = None, batch_size: int = 0) -> list[str]:
    """The command line of train.py for a model.

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
    found = [f"--config={model}", *([f"--data.train_file={file}"] if file else [])]
    return [*found, *([f"--training.batch_size={batch_size}"] if batch_size else []), *options]


def load(model: str, *options: str, file: str | None = None, batch_size: int = 0) -> Config:
    """The configuration that these `arguments` describe."""
    return configuration.load(arguments(model, *options, file=file, batch_size=batch_size))


class Settings(NamedTuple):
    """What the cost of a step is measured with.

    Attributes:
        model: YAML file, or name of one in `configs`.
        files: label -> training file; the first is the one that steps are made on.
        batch_size: jets of a batch.
        repeats: turns of everything that is timed; the median counts.
        steps: of a turn.
    """

    model: str
    files: Mapping[str, str]
    batch_size: int
    repeats: int
    steps: int

    def options(self, *more: str) -> list[str]:
        """Of train.py, and further ones."""
        file = next(iter(self.files.values()))
        return arguments(self.model, *more, file=file, batch_size=self.batch_size)

    def config(self, *more: str) -> Config:
        """The configuration that these describe."""
        return configuration.load(self.options(*more))


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


def sums_of(model: Model) -> SumsOf:
    """The losses of a part `(batch, labels, ...)` one by one."""

    def found(params: PyTree, part: PyTree) -> list[LossSums]:
        batch, labels, *_ = part
        return model.terms(model.apply(params, batch), batch, labels)

    return found


class Made:
    """A training as train.py makes it, without validation and checkpoints.

    Attributes:
        config: of the training.
        model: network and losses.
        loader: of its batches.
        steps: of the whole training.
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
        self.steps = config.training.epochs * self.loader.steps_per_epoch

    @cached_property
    def trainer(self) -> loop.Trainer:
        """State and step."""
        spread = self.loader.layout.spread
        return loop.build(self.config, self.model, self.steps, spread=spread)

    def optimiser(self, steps: int) -> optax.GradientTransformation:
        """Of a training of so many steps."""
        settings = self.config.training
        chosen = (settings.optimiser, settings.schedule, settings.max_gradient_norm)
        return optimisers.build(*chosen, steps)[0]

    def batches(self, number: int) -> Iterator[tuple[Batch, Labels]]:
        """The first batches."""
        batches = self.loader.iterator()
        yield from islice(batches, number)
        batches.close()

    def batch(self) -> tuple[Batch, Labels]:
        """The first batch."""
        (batch,) = self.batches(1)
        return batch
