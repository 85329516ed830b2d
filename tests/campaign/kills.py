"""SIGKILL at a random moment, again and again; what goes on ends as if nothing had happened."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaign.processes import Case, Moment, case, chosen, difference, run, state, undisturbed
from campaign.trial import Trial, draws

KIND = "kills of trainings, resumed ones, evaluations and studies"
FULL = 120
SHORT = 1

LOOP, SAVES = "maskformer_jax.training.loop", "maskformer_jax.training.checkpoint:Checkpoints"
# Phase -> function, most calls and longest wait [s]; what comes first is what a process does.
TRAINING = {
    "start": ("", 1, 3.0),
    "files": ("maskformer_jax.files:write_whole", 3, 0.002),
    "folder": ("maskformer_jax.experiment:_create_run", 1, 0.05),
    "compile": (f"{LOOP}:train", 1, 2.0),
    "steps": (f"{LOOP}:Reporter.dispatched", 18, 0.02),
    "checkpoint": (f"{SAVES}.save", 6, 0.3),
    "best": ("maskformer_jax.training.checkpoint:_save_alone", 2, 0.1),
    "validation": ("maskformer_jax.training.validation:validate", 3, 0.1),
    "end": (f"{SAVES}.close", 1, 0.3),
}
RESUMING = {
    name: TRAINING[name] for name in ("start", "compile", "steps", "checkpoint", "best", "end")
} | {"restore": (f"{SAVES}.restore", 1, 0.3)}
EVALUATION = {
    "start": ("", 1, 4.0),
    "restore": ("maskformer_jax.training.checkpoint:restore_params", 1, 0.3),
    "predictions": ("maskformer_jax.evaluation.run:write_predictions", 1, 2.0),
    "results": ("maskformer_jax.files:write_whole", 6, 0.002),
    "pictures": ("maskformer_jax.evaluation.run:draw_plots", 1, 2.0),
}
STUDY = TRAINING | {
    "evaluation": ("maskformer_jax.study.run:measure", 1, 3.0),
    "record": ("maskformer_jax.study.progress:record_evaluation", 1, 0.01),
}
PHASES = {"train": TRAINING, "resume": RESUMING, "evaluate": EVALUATION, "study": STUDY}
SHARES = ("train", "train", "resume", "evaluate", "study")
TRIES = 4


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """See `campaign.trial`."""
    for index in range(first, number):
        name, place = SHARES[index % len(SHARES)], folder / f"kill_{index}"
        yield _trial(case(), name, seed, index, place)
        shutil.rmtree(place)


def _trial(here: Case, name: str, seed: int, index: int, place: Path) -> Trial:
    draw, what = draws(seed, index), name
    begun = {"resume": "train", "evaluate": "train"}.get(name)
    place.mkdir()
    words, notes = here.words(name, place), []
    if begun:
        moment = None if name == "evaluate" else Moment(*_at("steps", draw), (signal.SIGTERM,))
        run(here.words(begun, place), moment)
    for _ in range(int(draw.integers(1, TRIES))):
        phase = chosen(draw, PHASES[name])
        moment = Moment(*_at(phase, draw, PHASES[name]), (signal.SIGKILL,))
        ended = run(words, moment)
        notes += [f"{phase} {moment.call} {moment.delay:.2f} s: {ended.code}", *ended.said]
        if ended.code not in (0, -signal.SIGKILL) or not ended.is_clean():
            return Trial(what, False, "; ".join(notes))
        words = here.again(name, place)
    ended = run(words)
    differs = difference(undisturbed(name), state(place))
    held = ended.code == 0 and ended.is_clean() and not differs
    notes += [f"at last {ended.code}", *ended.said] + ([f"differs: {differs}"] if differs else [])
    return Trial(what, held, "; ".join(notes))


def _at(phase: str, draw: Any, phases: dict[str, tuple] = TRAINING) -> tuple[str, int, float]:
    target, calls, longest = phases[phase]
    return target, int(draw.integers(1, calls + 1)), round(float(draw.uniform(0, longest)), 3)
