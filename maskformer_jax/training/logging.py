"""One stream of numbers to two places: TensorBoard and `metrics.jsonl`."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

from maskformer_jax.errors import InputError

LOG_FILE = "metrics.jsonl"


class MetricsLog:
    """Appends named numbers of a step to both logs.

    Args:
        run: the run folder; `metrics.jsonl` and `tensorboard/` lie in it.
        step: lines of later steps, left by a run that was interrupted after its last checkpoint,
            are removed, since those steps will be made again.
    """

    def __init__(self, run: Path, step: int):
        path = run / LOG_FILE
        cut_back(path, step)
        self._path, self._failure = path, None
        # TensorBoard's writer is a thread; when it dies, the queue to it blocks for ever.
        threading.excepthook = self._note
        self._lines = path.open("a")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def _note(self, failure: threading.ExceptHookArgs) -> None:
        if not isinstance(failure.exc_value, OSError):
            threading.__excepthook__(failure)
            return
        self._failure = " ".join(str(failure.exc_value).split())[:200]

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """Records the values of a step.

        Raises:
            InputError: a write failed in the background, as on a full disk.
        """
        if self._failure is not None:
            raise InputError(f"{self._path.parent} can't be written to: {self._failure}")
        self._lines.write(json.dumps({"step": step, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes both logs."""
        threading.excepthook = threading.__excepthook__
        self._lines.close()
        if self._failure is None:
            self._board.close()


def cut_back(path: Path, step: int) -> None:
    """Removes lines of later steps, and halves of lines, from a file of JSON lines, if it is there.

    Args:
        path: the file.
        step: the last that is kept.
    """
    if not path.exists():
        return
    kept = [line for line in path.read_text().splitlines() if _is_before(line, step)]
    shorter = path.with_suffix(".tmp")
    shorter.write_text("".join(line + "\n" for line in kept))
    shorter.replace(path)


def _is_before(line: str, step: int) -> bool:
    """Whether a line of the log is whole and belongs to a step that is kept."""
    try:
        return json.loads(line)["step"] <= step
    except (json.JSONDecodeError, KeyError, TypeError):
        return False
