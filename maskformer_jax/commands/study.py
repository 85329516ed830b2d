"""`maskformer study PART --config FILE`: the parts and their options."""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.errors import InputError
from maskformer_jax.program import call_of
from maskformer_jax.study import config as configuration
from maskformer_jax.study.config import StudyConfig

OF_STUDY = (
    "--config FILE (any number of times) describes the study. Options that begin with a section of "
    "a training's configuration go to every training (--data.train_file FILE), others change the "
    "study (--tests.ttbar FILE, --output_dir DIR)."
)
OF_TRAINING = "--config FILE (any number of times) and dotted options describe the training."

Part = Callable[[argparse.Namespace], int]


def main(argv: list[str]) -> int:
    """Does a part of a study; the exit code: 1 where a run failed."""
    options = parse(argv)
    return options.part(options)


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of a part; `part` is what to call with them."""
    text = "Trains, evaluates and compares the models of a study."
    parser = Parser(prog=call_of("study"), description=text)
    parts = parser.add_subparsers(required=True, metavar="PART")

    def add_part(make: Part, text: str, epilog: str = OF_STUDY) -> argparse.ArgumentParser:
        names = {"help": text, "description": text, "epilog": epilog}
        part = parts.add_parser(make.__name__, **names)
        part.set_defaults(part=make)
        if epilog == OF_STUDY:
            add, some = part.add_argument, "some of the study's models"
            add("--seeds", type=int, nargs="+", metavar="S", help="instead of the study's")
            add("--models", nargs="+", metavar="NAME", help=some)
        return part

    part = add_part(run, "train and evaluate what is not finished yet")
    several, evaluation = (part.add_mutually_exclusive_group() for _ in range(2))
    shared = "processes that share the CPU cores"
    several.add_argument("--workers", type=int, default=1, metavar="N", help=shared)
    several.add_argument(
        "--devices", nargs="+", metavar="D", help="CUDA devices, a process on each"
    )
    evaluation.add_argument("--again", action="store_true", help="repeat finished evaluations")
    evaluation.add_argument("--train_only", action="store_true", help="leave the evaluations")
    add_part(status, "how far every run is")
    part = add_part(report, "tables, figures and a page of what has been evaluated")
    place = "where it goes; default: `report` in the study's folder"
    part.add_argument("--report_dir", type=Path, help=place)
    text = "train with equal and with static weights, and see how the tasks pull at each other"
    part = add_part(interactions, text, OF_TRAINING)
    part.add_argument("--every", type=int, default=10, metavar="N", help="steps between records")
    curvature = "record the curvature along updates too"
    part.add_argument("--curvature", type=int, metavar="POINTS", help=curvature)
    place = "runs, pictures and the report"
    part.add_argument("--output_dir", type=Path, default=Path("runs/interactions"), help=place)
    options, options_of_files = parser.parse_known_args(argv)
    options.overrides = options_of_files
    return options


def _load(options: argparse.Namespace) -> StudyConfig:
    if not any(word.partition("=")[0] == "--config" for word in options.overrides):
        raise InputError("`--config` must name the file of a study; got none; see configs/study")
    seeds = [f"--seeds={options.seeds}"] if options.seeds else []
    return configuration.load([*options.overrides, *seeds], "A study of several models.")


def run(options: argparse.Namespace) -> int:
    """Makes the runs of a study; 1 where one failed."""
    study = _load(options)
    if options.workers < 1:
        raise InputError(f"`--workers` must be at least 1; got {options.workers}")
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.study import plan, progress, run, workers

    runs = plan.plan(study, options.models)
    plan.check(runs, study.tests)
    tests = {} if options.train_only else study.tests
    todo = run.Todo(tests, options.again, study.keep_predictions)
    if options.workers > 1 or options.devices:
        places = workers.places(options.workers, options.devices or ())
        outcome = workers.make_in_parallel(runs, todo, places, Path(study.output_dir) / "logs")
    else:
        outcome = run.make(runs, todo)
    print(f"\n{progress.table(runs, study.tests)}")
    code = outcome.exit_code()
    if not options.train_only:
        seeds = ["--seeds", *map(str, options.seeds)] if options.seeds else []
        print(f"report: {call_of('study')} report {shlex.join([*options.overrides, *seeds])}")
    return code


def status(options: argparse.Namespace) -> int:
    """Prints how far every run of a study is."""
    study = _load(options)
    from maskformer_jax.study import plan, progress

    print(progress.table(plan.plan(study, options.models), study.tests))
    return 0


def report(options: argparse.Namespace) -> int:
    """Writes the report of a study, finished or not."""
    study = _load(options)
    from maskformer_jax.study import plan
    from maskformer_jax.study.report import write_report

    print(write_report(study, plan.plan(study, options.models), options.report_dir))
    return 0


def interactions(options: argparse.Namespace) -> int:
    """Compares the gradients of the tasks; 1 where a training failed."""
    from maskformer_jax.study import run
    from maskformer_jax.study.interactions import compare, plan_runs

    folder = options.output_dir
    runs = plan_runs(options.overrides, options.every, options.curvature, folder)
    outcome = run.make(runs, run.Todo({}))
    if outcome.elsewhere:
        raise InputError(f"{folder}: another process trains {', '.join(outcome.elsewhere)}")
    code = outcome.exit_code()
    if code == 0:
        print(compare(runs, folder))
    return code
