"""The process of a command line: how it was called, and how Ctrl-C and SIGTERM end it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

COMMANDS = ("train", "evaluate", "redraw", "simulate", "study", "schema")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Files that are worth nothing before they are whole: removed where a signal ends the process.
unfinished: set[Path] = set()


def call_of(command: str) -> str:
    """How to call a command, as this process was called.

    Args:
        command: one of `COMMANDS`.

    Returns:
        `python train.py` from a script of a clone, `maskformer train` from the installed program,
        and otherwise `python -m maskformer_jax train`, which always works.
    """
    called = Path(sys.argv[0])
    if called.suffix == ".py" and called.stem in COMMANDS:
        return f"python {called.with_stem(command)}"
    program = "maskformer" if called.stem == "maskformer" else "python -m maskformer_jax"
    return f"{program} {command}"


class Stopped(KeyboardInterrupt):
    """A signal arrived.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def leave_at_signals() -> None:
    """From now on Ctrl-C and SIGTERM end the process with one line, whatever it does.

    A thread does it, since code in C lets the handlers of Python wait until it is done; and no
    exception, since one that meets a callback of JAX is lost there.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in SIGNALS:
        signal.signal(number, _leave_it_to_the_thread)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_leave, args=(reader,), daemon=True).start()


def _leave_it_to_the_thread(number: int, frame: FrameType | None) -> None:
    pass


def _leave(reader: int) -> None:
    """Waits for a signal; its number is what is read."""
    while (number := os.read(reader, 1)[0]) not in SIGNALS:
        pass
    for path in [*unfinished]:
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):
        os.write(2, b"stopped\n")
    os._exit(128 + number)


@contextlib.contextmanager
def first_signal(answer: Callable[[int], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM in a block is answered; the next does what it did outside.

    Args:
        answer: is called with the number of the signal.
    """
    wakeup = signal.set_wakeup_fd(-1)

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        restore()
        answer(number)

    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        restore()


def stopped_by_signals() -> contextlib.AbstractContextManager[None]:
    """The first Ctrl-C or SIGTERM in the block raises `Stopped`, for what must be tidied up."""

    def stop(number: int) -> None:
        raise Stopped(number)

    return first_signal(stop)
