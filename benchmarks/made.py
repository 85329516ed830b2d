"""What every benchmark starts from: a configuration, and the training that it describes."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import optax
from jaxtyping import PyTree

from maskformer_jax import config as configuration
from maskformer_jax import optimisers
from maskformer_jax.build import Model, build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, TrainLoader, fit_scaling
from maskformer_jax.errors import InputError, known
from maskformer_jax.experiment import training_layout
from maskformer_jax.gradients import LossSums, SumsOf
from maskformer_jax.training import loop
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import METHODS

SHIPPED = Path("configs")
SAMPLE = "data/sample/train.h5"


def file_of(model: str) -> str:
    """The YAML file that `--model` names: a file, or the name of one in `configs`.

    Raises:
        InputError: there is no such model.
    """
    if model.endswith((".yaml", ".yml")):
        return model
    known(model, sorted(path.stem for path in SHIPPED.glob("*.yaml")), "model")
    return str(SHIPPED / f"{model}.yaml")


def load(model: str, *options: str, file: str | None = None, batch_size: int = 0) -> Config:
    """The configuration of a model.

    Args:
        model: as `file_of` takes it.
        *options: of train.py.
        file: to train on; none: that of the configuration.
        batch_size: jets of a batch; 0: that of the configuration.
    """
    return configuration.load(
        [
            f"--config={file_of(model)}",
            *([f"--data.train_file={file}"] if file else []),
            *([f"--training.batch_size={batch_size}"] if batch_size else []),
            *options,
        ]
    )


def overlay(method: str) -> str:
    """The option of train.py that chooses a weighting."""
    return f"--config=configs/weighting/{method}.yaml"


def weighted(config: Config, method: str) -> list[str]:
    """The same for a model whose own weighting stays as it is, with weights of its own losses."""
    return [] if config.weighting.name == method else [overlay(method)]


def chosen(names: Sequence[str] | None) -> list[str]:
    """The given names, each once, or all methods.

    Raises:
        InputError: a name is unknown.
    """
    unknown = sorted(set(names or ()) - set(METHODS))
    if unknown:
        raise InputError(f"`--methods`: no {', '.join(unknown)}; known: {', '.join(METHODS)}")
    return list(dict.fromkeys(names or METHODS))


def sums_of(model: Model) -> SumsOf:
    """The losses of a part `(batch, labels, ...)` one by one."""

    def found(params: PyTree, part: PyTree) -> list[LossSums]:
        batch, labels, *_ = part
        return model.terms(model.apply(params, batch), batch, labels)

    return found


def loader_of(config: Config, model: Model) -> TrainLoader:
    """The batches of a training.

    Raises:
        InputError: the configuration names no file, or it does not fit.
    """
    data, settings = config.data, config.training
    if data.train_file is None:
        raise InputError("`--file` must name a file to train on; got none")
    file = JetFile(data.train_file, model.schema)
    return TrainLoader(
        file,
        fit_scaling(file, norm_file=data.norm_file, num_jets=data.train_jets),
        batch_size=settings.batch_size,
        seed=settings.seed,
        num_jets=data.train_jets,
        layout=training_layout(config, file, model.tokens),
    )


def batches_of(loader: TrainLoader, number: int) -> Iterator[tuple[Batch, Labels]]:
    """The first batches."""
    batches = loader.iterator()
    try:
        for _ in range(number):
            yield next(batches)
    finally:
        batches.close()


def optimiser_of(config: Config, steps: int) -> optax.GradientTransformation:
    """The optimiser of a training of so many steps."""
    settings = config.training
    chosen = (settings.optimiser, settings.schedule, settings.max_gradient_norm)
    return optimisers.build(*chosen, steps)[0]


class Made:
    """A training as train.py makes it, without validation and checkpoints.

    Attributes:
        config: of the training.
        model: network and losses.
        loader: of its batches.
        steps: of the whole training.
    """

    def __init__(self, config: Config):
        self.config, self.model = config, build(config)
        self.loader = loader_of(config, self.model)
        self.steps = config.training.epochs * self.loader.steps_per_epoch

    @cached_property
    def trainer(self) -> loop.Trainer:
        """State and step."""
        spread = self.loader.layout.spread
        return loop.build(self.config, self.model, self.steps, spread=spread)

    def batch(self) -> tuple[Batch, Labels]:
        """The first batch."""
        (batch,) = batches_of(self.loader, 1)
        return batch
