"""`maskformer schema [train|simulate|study]`: a JSON schema of the YAML files, for editors."""

import json

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.program import call_of


def main(argv: list[str]) -> int:
    """Prints the schema of the files of a command; the exit code."""
    parser = Parser(
        prog=call_of("schema"),
        description="Prints a JSON schema of the YAML files of a command; an editor that knows "
        "YAML's language server takes it from a first line: "
        "# yaml-language-server: $schema=PATH",
    )
    names = ("train", "simulate", "study")
    parser.add_argument("command", nargs="?", choices=names, default="train", help="whose files")
    print(json.dumps(schema_of(parser.parse_args(argv).command), indent=1))
    return 0


def schema_of(command: str) -> dict:
    """The schema of the files of a command."""
    from maskformer_jax.config import Config, tables
    from maskformer_jax.configuration.schema import schema

    match command:
        case "simulate":
            from maskformer_jax.simulation.config import SimulationConfig as kind
        case "study":
            from maskformer_jax.study.config import StudyConfig as kind
        case _:
            kind = Config
    return schema(kind, tables())
