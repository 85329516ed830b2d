"""The command line of `benchmark.py`: a part of it per benchmark, an option per argument of `run`.

Types and defaults are those of the arguments. The help is what the docstring says of them, or
`SHARED` where several benchmarks have the same one.
"""

import argparse
import inspect
import re
import shlex
from importlib import import_module
from typing import Any, get_args, get_origin

from maskformer_jax.commands.arguments import Parser

NAMES = ("data", "training", "scaling", "weights", "report")
NAMES += ("gpu", "aggregators", "toy", "export", "precision", "solvers")
PARTS = {name: import_module(f"benchmarks.{name}").run for name in NAMES}
SHARED = {
    "model": "YAML file, or name of one in configs",
    "file": "training file",
    "methods": "weightings",
    "batch_size": "jets of a batch",
    "steps": "of a turn",
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
    parser = Parser(description=description)
    parts = parser.add_subparsers(required=True)
    for name, run in PARTS.items():
        summary, _, arguments = inspect.getdoc(run).partition("Args:")
        summary = summary.splitlines()[0].replace("%", "%%")
        part = parts.add_parser(name, help=summary, description=summary)
        part.set_defaults(run=run, output=None)
        meanings = SHARED | dict(ARGUMENT.findall(arguments))
        for option in inspect.signature(run).parameters.values():
            _add(part, option, " ".join(meanings[option.name].split()).replace("%", "%%"))
        if name != "report":
            text = "all numbers as JSON, the tables beside it; empty: no file; default: %(default)s"
            part.add_argument("--output", default=f"runs/{name}.json", help=text)
    return vars(parser.parse_args(argv))


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
