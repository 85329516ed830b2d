"""Measures a part of the package: `python benchmark.py PART`, `--help` lists the parts."""

import sys
from pathlib import Path

from benchmarks.command_line import parse
from benchmarks.tables import Table, keep, text
from maskformer_jax.errors import InputError


def use_cache() -> None:
    """Compiled code is kept from here on; a part of the package that the help does without."""
    from maskformer_jax.training import compilation

    compilation.use_cache()


def main(argv: list[str] | None = None) -> int:
    """Runs one benchmark, prints its tables and keeps them; 2 where the input is wrong."""
    tables: dict[str, Table] = {}
    try:
        options = parse(argv, __doc__)
        use_cache()
        run, output = options.pop("run"), options.pop("output")
        # What is there is written at once: a run that is killed leaves something behind.
        for found in run(**options):
            tables |= found
            shown = "\n\n".join(map(text, tables.values()))
            if output:
                keep(output, found)
                Path(output).with_suffix(".txt").write_text(shown + "\n")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
