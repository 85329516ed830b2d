"""Checksums of what a run folder and its checkpoints hold. They find damage, not attacks.

RUN/manifest.json covers the small files of a run folder and says which jets it is trained on; the
summary of a checkpoint covers its arrays and the position of the loader. Both are sealed: they hold
a checksum of themselves.
"""

import json
import zlib
from collections.abc import Mapping
from operator import ne
from pathlib import Path
from typing import Any

from maskformer_jax.errors import InputError
from maskformer_jax.files import write_whole

FILE_NAME = "manifest.json"
CHECKSUM = "checksum"
DIFFERS = "its checksum differs from the one that was saved"


class DamagedError(ValueError):
    """Something is not what was saved."""


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON data with their checksum."""
    return {"content": content, CHECKSUM: _checksum(content)}


def unseal(sealed: Any) -> Any:
    """What `seal` was given.

    Raises:
        DamagedError: the checksum is another.
    """
    try:
        content, expected = sealed["content"], sealed[CHECKSUM]
    except (KeyError, TypeError) as error:
        raise DamagedError("it has no checksum") from error
    if _checksum(content) != expected:
        raise DamagedError(DIFFERS)
    return content


def marked(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON data with their checksum among them, for files that people and other programs read."""
    return {CHECKSUM: _checksum(content), **content}


def unmarked(data: Mapping[str, Any]) -> dict[str, Any]:
    """What `marked` was given; an older file has no checksum.

    Raises:
        DamagedError: the checksum is another, or a letter of its name.
    """
    content = {key: value for key, value in data.items() if key != CHECKSUM}
    if any(len(x) == len(CHECKSUM) and sum(map(ne, x, CHECKSUM)) == 1 for x in content):
        raise DamagedError(DIFFERS)
    if data.get(CHECKSUM, _checksum(content)) != _checksum(content):
        raise DamagedError(DIFFERS)
    return content


def _checksum(content: Any) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def write(run: Path, files: Mapping[str, bytes], jets: Mapping[str, Any]) -> None:
    """Writes the manifest of a run folder.

    Args:
        run: the folder.
        files: name -> content, of those that never change.
        jets: option of a file of jets -> its fingerprint.

    Raises:
        InputError: the folder can't be written to.
    """
    checksums = {name: zlib.crc32(content) for name, content in files.items()}
    sealed = seal({"files": checksums, "jets": jets})
    write_whole(run / FILE_NAME, f"{json.dumps(sealed, indent=2)}\n".encode())


def read(run: Path) -> dict[str, Any]:
    """The fingerprints of the jets, after all files of the run folder were found to be whole.

    Raises:
        InputError: a file is missing, damaged or was edited.
    """
    path = run / FILE_NAME
    try:
        content = unseal(json.loads(path.read_bytes()))
        for name, expected in content["files"].items():
            path = run / name
            if zlib.crc32(path.read_bytes()) != expected:
                raise InputError(
                    f"{path} is damaged or was edited: its checksum is not that of {FILE_NAME}; "
                    "options of a run are changed on the command line"
                )
    except OSError as error:
        raise InputError(f"{path}, which a whole run folder has: {error.strerror}") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    return content["jets"]
