"""What makes works that take turns comparable: the same cores, and nothing left over."""

import os
import time

PAUSE = 0.01  # seconds; a process that works less than a tenth of it is at rest
LONGEST = 5.0  # seconds; what still works after that, an accelerator's driver perhaps, never rests


def bind(cores: int) -> None:
    """Leaves this process, and those that it starts, that many cores, where the system can do it.

    Call it before the first use of JAX, whose threads keep the cores that they started with.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def end_of_work() -> float:
    """Waits until no thread of this process works, and tells since when, by `perf_counter`.

    A loader reads ahead. This lets the turn that it belongs to pay for it, rather than the next.
    """
    begin = time.perf_counter()
    while True:
        moment, used = time.perf_counter(), time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - used < PAUSE / 10:
            return moment
        if moment - begin > LONGEST:
            return begin
