"""One stream of numbers to two places: TensorBoard and `metrics.jsonl`."""

import itertools
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from maskformer_jax.errors import InputError
from maskformer_jax.files import write_whole, writing
from maskformer_jax.training.manifest import marked, unmarked

LOG_FILE = "metrics.jsonl"


class MetricsLog:
    """Appends named numbers of a step to both logs.

    Args:
        run: the run folder; `metrics.jsonl` and `tensorboard/` lie in it.
        step: lines of later steps, left by a run that was interrupted after its last checkpoint,
            are removed, since those steps will be made again.

    Raises:
        InputError: the folder can't be written to.
    """

    def __init__(self, run: Path, step: int):
        self._path, self._folder = run / LOG_FILE, run / "tensorboard"
        cut_back(self._path, step)
        with writing(self._path):
            self._lines = self._path.open("a")
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
            # Not the usual writer, whose thread dies in silence on a full disk.
            self._events = EventsWriter(str(self._folder / "events"))
            # TensorBoard forgets what a file before said of this step and later ones.
            session = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(step=step + 1, session_log=session))

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """Records the values of a step, but for those that are not finite.

        Raises:
            InputError: the disk is full.
        """
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        with writing(self._path):
            self._lines.write(as_line({"step": step, **finite}))
            self._lines.flush()
        summary = Summary(
            value=[Summary.Value(tag=name, simple_value=x) for name, x in finite.items()]
        )
        with writing(self._folder):
            self._events.write_event(Event(wall_time=time.time(), step=step, summary=summary))
            self._events.flush()

    def close(self) -> None:
        """Closes both logs.

        Raises:
            InputError: the disk is full.
        """
        with writing(self._path):
            self._lines.close()
        with writing(self._folder):
            self._events.close()


def as_line(content: Mapping[str, Any]) -> str:
    """A line of a file of JSON lines, with its checksum."""
    return f"{json.dumps(marked(content), allow_nan=False)}\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What `as_line` was given; the last line may be in the making.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: a line is damaged, or steps go back.
    """
    lines = [unmarked(json.loads(line)) for line in path.read_text().split("\n")[:-1]]
    if any(line["step"] > later["step"] for line, later in itertools.pairwise(lines)):
        raise ValueError("a step comes after a later one")
    return lines


def read_log(run: Path) -> list[dict[str, float]]:
    """Whole lines of the log of a run, none where it has no log; the last may be in the making.

    Raises:
        InputError: a line is damaged.
    """
    path = run / LOG_FILE
    try:
        return [_numbers(line) for line in (read_lines(path) if path.exists() else ())]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged log ({error}); remove the run folder") from error


def _numbers(line: dict[str, float]) -> dict[str, float]:
    if not all(type(value) in (int, float) for value in line.values()):
        raise ValueError("a value is no number")
    return {**line, "step": int(line["step"])}


def cut_back(path: Path, step: int) -> None:
    """Removes lines of later steps, and halves of lines, from a file of JSON lines, if it is there.

    Args:
        path: the file.
        step: the last that is kept.
    """
    if not path.exists():
        return
    kept = [line for line in path.read_bytes().split(b"\n") if _is_before(line, step)]
    write_whole(path, b"".join(line + b"\n" for line in kept))


def _is_before(line: bytes, step: int) -> bool:
    """Whether a line of the log is whole and belongs to a step that is kept."""
    try:
        return unmarked(json.loads(line.decode()))["step"] <= step
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
