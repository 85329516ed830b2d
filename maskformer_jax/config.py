"""The configuration of a run, put together from the sections of what they configure.

YAML files and dotted overrides are read by `configuration`; each section's dataclass stands beside
the code that it configures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskformer_jax import configuration
from maskformer_jax.canvas import PlotConfig
from maskformer_jax.configuration import chosen_by
from maskformer_jax.data.config import TRANSFORM_NAMES, DataConfig, TransformConfig
from maskformer_jax.errors import InputError, check
from maskformer_jax.evaluation.config import EvaluationConfig
from maskformer_jax.model.config import ModelConfig
from maskformer_jax.optimisers import OPTIMISERS, SCHEDULES
from maskformer_jax.tasks import KINDS, Kind
from maskformer_jax.training.config import TrainingConfig, WeightingConfig
from maskformer_jax.training.options import METHOD_OPTIONS


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        name: prefix of the model's fields in the prediction file, and part of names of plots; not
            `baseline`, which is what the impact-parameter tagger is called.
        output_dir: the run folder.
        data: files and what is in them.
        model: the network.
        tasks: what it learns, by a name of one's own choice.
        without: tasks and losses that are left out.
        weighting: how the losses are combined.
        training: optimiser, schedule, checkpoints, logs.
        evaluation: what is computed on a test file.
        plot: what all pictures have in common.
    """

    name: str = "model"
    output_dir: str = "runs/model"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    tasks: dict[str, object] = field(default_factory=dict, metadata=chosen_by("kind", "kinds"))
    without: list[str] = field(default_factory=list)
    weighting: WeightingConfig = field(default_factory=WeightingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    plot: PlotConfig = field(default_factory=PlotConfig)

    def __post_init__(self):
        usable = self.name not in ("", "baseline") and "/" not in self.name
        check(usable, "name", "be a name without `/`, other than `baseline`", self.name)
        _check_names(configuration.plain(self))


def _check_names(tree: Mapping[str, object], path: str = "") -> None:
    """Raises InputError where a name, such as that of a class, would begin a formula in plots."""
    for key, value in tree.items():
        if "$" in key:
            raise InputError(f"`{path}` must have names without `$`; got {key!r}")
        if isinstance(value, Mapping):
            _check_names(value, f"{path}.{key}".lstrip("."))


def tables(kinds: Mapping[str, Kind] = KINDS) -> dict[str, dict[str, type]]:
    """What names in a configuration stand for: name -> dataclass of the options."""
    return {
        "kinds": {name: kind.options for name, kind in kinds.items()},
        "optimisers": {name: choice.options for name, choice in OPTIMISERS.items()},
        "schedules": {name: choice.options for name, choice in SCHEDULES.items()},
        "methods": METHOD_OPTIONS,
        "transforms": dict.fromkeys(TRANSFORM_NAMES, TransformConfig),
    }


def load(
    argv: Sequence[str] | None = None,
    description: str = "",
    kinds: Mapping[str, Kind] = KINDS,
    words: Mapping[str, str] | None = None,
) -> Config:
    """The configuration that YAML files and overrides describe.

    Args:
        argv: `--config FILE` any number of times and `--section.field=value`, later ones win;
            none: those of the process.
        description: first line of `--help`.
        kinds: kinds of tasks that it may name.
        words: further ones of the command line, for `--help`.

    Raises:
        InputError: a file is missing, a key unknown, a type wrong, or a rule broken.
    """
    return configuration.load(argv, Config, description, tables(kinds), words=words)


def load_saved(path: Path, argv: Sequence[str] = (), kinds: Mapping[str, Kind] = KINDS) -> Config:
    """The configuration that `save` wrote, with overrides.

    Raises:
        InputError: as for `load`, or an older version wrote it.
    """
    if {"loss", "matching"} & set(configuration.read_file(path)):
        raise InputError(
            f"{path} is of version 0.1, whose options had other names: train again with the new "
            "ones, which are in CHANGELOG.md"
        )
    return configuration.load_saved(path, Config, tables(kinds), argv)


def save(config: Config, path: Path) -> None:
    """Writes every value of `config` as YAML that `load_saved` reads back."""
    configuration.save(config, path)
