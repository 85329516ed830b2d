"""The command line of `benchmark.py`: a part of it per benchmark."""

import argparse

from benchmarks import (
    aggregators,
    data,
    export,
    gpu,
    interactions,
    precision,
    report,
    scaling,
    solvers,
    toy,
    training,
    weights,
)
from benchmarks.made import SAMPLE

MODEL_HELP = "YAML file, or name of one in configs"


def parse(argv: list[str] | None, description: str) -> argparse.Namespace:
    """The options of one benchmark; `run` is what to call with all the others but `part`."""
    parser = argparse.ArgumentParser(description=description)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("data", help="reading and finished batches, jets/s on one core")
    _add_model(part)
    part.add_argument("--jets", type=int, default=20_000, help="jets of each measurement")
    part.add_argument("--batch_size", type=int, default=500, help="jets of a batch")
    _add_peers(part, "read with Salt's dataset as well")
    part.set_defaults(run=data.run)
    part = parts.add_parser("training", help="jets/s of training steps, loading included")
    _add_model(part)
    part.add_argument("--methods", nargs="+", metavar="NAME", help=f"{training.DEFAULT} if none")
    part.add_argument("--batch_size", type=int, default=500, help="jets of a batch")
    part.add_argument("--pairs", type=int, default=5, help="turns of each; the median counts")
    part.add_argument("--steps", type=int, default=10, help="of a turn")
    part.add_argument("--output", default="runs/training.json", help="all numbers as JSON")
    _add_peers(part, "train Salt as well")
    part.set_defaults(run=training.run)
    part = parts.add_parser(
        "scaling", help="cost of a step: arithmetic, sizes, compilation, stages"
    )
    part.add_argument("--parts", nargs="+", metavar="PART", help=", ".join(scaling.PARTS))
    _add_model(part, file=False)
    part.add_argument(
        "--files",
        nargs="+",
        default=[f"sample={SAMPLE}"],
        metavar="LABEL=FILE",
        help="training files; steps are timed on the first",
    )
    part.add_argument("--batch_size", type=int, default=500, help="jets of a batch")
    part.add_argument("--repeats", type=int, default=5, help="turns of each; the median counts")
    part.add_argument("--steps", type=int, default=5, help="of a turn")
    part.add_argument("--output", default="runs/scaling.json", help="all numbers as JSON")
    part.set_defaults(run=scaling.run)
    part = parts.add_parser("weights", help="cheaper weights against exact ones, in a training")
    _add_model(part, "quickstart")
    part.add_argument("--methods", nargs="+", metavar="NAME", help=f"{weights.DEFAULT} if none")
    part.add_argument("--steps", type=int, default=250, help="of each training")
    part.add_argument("--output", default="runs/weights.json", help="all numbers as JSON")
    part.set_defaults(run=weights.run)
    part = parts.add_parser("interactions", help="cost of recording the tasks' gradients")
    _add_model(part, "quickstart")
    part.add_argument(
        "--methods", nargs="+", metavar="NAME", help=f"{interactions.DEFAULT} if none"
    )
    part.add_argument("--points", type=int, default=3, help="of the curvature")
    part.add_argument("--turns", type=int, default=15, help="of each; the median counts")
    part.add_argument("--output", default="runs/interactions.json", help="all numbers as JSON")
    part.set_defaults(run=interactions.run)
    part = parts.add_parser("report", help="tables and plots of docs/performance.md, from the JSON")
    part.add_argument("--runs", default="runs", help="folder of the JSON files")
    part.add_argument("--docs", default="docs/performance.md", help="what is filled in")
    part.set_defaults(run=report.run)
    part = parts.add_parser("gpu", help="training on an accelerator: speed, memory, correctness")
    _add_gpu(part)
    part = parts.add_parser("aggregators", help="seconds of every weighting method")
    part.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 6, 16])
    part.add_argument("--parameters", type=int, default=1_800_000, help="length of a gradient")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.add_argument("--repeats", type=int, default=15, help="the median counts")
    _add_peers(part, "run TorchJD's methods as well")
    part.add_argument("--output", default="runs/aggregators.json", help="all numbers as JSON")
    part.set_defaults(run=aggregators.run)
    part = parts.add_parser("toy", help="two losses whose sum gets stuck: who finds the front")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.add_argument("--steps", type=int, default=150_000, help="of Adam with rate 1e-3")
    part.add_argument("--output", default="docs/toy.png", help="picture of the trajectories")
    part.set_defaults(run=toy.run)
    part = parts.add_parser("export", help="lowers the step of every method for other platforms")
    _add_model(part, "quickstart")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.set_defaults(run=export.run)
    part = parts.add_parser("precision", help="bfloat16 against float32 updates of every method")
    _add_model(part, "quickstart")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    part.set_defaults(run=precision.run)
    part = parts.add_parser("solvers", help="weights that solve a problem against its solution")
    part.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 6, 16])
    part.add_argument("--gramians", type=int, default=2000, help="for each number of tasks")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all that solve one")
    part.set_defaults(run=solvers.run)
    return parser.parse_args(argv)


def _add_model(
    part: argparse.ArgumentParser, default: str = "maskformer_small", *, file: bool = True
) -> None:
    part.add_argument("--model", default=default, help=f"{MODEL_HELP}; default: {default}")
    if file:
        part.add_argument("--file", default=SAMPLE, help="training file")


def _add_gpu(part: argparse.ArgumentParser) -> None:
    models = ["maskformer_small", "maskformer"]
    part.add_argument("--models", nargs="+", metavar="MODEL", default=models, help=MODEL_HELP)
    part.add_argument("--file", default=SAMPLE, help="training file")
    part.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    dtypes = ["bfloat16", "float32"]
    part.add_argument("--dtypes", nargs="+", choices=dtypes, default=dtypes)
    sizes = [4000, 16000, 1000, 2000, 8000]
    part.add_argument("--batch_sizes", type=int, nargs="+", default=sizes, help="first: methods'")
    part.add_argument("--parts", nargs="+", choices=gpu.PARTS, default=gpu.PARTS[:-1])
    part.add_argument("--peer_python", help="that has Salt, for `salt`; default: this Python")
    part.add_argument("--limit", type=float, default=450, help="seconds; nothing is begun later")
    part.add_argument("--seconds", type=float, default=0.5, help="of a turn; three are made")
    part.add_argument("--matrix", type=int, default=8192, help="rows, for the matrix peak")
    part.add_argument("--threads", type=int, help="that compile; default: one per core")
    part.add_argument("--output", default="runs/gpu.json", help="all numbers; tables beside it")
    part.set_defaults(run=gpu.run)


def _add_peers(part: argparse.ArgumentParser, what: str) -> None:
    part.add_argument("--peers", action="store_true", help=what)
    part.add_argument("--peer_python", help="made by benchmarks/peers.sh; default: this Python")
