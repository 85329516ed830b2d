"""A disk that is full: one line that names the place, and what goes on with room ends the same."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from campaign.processes import case, difference, run, state, undisturbed
from campaign.trial import Trial

KIND = "full disks"
# Command, and the room that it finds [kB]: a training leaves about 700, an evaluation 1,700 more.
ROOMS = (
    ("train", 250),
    ("train", 0),
    ("train", 12),
    ("train", 40),
    ("train", 450),
    ("evaluate", 8),
    ("evaluate", 900),
)
FULL = len(ROOMS)
SHORT = 1
DISK = 16 << 20


def missing() -> str:
    """Why it can't be tried here; empty where it can."""
    with tempfile.TemporaryDirectory() as folder, _disk(Path(folder)) as mounted:
        if mounted:
            return ""
    return "no file system can be mounted here, which takes root"


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """See `campaign.trial`; nothing is drawn. None where no disk can be made."""
    del seed
    if missing():
        return
    for index, (name, room) in list(enumerate(ROOMS))[first:number]:
        place = folder / f"disk_{index}"
        place.mkdir()
        with _disk(place):
            yield _trial(name, room, place)
        shutil.rmtree(place)


@contextlib.contextmanager
def _disk(place: Path) -> Iterator[bool]:
    """A file system of its own in a folder; False if it can't be mounted."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    can_mount = shutil.which("mount") is not None
    mounted = can_mount and subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def _trial(name: str, room: int, place: Path) -> Trial:
    here, ballast = case(), place / "ballast"
    if name == "evaluate":
        run(here.words("train", place))
    free = os.statvfs(place)
    with ballast.open("wb") as file:
        file.write(bytes(max(free.f_bavail * free.f_frsize - 1024 * room, 0)))
    ended = run(here.words(name, place))
    ballast.unlink()
    last = run(here.again(name, place))
    differs = difference(undisturbed(name), state(place))
    is_said = [line.startswith("error: ") and str(place) in line for line in ended.said]
    held = ended.code == 2 and is_said == [True] and last.code == 0 and last.is_clean()
    notes = [f"{ended.code}", *ended.said, f"then {last.code}", *last.said]
    notes += [f"differs: {differs}"] if differs else []
    return Trial(f"{name} with {room} kB", held and not differs, "; ".join(notes))
