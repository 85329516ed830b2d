"""Damages files of jets and reads each as a training does, in a process of its own.

python tests/fuzzed_files.py SEED FILES FOLDER prints the counts of what came of them as JSON.
"""

import collections
import json
import os
import signal
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
from streams_file import make_streams, streams_schema

from maskformer_jax.data import JetFile, check_values, fit_scaling
from maskformer_jax.errors import InputError

# Seconds that a child may take.
LONGEST = 20
STORED = ({}, {"chunks": True, "compression": "gzip"}, {"chunks": True, "compression": "lzf"})


def damaged(content, generator):
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
    return bytes(found)


def outcome(path, schema):
    """`read`, `refused` with one printable line, or what else happened."""
    try:
        file = JetFile(path, schema)
        try:
            check_values(file, fit_scaling(file))
        finally:
            file.close()
    except InputError as error:
        return "refused" if str(error).isprintable() else f"not one line: {error!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:200]
    return "read"


def outcome_of_a_child(path, schema):
    """`outcome`, or the signal that ended the process: HDF5 may fall over such a file."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST)
        os.write(writing, outcome(path, schema).encode(errors="replace"))
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read() or f"signal {os.WTERMSIG(status)}"


def main(seed, number, folder):
    generator, schema, counts = np.random.default_rng(seed), streams_schema(), collections.Counter()
    whole, path = folder / "whole.h5", folder / "damaged.h5"
    with h5py.File(whole, "w") as file:
        for name, table in make_streams().items():
            file.create_dataset(name, data=table, **STORED[seed % len(STORED)])
    for _ in range(number):
        path.write_bytes(damaged(whole.read_bytes(), generator))
        counts[outcome_of_a_child(path, schema)] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
