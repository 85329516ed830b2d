"""The command line of `benchmark.py`: a part of it per benchmark, an option per argument of `run`.

Types and defaults are those of the arguments. The help is what the docstring says of them, or
`SHARED` where several benchmarks have the same one.
"""

import argparse
import ast
import inspect
import re
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.errors import InputError

NAMES = ("data", "training", "gpu", "aggregators", "toy", "export")
SHARED = {
    "model": "YAML file, or name of one in configs",
    "file": "training file",
    "methods": "weightings",
    "batch_size": "jets of a batch",
    "repeats": "turns of each, of which the median counts",
    "tasks": "numbers of tasks",
    "peers": "measure what others wrote in the same turns as well",
    "peer_python": "interpreter that has it, made by benchmarks/peers.sh; none: this one",
}
ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def parse(argv: list[str] | None, description: str) -> dict[str, Any]:
    """The options of one benchmark by name; `run` is what to call with all but it and `output`.

    Raises:
        InputError: an option is unknown, abbreviated or wrong.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(description=description)
    parts = parser.add_subparsers(required=True)
    for name in NAMES:
        text = _docstring(name)
        summary = text.splitlines()[0].replace("%", "%%")
        part = parts.add_parser(name, help=summary, description=summary)
        # Nothing but a line is read of the others, which may need what is not there.
        if name in argv:
            _fill(part, name, text)
    return vars(parser.parse_args(argv))


def _docstring(name: str) -> str:
    """Of the function `run` of a benchmark, which is not imported."""
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text())
    (run,) = (x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == "run")
    return ast.get_docstring(run)


def run_of(name: str) -> Callable:
    """The function that runs a benchmark.

    Raises:
        InputError: a package is missing.
    """
    try:
        return import_module(f"benchmarks.{name}").run
    except ModuleNotFoundError as error:
        cure = "pip install -r requirements-dev.txt"
        raise InputError(f"`{name}` needs {error.name}, which is missing; {cure}") from error


def _fill(part: argparse.ArgumentParser, name: str, text: str) -> None:
    """The options of a benchmark, from its function and what its docstring says of them."""
    run = run_of(name)
    part.set_defaults(run=run, output=None)
    meanings = SHARED | dict(ARGUMENT.findall(text.partition("Args:")[2]))
    for option in inspect.signature(run).parameters.values():
        _add(part, option, " ".join(meanings[option.name].split()).replace("%", "%%"))
    text = "all numbers as JSON, the tables beside it; empty: no file; default: %(default)s"
    part.add_argument("--output", default=f"runs/{name}.json", help=text)


def _add(part: argparse.ArgumentParser, option: inspect.Parameter, text: str) -> None:
    """`X`, `X | None` or `Sequence[X]`."""
    kind, default = option.annotation, option.default
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    if kind is bool:
        part.add_argument(f"--{option.name}", action="store_true", help=text)
        return
    several = {}
    if get_origin(kind):
        several, kind = {"nargs": "+", "metavar": option.name.upper()}, get_args(kind)[0]
        shown = shlex.join(map(str, default or ["all"]))
    else:
        shown = default
    text = text if shown is None else f"{text}; default: {shown}"
    part.add_argument(f"--{option.name}", type=kind, default=default, help=text, **several)
