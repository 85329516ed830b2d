"""Who may import whom, and how long a file may be, read from the source."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

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
COMPUTING = {"jax", "jaxtyping", "numpy", "optax"}
PARTS = {
    "": (set(), set()),
    "types": (set(), {"jaxtyping"}),
    "errors": (set(), set()),
    "configuration": ({"errors"}, {"yaml"}),
    "config": ({"configuration", "errors", "weighting"}, set()),
    "weighting": (set(), {"jax", "jaxtyping", "optax"}),
    "data": ({"config", "errors", "types"}, {"grain", "h5py", "jaxtyping", "numpy", "yaml"}),
    "matching": ({"types"}, COMPUTING),
    "losses": ({"types"}, COMPUTING),
    "model": ({"config", "types"}, COMPUTING | {"flax"}),
    "gradients": ({"weighting"}, COMPUTING),
    "tasks": ({"config", "gradients", "losses", "matching", "types"}, COMPUTING),
    "training": (
        {"config", "errors", "evaluation", "gradients", "model", "tasks", "types", "weighting"},
        COMPUTING | {"absl", "grain", "orbax", "tensorboardX", "tqdm"},
    ),
    "evaluation": (
        {"config", "data", "errors", "model", "tasks", "training", "types"},
        COMPUTING | {"ftag", "h5py", "matplotlib", "puma", "sklearn", "tqdm", "yaml"},
    ),
    "simulation": (
        {"config", "data", "errors"},
        {"awkward", "fastjet", "h5py", "matplotlib", "numpy", "pythia8mc", "tqdm", "yaml"},
    ),
    "study": (
        {
            *("config", "configuration", "data", "errors"),
            *("evaluation", "experiment", "tasks", "training"),
        },
        {"PIL", "jax", "jaxtyping", "matplotlib", "numpy", "optax", "scipy", "tqdm"},
    ),
    "experiment": (
        {"config", "data", "errors", "evaluation", "model", "tasks", "training", "types"},
        set(),
    ),
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


def test_no_import_cycles():
    graph = {name: {i for i in IMPORTS[name] if i in MODULES and i != name} for name in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("name", [n for n in MODULES if part_of(n) in ("model", "weighting")])
def test_only_build_functions_read_a_config(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            types = [ast.unparse(a.annotation) for a in arguments if a.annotation]
            assert node.name == "build" or not any("Config" in t for t in types), node.name


def length(path):
    return len(path.read_text().splitlines())


def test_scripts_only_parse_and_call():
    assert {path.name: length(path) for path in SCRIPTS if length(path) > 60} == {}


def test_files_are_short():
    """But for the lists of all options, one file each so that they can be read from end to end."""
    long = {name: length(path) for name, path in MODULES.items() if length(path) > 300}
    long.pop("maskformer_jax.config", None)
    long.pop("maskformer_jax.simulation.config", None)
    assert long == {}


def test_names_of_files_say_what_is_in_them():
    assert not [path for path in FILES if path.stem in ("utils", "helpers", "misc", "common")]


def test_non_finite_numbers_are_never_hidden():
    assert not [path for path in FILES if "nan_to_num" in path.read_text()]
