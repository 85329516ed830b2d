"""What a study consists of: YAML files and dotted overrides, read into frozen dataclasses.

Overrides whose first word is a section of a training's configuration (`--data.train_file F`) go to
every training of the study; all others (`--tests.ttbar F`, `--output_dir DIR`) change the study.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax import configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import Text
from maskformer_jax.errors import check, known

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
class PublishedConfig:
    """Published values of a quantity, which the report shows beside those of the study.

    Attributes:
        text: the quantity, with its unit.
        source: of the values.
        test: on which it is measured here.
        section: of the result where it is found.
        table: in the section.
        row: of the table.
        column: of the table.
        values: model -> published value; of models that the study has not it is not shown.
    """

    text: str
    source: str
    test: str
    section: str
    table: str
    row: str
    column: str
    values: dict[str, float]


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
        published: name -> published values, in the order of the report.
        published_note: what one has to know when one compares them.
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
    published: dict[str, PublishedConfig] = field(default_factory=dict)
    published_note: str = ""

    def __post_init__(self):
        for argument, names in (("models", self.models), ("tests", self.tests)):
            check(len(names) > 0, argument, "name at least one", list(names))
            bad = [name for name in names if not NAME.fullmatch(name)]
            check(not bad, argument, "have names of letters, digits and `_.+-`", bad)
        known(self.reference, self.models, "model (`reference`)")
        for name, model in self.models.items():
            known(model.group, self.groups, f"group (`models.{name}.group`)")
        for name in self.figures:
            known(name, self.tests, "test (`figures`)")
        for name, published in self.published.items():
            known(published.test, self.tests, f"test (`published.{name}`)")
        for name, claim in self.claims.items():
            for model in (*claim.of, *claim.against, *claim.apart):
                known(model, [*self.models, *self.groups], f"model or group (`claims.{name}`)")
            one = claim.predicate not in ("highest", "lowest") or len(claim.of) == 1
            check(one, f"claims.{name}.of", "name one model", claim.of)
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
    own, given, words = [], {}, iter(argv)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.split(".")[0] not in SECTIONS:
            own.append(word)
            continue
        value = value if equals else next(words, "--")
        check(bool(equals) or not value.startswith("--"), name, "be followed by a value", word)
        given[name] = Text(value)
    study = configuration.load(own, StudyConfig, description)
    return dataclasses.replace(study, overrides={**study.overrides, **given})
