"""Results appear whole or not at all, and a refusal of the system becomes one line."""

import os
from pathlib import Path

from maskformer_jax.errors import InputError
from maskformer_jax.program import unfinished


def not_writable(path: Path, error: OSError) -> InputError:
    """The one-line message for an output that the system refuses."""
    return InputError(f"{path}: cannot be written: {error.strerror}; choose another --output_dir")


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
    try:
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(path, error) from error
