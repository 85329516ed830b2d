"""What a terminal shows while something takes long: stages with their seconds, and bars."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

# Figures before and behind a bar fit beside one of this width on 80 columns.
FORMAT = "{desc}{percentage:3.0f}% |{bar:12}| {n_fmt}/{total_fmt}{unit}, {rate_fmt}, "
FORMAT += "{remaining} left{postfix}"
COMPILING = "compiling, about a minute the first time"


@contextlib.contextmanager
def stage(text: str) -> Iterator[None]:
    """Says what is being done, the seconds counted; only where someone sees it, on a terminal.

    Args:
        text: "reading".
    """
    if not sys.stderr.isatty():
        yield
        return
    begin, done = time.monotonic(), threading.Event()

    def show(end: str) -> None:
        sys.stderr.write(f"\r{text}: {time.monotonic() - begin:.0f} s\x1b[K{end}")
        sys.stderr.flush()

    def count() -> None:
        while not done.wait(1.0):
            show("")

    counter = threading.Thread(target=count, daemon=True)
    show("")
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()
        show("\n")


def bar(total: int, unit: str, title: str = "", **options: Any) -> tqdm:
    """A bar with the time left, of use on 80 columns; nothing where no terminal shows it.

    Args:
        total: what it ends at.
        unit: of what it counts: "jets".
        title: before it.
        **options: of tqdm; `disable=False`: shown in the log of a batch system, too.
    """
    options = {"mininterval": 1.0, "unit_scale": total >= 10_000, "disable": None} | options
    desc = f"{title}: " if title else None
    return tqdm(total=total, unit=f" {unit}", desc=desc, bar_format=FORMAT, **options)
