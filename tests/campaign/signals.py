"""Ctrl-C, SIGTERM and SIGHUP, once or twice: one line, the right exit code, nothing half-made."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from campaign.processes import Case, Ended, Moment, case, difference, run, state, undisturbed
from campaign.trial import Trial

KIND = "patterns of signals"
SHORT = 1

LOOP = "maskformer_jax.training.loop"
# When -> the command and what it begins.
MOMENTS = {
    "steps": ("train", f"{LOOP}:Reporter.dispatched", 3, 0.0),
    "evaluation": ("evaluate", "maskformer_jax.evaluation.run:write_predictions", 1, 0.5),
    "study": ("study", "maskformer_jax.study.run:measure", 1, 0.5),
    "import": ("train", "", 1, 1.0),
    "before the loop": ("train", "maskformer_jax.experiment:fit_scaling", 1, 0.0),
    "compile": ("train", f"{LOOP}:train", 1, 0.5),
    "checkpoint": ("train", "maskformer_jax.training.checkpoint:Checkpoints.save", 2, 0.01),
    "validation": ("train", "maskformer_jax.training.validation:validate", 1, 0.0),
    "after the end": ("train", "maskformer_jax.training.logging:MetricsLog.close", 1, 0.0),
}
# Each moment meets four of them, so that every pair of number and pause is there.
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = (None, 0.0, 0.1, 1.0)
PATTERNS = [
    (when, NUMBERS[(place + turn) % len(NUMBERS)], seconds)
    for turn, seconds in enumerate(SECONDS)
    for place, when in enumerate(MOMENTS)
]
FULL = len(PATTERNS)
ENDS = ("stopped", "stopped; run the same command again to continue")


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """See `campaign.trial`; nothing is drawn."""
    for index, pattern in itertools.islice(enumerate(PATTERNS), first, number):
        yield _trial(case(), *pattern, folder / f"signal_{index}")
        shutil.rmtree(folder / f"signal_{index}")


def _trial(here: Case, when: str, number: int, seconds: float | None, place: Path) -> Trial:
    name, *moment = MOMENTS[when]
    place.mkdir()
    if name == "evaluate":
        run(here.words("train", place))
    twice = (number,) if seconds is None else (number, number)
    ended = run(here.words(name, place), Moment(*moment, twice, seconds or 0.0))
    last = run(here.again(name, place))
    partial = [path.name for path in place.rglob("*") if ".partial" in path.name]
    differs = difference(undisturbed(name), state(place))
    held = _is_right(ended, number, place) and last == Ended(0, []) and not (differs or partial)
    named = signal.Signals(number).name
    what = f"{named} in {when}" + ("" if seconds is None else f", again after {seconds} s")
    notes = [f"{ended.code}", *ended.said, f"then {last.code}", *last.said, *partial, differs]
    return Trial(what, held, "; ".join(note for note in notes if note))


def _is_right(ended: Ended, number: int, place: Path) -> bool:
    """One line and the code of the signal; or nothing, where all was done before it came."""
    if ended == Ended(0, []):
        return (place / "run" / "checkpoints" / "last" / "18").is_dir()
    at_step = "stopped at step "
    called = f"; continue with: python train.py --resume {place / 'run'}"
    is_said = [line in ENDS or (line.startswith(at_step) and line.endswith(called))
               for line in ended.said]  # fmt: skip
    return ended.code == 128 + number and is_said == [True]
