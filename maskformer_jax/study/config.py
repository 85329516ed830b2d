"""What a study consists of: YAML files and dotted overrides, read into frozen dataclasses.

Overrides whose first word is a section of a training's configuration (`--data.train_file F`) go to
every training of the study; all others (`--tests.ttbar F`, `--output_dir DIR`) change the study.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax import configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import Text
from maskformer_jax.errors import check
from maskformer_jax.errors import known as known_name

# What names folders and columns.
NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True)
class StudyModelConfig:
    """One model of a study: how its training differs from the others.

    Attributes:
        group: which of `groups` it belongs to.
        label: in tables and pictures, LaTeX between dollars; empty: the name of the model.
        configs: configuration files, read after those of the study.
        overrides: dotted options of the training -> value.
    """

    group: str
    label: str = ""
    configs: list[str] = field(default_factory=list)
    overrides: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimConfig:
    """A published statement, which the report confronts with the results.

    Attributes:
        text: the statement.
        source: where it is made.
        predicate: what decides it: the mean of `of` is larger than that of `against`; `of` is the
            highest or the lowest; the models with `option` are better than the same without in
            everything; all models but those `apart` are alike.
        quantity: that is compared.
        of: models, or groups of them, that it is about.
        against: models, or groups of them, that these are compared with.
        apart: models, or groups of them, that it is not about.
        option: dotted option of a model's overrides.
        bound: on the range of what is alike, in the unit of the quantity.
        remark: sentences behind the evidence.
    """

    text: str
    source: str
    predicate: Literal["larger_mean", "highest", "lowest", "option_helps", "alike"]
    quantity: Literal["light_rejection", "residual_width", "constituent_auc"] = "light_rejection"
    of: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    option: str = ""
    bound: float = 0.0
    remark: str = ""


@dataclass(frozen=True)
class StudyConfig:
    """A study.

    Attributes:
        name: title of the report.
        output_dir: folder of the study; the training runs are MODEL/seed_SEED in it.
        configs: configuration files of every training.
        overrides: dotted options of every training -> value; those of a model win.
        seeds: seeds of every model.
        reference: the model that the others are compared with.
        tests: name -> HDF5 file that every run is evaluated on.
        keep_predictions: keep predictions.h5 of every evaluation.
        groups: in the order of the tables.
        models: name -> model, in the order of the tables and the trainings.
        figures: test -> patterns of the names of the pictures in the report; all of a test that is
            not named.
        claims: name -> published statement, in the order of the report.
    """

    name: str = "Study"
    output_dir: str = "runs/study"
    configs: list[str] = field(default_factory=list)
    overrides: dict[str, object] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    reference: str = ""
    tests: dict[str, str] = field(default_factory=dict)
    keep_predictions: bool = False
    groups: list[str] = field(default_factory=list)
    models: dict[str, StudyModelConfig] = field(default_factory=dict)
    figures: dict[str, list[str]] = field(default_factory=dict)
    claims: dict[str, ClaimConfig] = field(default_factory=dict)

    def __post_init__(self):
        for argument, names in (("models", self.models), ("tests", self.tests)):
            check(len(names) > 0, argument, "name at least one", list(names))
            bad = [name for name in names if not NAME.fullmatch(name)]
            check(not bad, argument, "have names of letters, digits and `_.+-`", bad)
        known = list(self.models)
        check(self.reference in known, "reference", f"be one of {known}", self.reference)
        for name, model in self.models.items():
            rule = f"be one of `groups` {self.groups}"
            check(model.group in self.groups, f"models.{name}.group", rule, model.group)
        for name, claim in self.claims.items():
            for model in (*claim.of, *claim.against, *claim.apart):
                known_name(model, [*known, *self.groups], f"model or group of `claims.{name}`")
            one = claim.predicate not in ("highest", "lowest") or len(claim.of) == 1
            check(one, f"claims.{name}.of", "name one model", claim.of)
        unknown = [name for name in self.figures if name not in self.tests]
        check(not unknown, "figures", f"name tests, {list(self.tests)}", unknown)
        different = len(set(self.seeds)) == len(self.seeds) > 0
        good = different and min(self.seeds) >= 0
        check(good, "seeds", "be different and at least 0", self.seeds)

    def label(self, model: str) -> str:
        """Of a model, in tables and pictures."""
        return self.models[model].label or model


# What a training has and a study has not.
SECTIONS = {f.name for f in dataclasses.fields(Config)} - {
    f.name for f in dataclasses.fields(StudyConfig)
}


def load(argv: Sequence[str], description: str = "") -> StudyConfig:
    """The study that YAML files and overrides describe.

    Args:
        argv: `--config FILE` any number of times, and dotted overrides of the study or, beginning
            with a section of the training's configuration, of all its trainings.
        description: first line of `--help`.

    Raises:
        InputError: a file is missing, a key unknown, a type wrong, or a rule broken.
    """
    own, given = [], {}
    for option, values in _options(argv):
        name = option.removeprefix("--")
        if name.split(".")[0] in SECTIONS:
            check(len(values) == 1, name, "be given one value", values)
            given[name] = Text(values[0])
        else:
            own += [f"{option}={values[0]}"] if len(values) == 1 else [option, *values]
    study = configuration.load(own, StudyConfig, description)
    return dataclasses.replace(study, overrides={**study.overrides, **given})


def _options(argv: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The options of a command line with their values, `--a=b` being the same as `--a b`."""
    found: list[tuple[str, list[str]]] = []
    for word in argv:
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            found.append((option, [value] if equals else []))
        else:
            check(len(found) > 0, "study", "be described by --config and --options", word)
            found[-1][1].append(word)
    yield from found
