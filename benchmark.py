"""Measures the speed of a part of the package: `python benchmark.py data [--file F]`."""

import argparse
import sys

from benchmarks import data
from maskformer_jax.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Runs one benchmark and prints its table; 2 where the input is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("data", help="reading and finished batches, jets/s on one core")
    part.add_argument("--file", default="data/sample/train.h5", help="file in the default layout")
    part.add_argument("--jets", type=int, default=20_000, help="jets of each measurement")
    part.add_argument("--batch_size", type=int, default=500, help="jets of a batch")
    part.set_defaults(run=lambda args: data.run(args.file, args.jets, args.batch_size))
    args = parser.parse_args(argv)
    try:
        print(args.run(args))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
