"""Files that are written whole or not at all, on a disk that may be full."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that gets its name when the context ends well, and else is gone."""
    unfinished = path.with_suffix(".unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class Disk(io.FileIO):
    """A file that takes note of a refused write and pretends that all is well from then on.

    HDF5 can't close a file whose writes fail, and complains of each of its parts until the process
    ends.

    Attributes:
        failure: of the first write that was refused; none: all is written.
    """

    failure: OSError | None = None

    def write(self, data) -> int:
        """Writes all of the data, or notes why that is not possible."""
        left = memoryview(data).cast("B")
        size = len(left)
        while len(left) and self.failure is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Likewise."""
        if self.failure is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.failure = error
        return size or 0

    def check(self) -> None:
        """Raises OSError if a write was refused."""
        if self.failure is not None:
            raise self.failure
