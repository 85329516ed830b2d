"""Files of jets with damaged bytes are read, or refused in one line, as a training reads them.

Bytes inside the tables are numbers like others, so that nobody can tell that they were damaged.
A process of its own opens each file, since HDF5 itself may fall over it.
"""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from streams_file import make_streams, streams_schema

from campaign.trial import Trial, draws
from maskformer_jax.data import JetFile, check_values, fit_scaling
from maskformer_jax.errors import InputError

KIND, FULL, SHORT = "fuzzed HDF5 inputs", 500, 20
# Seconds that a child may take.
LONGEST = 20
STORED = ({}, {"chunks": True, "compression": "gzip"}, {"chunks": True, "compression": "lzf"})
KINDS = ("random bytes", "a flipped bit", "ones")


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Made in a process without threads, which may be forked."""
    argv = [sys.executable, "-m", "campaign.fuzz", *map(str, (number, seed, folder, first))]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, cwd=folder) as process:
        for line in process.stdout:
            yield Trial(**json.loads(line))


def write_whole_files(folder: Path) -> list[bytes]:
    """What a file of jets holds, stored in three ways."""
    contents = []
    for how in STORED:
        path = folder / "whole.h5"
        with h5py.File(path, "w") as file:
            for name, table in make_streams().items():
                file.create_dataset(name, data=table, **how)
        contents.append(path.read_bytes())
    return contents


def damaged(content: bytes, generator: np.random.Generator) -> tuple[str, bytes]:
    """Random bytes, one flipped bit, or ones, anywhere or among the headers at the start."""
    found, length = bytearray(content), int(generator.integers(1, 20))
    end = len(found) if generator.random() < 0.5 else min(len(found), 8000)
    place, kind = int(generator.integers(0, end - length)), generator.integers(3)
    if kind == 0:
        found[place : place + length] = generator.bytes(length)
    elif kind == 1:
        found[place] ^= 1 << int(generator.integers(8))
    else:
        found[place : place + length] = b"\xff" * length
    return f"{KINDS[kind]} at {place}", bytes(found)


def outcome(path: Path) -> tuple[bool, str]:
    """Whether the file was read or refused with one printable line, and what happened."""
    try:
        file = JetFile(path, streams_schema())
        try:
            check_values(file, fit_scaling(file))
        finally:
            file.close()
    except InputError as error:
        return str(error).isprintable(), str(error).replace(str(path), path.name)
    except BaseException as error:
        return False, f"{type(error).__name__}: {error}"
    return True, "read"


def outcome_of_a_child(path: Path) -> tuple[bool, str]:
    """`outcome`, or the signal that ended the process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST)
        os.write(writing, json.dumps(outcome(path)).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    return tuple(json.loads(said)) if said else (False, f"signal {os.WTERMSIG(status)}")


def main(number: int, seed: int, folder: Path, first: int) -> None:
    """Prints the trials."""
    contents, path = write_whole_files(folder), folder / "damaged.h5"
    for index in range(first, number):
        generator = draws(seed, index)
        what, content = damaged(contents[generator.integers(len(contents))], generator)
        path.write_bytes(content)
        print(json.dumps(Trial(what, *outcome_of_a_child(path))._asdict()), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
