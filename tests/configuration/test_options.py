"""Dataclasses of what functions take, and of what their docstrings say."""

import dataclasses
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from shapes import TABLES, Model, Root

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import load, load_saved, options_of, save
from maskformer_jax.configuration.command_line import help_text
from maskformer_jax.configuration.fields import defaults, meanings, places
from maskformer_jax.configuration.schema import schema
from maskformer_jax.configuration.typed import describe
from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import SimulationConfig
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.weighting import METHODS

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_dataclass_of_two_functions():
    def one(number, *, a: int, b: float = 2.0):
        """One.

        Args:
            number: left out.
            a: first,
                in two lines.
        """

    def two(*, b: str = "x", c: list[int] | None = None):
        """Two.

        Args:
            b: second.
            c: third.
        """

    found = options_of(one, two, leave_out=("number",))
    assert {name: describe(place) for name, place in places(found).items()} == {
        "a": "an integer",
        "b": "a number",
        "c": "a list or none",
    }
    assert defaults(found) == {"b": 2.0, "c": None}
    assert meanings(found)["a"] == "first, in two lines." and meanings(found)["c"] == "third."


@pytest.mark.parametrize("name", METHODS)
def test_every_option_of_a_method_has_a_type_and_a_meaning(name):
    options = configuration.tables()["methods"][name]
    for option, place in places(options).items():
        assert describe(place) and object not in place.members, option
        assert meanings(options)[option], option


@pytest.mark.parametrize("kind", [Config, StudyConfig, SimulationConfig])
def test_help_of_every_section_says_what_every_option_means(kind):
    tables = configuration.tables()
    sections = [""]
    for section in sections:
        text = help_text(kind, "", tables, section)
        assert not re.search(r"^  --.*: *(\n(?!      )|\Z)", text, re.MULTILINE), section
        sections += re.findall(r"--help\.([a-z_][\w.]+):", text)
        assert max(map(len, text.splitlines())) <= 80 or section
    assert len(sections) > 1


def test_help_of_a_choice_shows_all_of_it_and_the_unknown_is_suggested():
    text = help_text(Root, "", TABLES, "model.norm")
    assert "model.norm batch_norm:" in text and "--model.norm.momentum (a number; 0.9)" in text
    assert meanings(Model)["embed_dim"] == "width E, with a text of two lines."
    with pytest.raises(InputError, match="did you mean `model`"):
        help_text(Root, "", TABLES, "modle")


def test_a_saved_configuration_is_read_as_it_is_without_the_defaults(tmp_path):
    config = Root(data=dataclasses.replace(Root().data, streams={}))
    save(config, tmp_path / "c.yaml")
    assert load_saved(tmp_path / "c.yaml", Root, TABLES) == config
    changed = load_saved(tmp_path / "c.yaml", Root, TABLES, ["--model.embed_dim=8"])
    assert changed == dataclasses.replace(config, model=Model(embed_dim=8))


def test_a_larger_table_adds_a_kind():
    @dataclasses.dataclass(frozen=True)
    class Mine:
        kind: str = "mine"
        width: int = 3

    tables = {**TABLES, "tasks": {**TABLES["tasks"], "mine": Mine}}
    argv = ["--tasks.a={kind: mine}", "--tasks.a.width=5"]
    assert load(argv, Root, tables=tables).tasks == {"a": Mine(width=5)}
    with pytest.raises(InputError, match=r"`tasks.a.kind` must be one of"):
        load(argv, Root, tables=TABLES)


def kind_of(path):
    folders = {"simulation": SimulationConfig, "study": StudyConfig}
    return folders.get(path.parent.name, Config) if path.name != "small.yaml" else Config


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_loads(path):
    # An overlay of streams says nothing of them alone, nor statements of models.
    study = dict.fromkeys(("thesis_claims", "thesis_values"), "study/thesis.yaml")
    bases = dict.fromkeys(("linear_inputs", "mirrors"), "maskformer.yaml") | study
    base = [f"--config={CONFIGS / name}" for stem, name in bases.items() if stem == path.stem]
    load([*base, f"--config={path}"], kind_of(path), tables=configuration.tables())


@pytest.fixture(scope="module")
def validator():
    made = {}

    def of(kind):
        if kind not in made:
            found = schema(kind, configuration.tables())
            jsonschema.Draft202012Validator.check_schema(found)
            made[kind] = jsonschema.Draft202012Validator(found)
        return made[kind]

    return of


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_fits_the_schema(path, validator):
    validator(kind_of(path)).validate(yaml.safe_load(path.read_text()))


BROKEN = [
    (Config, "model: {embed_dimension: 8}"),
    (Config, "model: {embed_dim: wide}"),
    (Config, "model: {activation: tanh}"),
    (Config, "training: {optimiser: {name: adamm}}"),
    (Config, "data: {streams: {tracks: {dataset: 3}}}"),
    (Config, "tasks: {jet: {kind: clasification, label: x}}"),
    (Config, "tasks: {jet: {kind: classification, labl: x}}"),
    (Config, "tasks: {hadrons: {kind: objects, losses: {mask_cf: {}}}}"),
    (Config, "weighting: {name: cagrad, options: {d: 1}}"),
    (Config, "evaluation: {discriminants: {b: {signal: bjets, backgrounds: [cjets]}}}"),
    (SimulationConfig, "samples: {train: {flavours: sweet}}"),
    (StudyConfig, "models: {a: {labell: x}}"),
]


@pytest.mark.parametrize(("kind", "text"), BROKEN)
def test_a_broken_file_does_not_fit_the_schema(kind, text, validator):
    assert not validator(kind).is_valid(yaml.safe_load(text))
