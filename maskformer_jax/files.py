"""What every writer of a folder keeps to: whole files, no links, one process, one line for a fault.

A file appears whole or not at all, symbolic links inside a folder are not followed, and a refusal
of the system names the file.
"""

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from maskformer_jax.errors import InputError
from maskformer_jax.program import unfinished

LOCK_FILE = ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def not_writable(path: Path, error: OSError) -> InputError:
    """The one-line message for an output that the system refuses."""
    cure = "" if error.errno in _FULL else "; choose another place for it"
    return InputError(f"{path}: cannot be written: {error.strerror or error}{cure}")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says which file it was that the system refused.

    Raises:
        InputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise not_writable(path, error) from error


def partial_path(path: Path) -> Path:
    """Where a file is written before it is moved to `path`: beside it, hidden."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    unfinished.add(partial)
    return partial


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file; one that is there is replaced only when all of it has been written.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """
    partial = partial_path(path)
    with writing(path):
        try:
            partial.unlink(missing_ok=True)
            with partial.open("xb") as file:
                file.write(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def refuse_link(path: Path) -> None:
    """Raises InputError if a path is a symbolic link."""
    if path.is_symlink():
        raise InputError(
            f"{path} is a symbolic link, and inside a folder none is followed for writing: put "
            "what it points to in its place, or remove it"
        )


def refuse_links(folder: Path) -> None:
    """Raises InputError if a symbolic link lies anywhere in a folder, which may be one itself."""
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            refuse_link(Path(where) / name)


@contextlib.contextmanager
def held(folder: Path, done: str) -> Iterator[None]:
    """Keeps others, who do the same, out of a folder until the end of the block.

    Args:
        folder: created if needed; removed at the end if nothing is in it.
        done: what others may be doing to it: "trains in".

    Raises:
        InputError: another process does so, or the folder can't be written to.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with hold(folder / LOCK_FILE) as mine:
            if not mine:
                raise InputError(f"another process {done} {folder}; choose another --output_dir")
            with writing(folder):
                for left in folder.glob(".*.partial"):
                    if not left.is_symlink():
                        left.unlink()  # by a process that was killed
            yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Whether a lock is this process's until the end of the block, or until the process dies.

    Args:
        path: of the lock, an empty file that is gone when nobody holds it.

    Raises:
        InputError: the file can't be made, or is a symbolic link.
    """
    with writing(path):
        descriptor = _lock(path)
    if descriptor is None:
        yield False
        return
    unfinished.add(path)
    try:
        yield True
    finally:
        unfinished.discard(path)
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    """An open and locked file; none if another process has locked it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            print(f"warning: {path}: this file system knows no locks", file=sys.stderr)
            return descriptor
        # The holder before may have removed the file between the two calls.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)
