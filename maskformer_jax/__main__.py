"""The program `maskformer`, or `python -m maskformer_jax` where it is not installed."""

import importlib
import sys

from maskformer_jax import __version__
from maskformer_jax.errors import InputError, known
from maskformer_jax.extras import MissingExtra
from maskformer_jax.program import COMMANDS, Stopped, call_of, end, leave_at_signals

HELP = f"""Multi-task jet flavour tagging; COMMAND --help says more.

{call_of("COMMAND")} ...

  train     trains a model, or continues a run
  evaluate  measures trained runs on a test file
  export    writes a trained network for other programs: ONNX, StableHLO
  redraw    draws the pictures of evaluated runs again
  simulate  makes jets with Pythia, or looks at a file of them
  study     trains, evaluates and compares several models
  schema    prints a JSON schema of the YAML files, for editors"""


def main(argv: list[str]) -> int:
    """Does what a command line says.

    Args:
        argv: a command and what follows it.

    Returns:
        The exit code: 2 for wrong input, 1 where a number was not finite or a run of a study
        failed, 128 and the number of the signal that stopped it.
    """
    command, *rest = argv or ["--help"]
    if command in ("-h", "--help", "--version"):
        print(__version__ if command == "--version" else HELP)
        return 0
    try:
        known(command, COMMANDS, "command")
        return importlib.import_module(f"maskformer_jax.commands.{command}").main(rest)
    except (InputError, MissingExtra, OSError) as error:
        return end(2, f"error: {error}")
    except FloatingPointError as error:
        return end(1, f"error: {error}")
    except Stopped as stop:
        return end(128 + stop.number, str(stop))


def run(*command: str) -> int:
    """Does what the command line of this process says, until a signal ends it; the exit code.

    Args:
        command: put before the words of the command line.
    """
    leave_at_signals()
    return main([*command, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(run())
