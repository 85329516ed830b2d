"""Measures a part of the package: `python benchmark.py PART`, `--help` lists the parts."""

import argparse
import sys

from benchmarks import aggregators, data, export, precision, toy
from maskformer_jax.errors import InputError


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options of one benchmark, and `run`, which calls it with them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("data", help="reading and finished batches, jets/s on one core")
    part.add_argument("--file", default="data/sample/train.h5", help="file in the default layout")
    part.add_argument("--jets", type=int, default=20_000, help="jets of each measurement")
    part.add_argument("--batch_size", type=int, default=500, help="jets of a batch")
    part.set_defaults(run=data.run)
    part = parts.add_parser("aggregators", help="seconds of every weighting method")
    part.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 6, 16])
    part.add_argument("--parameters", type=int, default=1_800_000, help="length of a gradient")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.add_argument("--repeats", type=int, default=15, help="the median counts")
    part.add_argument("--peers", action="store_true", help="run TorchJD's methods as well")
    part.add_argument("--peer_python", help="Python with requirements-peers.txt; default: this")
    part.add_argument("--output", default="runs/aggregators.json", help="all numbers as JSON")
    part.set_defaults(run=aggregators.run)
    part = parts.add_parser("toy", help="two losses whose sum gets stuck: who finds the front")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.add_argument("--steps", type=int, default=150_000, help="of Adam with rate 1e-3")
    part.add_argument("--output", default="docs/toy.png", help="picture of the trajectories")
    part.set_defaults(run=toy.run)
    part = parts.add_parser("export", help="lowers the step of every method for other platforms")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.set_defaults(run=export.run)
    part = parts.add_parser("precision", help="bfloat16 against float32 updates of every method")
    part.add_argument("--config", default="configs/quickstart.yaml", help="network and files")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.set_defaults(run=precision.run)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Runs one benchmark and prints its table; 2 where the input is wrong."""
    options = vars(parse(argv))
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
