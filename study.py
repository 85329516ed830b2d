"""Trains, evaluates and compares the models of a study: `python study.py PART`, `--help` lists the
parts."""

import sys

from maskformer_jax.errors import InputError
from maskformer_jax.study.command_line import parse


def main(argv: list[str] | None = None) -> int:
    """Does a part of a study; the exit code: 2 for wrong input, 1 where a run failed."""
    options = parse(argv, __doc__)
    try:
        return options.part(options)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
