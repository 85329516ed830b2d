"""Jets/s of reading alone and of finished training batches, on one core."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from maskformer_jax.config import DataConfig, TracksConfig
from maskformer_jax.data import JetFile, TrainLoader, fit_scaling
from maskformer_jax.errors import InputError

TRACKS, FIELDS = 40, 20
REPEATS = 3


def run(file: str, jets: int, batch_size: int) -> str:
    """A table of jets/s: two uncompressed files of 40 tracks x 20 fields, and the one at `file`.

    Args:
        file: file in the default layout.
        jets: jets of each measurement, at most.
        batch_size: jets of a batch.
    """
    if jets < 1 or batch_size < 1:
        raise InputError(f"`--jets` and `--batch_size` must be at least 1; got {jets, batch_size}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    lines = [f"{'file':28} {'layout':44} {'reading':>9} {'batches':>9} {'ratio':>6}"]
    lines.append(_line(Path(file).name, JetFile(file, DataConfig()), jets, batch_size))
    with tempfile.TemporaryDirectory() as folder:
        for name, occupancy in (("made, as in t-tbar", 0.2), ("made, no padding", 1.0)):
            inputs = [f"field{number}" for number in range(FIELDS)]
            layout = DataConfig(tracks=TracksConfig(inputs=inputs))
            made = make(Path(folder) / "made.h5", layout, jets, occupancy)
            lines.append(_line(name, JetFile(made, layout), jets, batch_size))
    return "\n".join(lines)


def _line(name: str, file: JetFile, jets: int, batch_size: int) -> str:
    jets = min(jets, file.num_jets)
    loader = TrainLoader(
        file,
        fit_scaling(file, num_jets=jets),
        batch_size=batch_size,
        seed=0,
        num_jets=jets,
    )
    batches = loader.iterator()

    def epoch() -> None:
        for _ in range(loader.steps_per_epoch):
            next(batches)

    reading = _rate(jets, lambda: _read(file.path, file.layout, jets))
    finished = _rate(loader.jets_per_epoch, epoch)
    batches.close()
    with h5py.File(file.path) as raw:
        tracks = raw[file.layout.tracks.dataset]
        packing = f"{tracks.compression}, {tracks.chunks[0]} rows" if tracks.chunks else "plain"
        layout = f"{jets} jets, {tracks.shape[1]} x {len(tracks.dtype)} fields, {packing}"
    file.close()
    return f"{name:28} {layout:44} {reading:9,.0f} {finished:9,.0f} {finished / reading:6.2f}"


def _rate(jets: int, work: Callable[[], None]) -> float:
    """Jets/s of the fastest of a few runs, after one that warms the caches."""
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return jets / min(times)


def _read(path: Path, layout: DataConfig, jets: int) -> None:
    with h5py.File(path) as file:
        for start in range(0, jets, layout.block_size):
            stop = min(start + layout.block_size, jets)
            for part in (layout.jets, layout.tracks, layout.hadrons):
                file[part.dataset][start:stop]


def make(path: Path, layout: DataConfig, jets: int, occupancy: float) -> Path:
    """Writes an uncompressed file of noise, `occupancy` of whose 40 tracks per jet are real."""
    tracks, hadrons = layout.tracks, layout.hadrons
    generator = np.random.default_rng(0)

    def table(shape: tuple[int, ...], floats: list[str], others: dict[str, str]) -> np.ndarray:
        dtype = [*((name, "f4") for name in floats), *others.items()]
        values = np.zeros(shape, dtype)
        for name in floats:
            values[name] = generator.exponential(1e4, shape)
        return values

    rows = {
        "jets": table((jets,), layout.jets.inputs, {layout.jets.label: "i1"}),
        "tracks": table(
            (jets, TRACKS), tracks.inputs, {tracks.origin: "i1", tracks.link: "i4", "valid": "?"}
        ),
        "truth_hadrons": table(
            (jets, hadrons.cap),
            hadrons.targets,
            {hadrons.label: "i1", hadrons.link: "i4", "valid": "?"},
        ),
    }
    counts = generator.binomial(TRACKS, occupancy, (jets, 1))
    rows["tracks"]["valid"] = np.arange(TRACKS) < counts
    rows["tracks"][tracks.link] = generator.integers(0, 3, (jets, TRACKS))
    rows["truth_hadrons"]["valid"][:, :2] = True
    rows["truth_hadrons"][hadrons.label] = 5
    rows["truth_hadrons"][hadrons.link] = np.arange(hadrons.cap)
    with h5py.File(path, "w") as file:
        for name, values in rows.items():
            file.create_dataset(name, data=values)
    return path
