"""Who may import whom, and how long a file may be, read from the source."""

import ast
import graphlib
import importlib
import itertools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from maskformer_jax import extras

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "maskformer_jax"
SCRIPTS = sorted(ROOT.glob("*.py"))
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def part_of(name):
    """`losses` of `maskformer_jax.losses`, `model` of `maskformer_jax.model.encoder`."""
    return name.split(".")[1] if "." in name else ""


def imports_of(source):
    """Names of the imported modules; `from package import module` names the module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


IMPORTS = {name: set(imports_of(path.read_text())) for name, path in MODULES.items()}
ARRAYS = {"jax", "jaxtyping"}
COMPUTING = ARRAYS | {"numpy", "optax"}
# Part -> what it may import of the package, and of others. Data flows down this table.
PARTS = {
    "": ({"extras", "inference"}, set()),
    "__main__": ({"", "errors", "extras", "program"}, set()),
    "commands": (
        {
            *("canvas", "config", "configuration", "errors", "evaluation", "experiment"),
            *("export", "program", "simulation", "study", "training"),
        },
        set(),
    ),
    "extras": (set(), set()),
    "inference": ({"data", "evaluation", "model", "types"}, {*ARRAYS, "h5py", "numpy"}),
    "program": (set(), set()),
    "errors": (set(), set()),
    "progress": (set(), {"tqdm"}),
    "files": ({"errors", "program"}, set()),
    "canvas": ({"errors", "files"}, {"matplotlib"}),
    "types": (set(), ARRAYS),
    "configuration": ({"errors"}, {"yaml"}),
    "weighting": (set(), {*ARRAYS, "optax"}),
    "gradients": ({"weighting"}, {*ARRAYS, "optax"}),
    "optimisers": ({"configuration", "errors"}, {"optax"}),
    "data": ({"configuration", "errors", "types"}, {"grain", "h5py", "numpy"}),
    "model": ({"errors", "types"}, {*ARRAYS, "flax"}),
    "tasks": (
        {"configuration", "data", "errors", "gradients", "model", "types"},
        COMPUTING | {"flax"},
    ),
    "config": (
        {
            *("canvas", "configuration", "data", "errors", "evaluation", "model", "optimisers"),
            *("tasks", "training"),
        },
        set(),
    ),
    "build": ({"config", "data", "errors", "gradients", "model", "tasks", "types"}, {"numpy"}),
    "training": (
        {
            *("build", "config", "configuration", "data", "errors", "files", "gradients"),
            *("model", "optimisers", "program", "progress", "tasks", "types", "weighting"),
        },
        COMPUTING | {"absl", "grain", "orbax", "tensorboardX"},
    ),
    "evaluation": (
        {
            *("build", "canvas", "config", "data", "errors", "files", "progress", "tasks"),
            *("training", "types"),
        },
        ARRAYS
        | {"ftag", "h5py", "matplotlib", "numpy", "pandas", "puma", "scipy", "sklearn", "tabulate"},
    ),
    "experiment": (
        {
            *("build", "canvas", "config", "data", "errors", "evaluation", "extras", "files"),
            *("model", "progress", "tasks", "training", "types", "weighting"),
        },
        set(),
    ),
    "export": (
        {
            *("", "build", "config", "data", "errors", "evaluation", "files", "model", "tasks"),
            *("training", "types"),
        },
        {*ARRAYS, "numpy", "onnx", "onnxruntime"},
    ),
    "simulation": (
        {"canvas", "configuration", "data", "errors", "progress"},
        {"awkward", "fastjet", "h5py", "matplotlib", "numpy", "pythia8mc"},
    ),
    "study": (
        {
            *("build", "canvas", "config", "configuration", "data", "errors", "evaluation"),
            *("experiment", "files", "program", "progress", "tasks", "training"),
        },
        {
            *("PIL", "jax", "jaxtyping", "jinja2", "markupsafe", "matplotlib", "numpy", "optax"),
            *("pandas", "scipy", "tabulate"),
        },
    ),
}
# Of a part that a configuration reads only what it says about it, and of tasks the schema alone.
NARROW = {
    ("config", "data"): {"data.config"},
    ("config", "evaluation"): {"evaluation.config"},
    ("config", "model"): {"model.config"},
    ("config", "training"): {"training.config", "training.options"},
    ("tasks", "data"): {"data.config", "data.schema"},
    ("training", "data"): {"data", "data.example"},
    ("training", "model"): {"model.config"},
}


def test_every_part_has_a_rule():
    assert {part_of(name) for name in MODULES} == set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_what_it_may(part):
    inside, outside = PARTS[part]
    for name in MODULES:
        if part_of(name) != part:
            continue
        for imported in IMPORTS[name]:
            top = imported.split(".")[0]
            if top == PACKAGE.name:
                assert part_of(imported) in inside | {part}, f"{name} imports {imported}"
            elif top not in sys.stdlib_module_names:
                assert top in outside, f"{name} imports {imported}"


@pytest.mark.parametrize(("part", "other"), NARROW)
def test_of_some_parts_little_may_be_imported(part, other):
    imported = {i for name in MODULES if part_of(name) == part for i in IMPORTS[name]}
    found = {i.removeprefix("maskformer_jax.") for i in imported if part_of(i) == other}
    found &= {name.removeprefix("maskformer_jax.") for name in MODULES}
    assert found <= NARROW[part, other]


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CORE = {"jax", "jaxtyping", "optax"}
DISTRIBUTIONS = packages_distributions()


@pytest.mark.parametrize("extra", extras.MODULES)
def test_an_extra_installs_what_its_parts_ask_for(extra):
    installed = {re.split("[<>=]", name)[0].lower() for name in EXTRAS[extra]}
    if "maskformer_jax[train]" in installed:
        installed |= {re.split("[<>=]", name)[0].lower() for name in EXTRAS["train"]}
    for module in extras.MODULES[extra]:
        assert installed & {name.lower() for name in DISTRIBUTIONS[module]}, module


# The canvas draws for parts that have asked.
@pytest.mark.parametrize("part", sorted(PARTS.keys() - {"canvas"}))
def test_a_part_asks_for_the_extra_that_has_what_it_imports(part):
    there = set(CORE)
    for extra, parts in extras.PARTS.items():
        if part in {name.split(".")[0] for name in parts}:
            there |= set(extras.MODULES[extra])
    assert PARTS[part][1] <= there


@pytest.mark.parametrize("name", itertools.chain(*extras.PARTS.values()))
def test_parts_that_ask_for_an_extra_are_there(name):
    assert f"{PACKAGE.name}.{name}" in MODULES


def test_an_extra_that_is_not_installed_is_named_in_one_line(monkeypatch):
    monkeypatch.setitem(extras.MODULES, "train", ("flax", "nosuchmodule"))
    monkeypatch.delitem(sys.modules, "maskformer_jax.model", raising=False)
    with pytest.raises(extras.MissingExtra, match=r"^maskformer_jax.model needs nosuchmodule: pip"):
        importlib.import_module("maskformer_jax.model")


def test_no_import_cycles():
    graph = {name: {i for i in IMPORTS[name] if i in MODULES and i != name} for name in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


PLAIN = [n for n in MODULES if part_of(n) in ("gradients", "model", "weighting")]
PLAIN = [
    n for n in PLAIN if n not in ("maskformer_jax.model.config", "maskformer_jax.model.network")
]


@pytest.mark.parametrize("name", PLAIN)
def test_layers_and_methods_take_plain_values_and_no_configuration(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            types = [ast.unparse(a.annotation) for a in arguments if a.annotation]
            assert not any("Config" in t for t in types), node.name


def length(path):
    return len(path.read_text().splitlines())


def test_scripts_only_parse_and_call():
    assert {path.name: length(path) for path in SCRIPTS if length(path) > 60} == {}


def test_files_are_short():
    """But for the list of all options of the simulation, to be read from end to end."""
    long = {name: length(path) for name, path in MODULES.items() if length(path) > 300}
    long.pop("maskformer_jax.simulation.config", None)
    assert long == {}


def test_names_of_files_say_what_is_in_them():
    assert not [path for path in FILES if path.stem in ("utils", "helpers", "misc", "common")]


def test_non_finite_numbers_are_never_hidden():
    assert not [path for path in FILES if "nan_to_num" in path.read_text()]
