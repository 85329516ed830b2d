"""`maskformer study PART --config FILE`: the parts and their options."""

import argparse
import sys
from pathlib import Path

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.errors import InputError
from maskformer_jax.program import call_of
from maskformer_jax.study import config as configuration
from maskformer_jax.study.config import StudyConfig

OVERRIDES = (
    "--config FILE (any number of times) describes the study. Options that begin with a section of "
    "a training's configuration go to every training (--data.train_file FILE), others change the "
    "study (--tests.ttbar FILE, --output_dir DIR)."
)


def main(argv: list[str]) -> int:
    """Does a part of a study; the exit code: 1 where a run failed."""
    parser = Parser(
        prog=call_of("study"), description="Trains, evaluates and compares the models of a study."
    )
    parts = parser.add_subparsers(required=True, metavar="PART")
    for add in (_add_run, _add_status, _add_report, _add_interactions):
        add(parts)
    options, overrides = parser.parse_known_args(argv)
    given = vars(options)
    return given.pop("part")(**given, overrides=overrides)


def _add_part(parts: argparse._SubParsersAction, name: str, text: str) -> argparse.ArgumentParser:
    part = parts.add_parser(name, help=text, description=text, epilog=OVERRIDES)
    part.add_argument("--seeds", type=int, nargs="+", metavar="S", help="instead of the study's")
    return part


def _add_run(parts: argparse._SubParsersAction) -> None:
    part = _add_part(parts, "run", "train and evaluate what is not finished yet")
    part.add_argument("--models", nargs="+", metavar="NAME", help="some of the study's models")
    several = part.add_mutually_exclusive_group()
    several.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that share the CPU cores"
    )
    several.add_argument(
        "--devices", nargs="+", metavar="D", help="CUDA devices, one process on each"
    )
    evaluation = part.add_mutually_exclusive_group()
    evaluation.add_argument("--again", action="store_true", help="repeat finished evaluations")
    evaluation.add_argument("--train_only", action="store_true", help="leave the evaluations")
    part.set_defaults(part=run)


def _add_status(parts: argparse._SubParsersAction) -> None:
    part = _add_part(parts, "status", "how far every run is")
    part.add_argument("--models", nargs="+", metavar="NAME", help="some of the study's models")
    part.set_defaults(part=status)


def _add_report(parts: argparse._SubParsersAction) -> None:
    part = _add_part(parts, "report", "tables, figures and a page of what has been evaluated")
    part.add_argument("--models", nargs="+", metavar="NAME", help="some of the study's models")
    part.add_argument(
        "--report_dir", type=Path, help="where it goes; default: `report` in the study's folder"
    )
    part.set_defaults(part=report)


def _add_interactions(parts: argparse._SubParsersAction) -> None:
    text = "train with equal and with static weights, and see how the tasks pull at each other"
    part = parts.add_parser(
        "interactions",
        help=text,
        description=text,
        epilog="--config FILE (any number of times) and dotted options describe the training.",
    )
    part.add_argument("--every", type=int, default=10, metavar="N", help="steps between records")
    part.add_argument(
        "--curvature", type=int, metavar="POINTS", help="record the curvature along updates too"
    )
    part.add_argument(
        "--output_dir", default="runs/interactions", help="runs, pictures and the report"
    )
    part.set_defaults(part=interactions)


def load_study(overrides: list[str], seeds: list[int] | None) -> StudyConfig:
    """The study that the command line describes."""
    if seeds:
        overrides = [*overrides, f"--seeds={seeds}"]
    return configuration.load(overrides, "A study of several models.")


def run(
    overrides: list[str],
    seeds: list[int] | None,
    models: list[str] | None,
    workers: int,
    devices: list[str] | None,
    again: bool,
    train_only: bool,
) -> int:
    """Makes the runs of a study; 1 where one failed, 128 and the signal where one stopped it."""
    study = load_study(overrides, seeds)
    if workers < 1:
        raise InputError(f"`--workers` must be at least 1; got {workers}")
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.study import plan, run
    from maskformer_jax.study import workers as processes

    runs = plan.plan(study, models)
    plan.check(study, runs)
    todo = run.Todo(evaluate=not train_only, again=again)
    if workers > 1 or devices:
        places = processes.places(workers, devices or ())
        outcome = processes.make_in_parallel(study, runs, places, todo)
    else:
        outcome = run.make(study, runs, todo)
    print(f"\n{_table(study, runs)}")
    for name, reason in outcome.failed.items():
        print(f"error: {name}: {reason}", file=sys.stderr)
    if outcome.signal:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return 128 + outcome.signal
    return 1 if outcome.failed else 0


def status(overrides: list[str], seeds: list[int] | None, models: list[str] | None) -> int:
    """Prints how far every run of a study is."""
    study = load_study(overrides, seeds)
    from maskformer_jax.study import plan

    print(_table(study, plan.plan(study, models)))
    return 0


def report(
    overrides: list[str], seeds: list[int] | None, models: list[str] | None, report_dir: Path | None
) -> int:
    """Writes the report of a study, finished or not."""
    study = load_study(overrides, seeds)
    from maskformer_jax.study import plan
    from maskformer_jax.study.report import write_report

    print(write_report(study, plan.plan(study, models), report_dir))
    return 0


def interactions(overrides: list[str], every: int, curvature: int | None, output_dir: str) -> int:
    """Compares the gradients of the tasks; 128 and the signal where one stopped it."""
    from maskformer_jax.study.interactions import compare, plan_runs
    from maskformer_jax.study.run import Stopped

    runs = plan_runs(overrides, every, curvature, Path(output_dir))
    try:
        print(compare(runs, Path(output_dir)))
    except Stopped as stop:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return 128 + stop.number
    return 0


def _table(study: StudyConfig, runs: list) -> str:
    from maskformer_jax.study import progress

    states = [progress.read_progress(run, study.tests) for run in runs]
    left = progress.duration(progress.seconds_left(runs, states))
    return f"{progress.table(runs, states, study.tests)}; time left to train: {left}"
