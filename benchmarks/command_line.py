"""The command line of `benchmark.py`: a part of it per benchmark."""

import argparse
from collections.abc import Callable, Sequence

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

    def new(name: str, run: Callable[..., str], text: str, **numbers: tuple[int, str]):
        """A part with options that are whole numbers."""
        part = parts.add_parser(name, help=text)
        part.set_defaults(run=run)
        for option, (default, meaning) in numbers.items():
            part.add_argument(f"--{option}", type=int, default=default, help=meaning)
        return part

    def batch(default: int = 500) -> tuple[int, str]:
        return default, "jets of a batch"

    steps, turns = (10, "of a turn"), (5, "turns of each; the median counts")
    text = "reading and finished batches, jets/s on one core"
    part = new("data", data.run, text, jets=(20_000, "of each measurement"), batch_size=batch())
    _add_model(part)
    _add_peers(part, "read with Salt's dataset as well")
    text = "jets/s of training steps, loading included"
    part = new("training", training.run, text, batch_size=batch(), pairs=turns, steps=steps)
    _add_model(part)
    _add_methods(part, training.DEFAULT)
    _add_output(part, "training")
    _add_peers(part, "train Salt as well")
    text = "cost of a step: arithmetic, sizes, compilation, stages"
    part = new("scaling", scaling.run, text, batch_size=batch(), repeats=turns, steps=(5, steps[1]))
    part.add_argument("--parts", nargs="+", metavar="PART", help=", ".join(scaling.PARTS))
    _add_model(part, file=False)
    files = {"default": [f"sample={SAMPLE}"], "metavar": "LABEL=FILE"}
    part.add_argument("--files", nargs="+", help="steps are timed on the first", **files)
    _add_output(part, "scaling")
    text = "cheaper weights against exact ones, in a training"
    part = new("weights", weights.run, text, steps=(250, "of each training"))
    _add_model(part, "quickstart")
    _add_methods(part, weights.DEFAULT)
    _add_output(part, "weights")
    numbers = {"points": (3, "of the curvature"), "turns": (15, turns[1])}
    text = "cost of recording the losses' gradients"
    part = new("interactions", interactions.run, text, **numbers)
    _add_model(part, "quickstart")
    _add_methods(part, interactions.DEFAULT)
    _add_output(part, "interactions")
    part = new("report", report.run, "tables and plots of docs/performance.md, from the JSON")
    part.add_argument("--runs", default="runs", help="folder of the JSON files")
    part.add_argument("--docs", default="docs/performance.md", help="what is filled in")
    _add_gpu(new("gpu", gpu.run, "training on an accelerator: speed, memory, correctness"))
    numbers = {"parameters": (1_800_000, "length of a gradient"), "repeats": (15, turns[1])}
    part = new("aggregators", aggregators.run, "seconds of every weighting method", **numbers)
    part.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 6, 16])
    _add_methods(part)
    _add_peers(part, "run TorchJD's methods as well")
    _add_output(part, "aggregators")
    text = "two losses whose sum gets stuck: who finds the front"
    part = new("toy", toy.run, text, steps=(150_000, "of Adam with rate 1e-3"))
    _add_methods(part)
    part.add_argument("--output", default="docs/toy.png", help="picture of the trajectories")
    part = new("export", export.run, "lowers the step of every method for other platforms")
    _add_model(part, "quickstart")
    _add_methods(part)
    part = new("precision", precision.run, "bfloat16 against float32 updates of every method")
    _add_model(part, "quickstart")
    _add_methods(part)
    text = "weights that solve a problem against its solution"
    part = new("solvers", solvers.run, text, gramians=(2000, "for each number of tasks"))
    part.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 6, 16])
    _add_methods(part)
    return parser.parse_args(argv)


def _add_methods(part: argparse.ArgumentParser, default: Sequence[str] | None = None) -> None:
    text = f"default: {', '.join(default or ('all',))}"
    part.add_argument("--methods", nargs="+", metavar="NAME", help=text)


def _add_output(part: argparse.ArgumentParser, name: str) -> None:
    part.add_argument("--output", default=f"runs/{name}.json", help="all numbers as JSON")


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
    _add_methods(part)
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


def _add_peers(part: argparse.ArgumentParser, what: str) -> None:
    part.add_argument("--peers", action="store_true", help=what)
    part.add_argument("--peer_python", help="made by benchmarks/peers.sh; default: this Python")
