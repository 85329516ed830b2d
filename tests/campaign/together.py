"""Two processes and one folder: one works, the other is told so, and nothing is mixed."""

import itertools
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from campaign.processes import (
    LIMIT,
    Ended,
    Moment,
    case,
    difference,
    run,
    start,
    state,
    undisturbed,
    wait,
)
from campaign.trial import Trial

KIND = "two processes and one folder"


class Meeting(NamedTuple):
    """A process that stands still, and what another does meanwhile.

    Attributes:
        holder: command of the first.
        target: function at whose call it stands still.
        call: of that function.
        other: command of the second.
        code: of its end.
        is_killed: the first never wakes up: it is killed, and the second comes after that.
    """

    holder: str
    target: str
    call: int
    other: str
    code: int
    is_killed: bool = False


STEPS = "maskformer_jax.training.loop:Reporter.dispatched"
PREDICTS = "maskformer_jax.evaluation.run:write_predictions"
MEASURES = "maskformer_jax.study.run:measure"
MEETINGS = (
    Meeting("train", STEPS, 3, "train", 2),
    Meeting("train", STEPS, 9, "resume", 2),
    Meeting("train", STEPS, 14, "evaluate", 0),
    Meeting("evaluate", PREDICTS, 1, "evaluate", 2),
    Meeting("study", MEASURES, 1, "study", 0),
    Meeting("train", STEPS, 9, "train", 0, is_killed=True),
    Meeting("evaluate", PREDICTS, 1, "evaluate", 0, is_killed=True),
    Meeting("study", MEASURES, 1, "study", 0, is_killed=True),
)
FULL = len(MEETINGS)
SHORT = 1


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """See `campaign.trial`; nothing is drawn."""
    del seed
    for index, meeting in itertools.islice(enumerate(MEETINGS), first, number):
        yield _trial(meeting, folder / f"together_{index}")
        shutil.rmtree(folder / f"together_{index}")


def _trial(meeting: Meeting, place: Path) -> Trial:
    here = case()
    place.mkdir()
    if meeting.holder == "evaluate":
        run(here.words("train", place))
    moment = Moment(meeting.target, meeting.call, 0.0, (signal.SIGSTOP,))
    holder = start(here.words(meeting.holder, place), moment)
    stood = _stands_still(holder)
    if meeting.is_killed:
        holder.kill()
        first = wait(holder)
        other = run(here.again(meeting.other, place))
    else:
        other = run(here.words(meeting.other, place))
        holder.send_signal(signal.SIGCONT)
        first = wait(holder)
    left = state(place)
    if meeting.holder == "train":
        # An evaluation beside a training is one of an earlier checkpoint.
        left = {name: x for name, x in left.items() if not name.startswith("run/evaluation/")}
    differs = difference(undisturbed(meeting.holder), left)
    expected = -signal.SIGKILL if meeting.is_killed else 0
    held = stood and (first.code, other.code) == (expected, meeting.code)
    held = held and first.is_clean() and _is_right(other) and not differs
    what = f"{meeting.other} {'after a killed' if meeting.is_killed else 'beside'} {meeting.holder}"
    notes = [] if stood else ["the first never stood still"]
    notes += [f"first {first.code}", *first.said, f"other {other.code}", *other.said]
    return Trial(what, held, "; ".join(notes + ([f"differs: {differs}"] if differs else [])))


def _is_right(other: Ended) -> bool:
    """One line where it is refused; messages alone otherwise."""
    if other.code == 2:
        return [line.startswith("error: ") for line in other.said] == [True]
    return other.is_clean()


def _stands_still(process: subprocess.Popen) -> bool:
    """Waits until it is stopped; False if it ended or never was."""
    for _ in range(int(10 * LIMIT)):
        if process.poll() is not None:
            return False
        status = Path(f"/proc/{process.pid}/stat").read_text()
        if status.rpartition(")")[2].split()[0] == "T":
            return True
        time.sleep(0.1)
    return False
