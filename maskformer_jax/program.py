"""The process of a command line: how it was called, and how signals end it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

COMMANDS = (
    *("train", "evaluate", "export", "redraw", "simulate", "study", "schema", "convert-salt"),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Files that are worth nothing before they are whole: removed where a signal ends the process.
unfinished: set[Path] = set()
_speaking, _decided = threading.Lock(), []


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

    def __init__(self, number: int, how: str = "; run the same command again to continue"):
        super().__init__(f"stopped{how}")
        self.number = number


def end(code: int, line: str) -> int:
    """Prints the last line of a process, the only one on standard error; the exit code.

    From then on a signal hurries the end, and neither says anything nor changes the code.
    """
    # Names in a file may have signs that begin a line, or steer a terminal.
    line = "".join(sign if sign.isprintable() else " " for sign in line)
    with _speaking:
        print(line, file=sys.stderr, flush=True)
        _decided.append(code)
    return code


def leave_at_signals() -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP end the process with one line, whatever it does.

    A thread does it, since code in C lets the handlers of Python wait until it is done; and no
    exception, since one that meets a callback of JAX is lost there.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # First, since a signal that meets a handler alone is lost.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _caught():
        signal.signal(number, _leave_it_to_the_thread)
    threading.Thread(target=_leave, args=(reader,), daemon=True).start()


def _caught() -> list[int]:
    """The signals, but for one that `nohup` told the process to ignore."""
    return [x for x in SIGNALS if x != signal.SIGHUP or signal.getsignal(x) != signal.SIG_IGN]


def _leave_it_to_the_thread(number: int, frame: FrameType | None) -> None:
    pass


def _leave(reader: int) -> None:
    """Waits for a signal; its number is what is read."""
    while (number := os.read(reader, 1)[0]) not in SIGNALS:
        pass
    with _speaking:
        for path in [*unfinished]:
            with contextlib.suppress(OSError):
                path.unlink()
        if _decided:
            os._exit(_decided[-1])
        with contextlib.suppress(OSError):
            os.write(2, b"stopped\n")
        os._exit(128 + number)


@contextlib.contextmanager
def first_signal(answer: Callable[[int], None]) -> Iterator[None]:
    """The first signal in a block is answered; the next does what it did outside.

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

    previous = {number: signal.signal(number, handle) for number in _caught()}
    try:
        yield
    finally:
        restore()


def stopped_by_signals() -> contextlib.AbstractContextManager[None]:
    """The first signal in the block raises `Stopped`, for what must be tidied up."""

    def stop(number: int) -> None:
        raise Stopped(number)

    return first_signal(stop)
