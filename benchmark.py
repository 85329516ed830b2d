"""Measures a part of the package: `python benchmark.py PART`, `--help` lists the parts."""

import sys

from benchmarks.command_line import parse
from maskformer_jax.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Runs one benchmark and prints its table; 2 where the input is wrong."""
    options = vars(parse(argv, __doc__))
    run = options.pop("run")
    del options["part"]
    try:
        print(run(**options))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
