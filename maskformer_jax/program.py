"""How this process was called: messages name commands in the words of whoever reads them."""

import sys
from pathlib import Path

COMMANDS = ("train", "evaluate", "simulate", "study")


def call_of(command: str) -> str:
    """How to call a command, as this process was called.

    Args:
        command: one of `COMMANDS`.

    Returns:
        `python train.py` from a script of a clone, `maskformer train` from the installed program,
        and otherwise `python -m maskformer_jax train`, which always works.
    """
    called = Path(sys.argv[0])
    if called.suffix == ".py" and called.stem in COMMANDS:
        return f"python {called.with_stem(command)}"
    program = "maskformer" if called.stem == "maskformer" else "python -m maskformer_jax"
    return f"{program} {command}"
