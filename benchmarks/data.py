"""Jets/s of reading alone and of finished training batches, on one core.

With `--peers` batches of Salt's dataset are made in turn with ours.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from benchmarks.salt_peer import Ask, salt, settings
from benchmarks.turns import bind, end_of_work
from maskformer_jax.config import DataConfig, TracksConfig
from maskformer_jax.data import JetFile, TrainLoader, fit_scaling, plan_layout
from maskformer_jax.errors import InputError

TRACKS, FIELDS = 40, 20
REPEATS = 3
PAIRS, PASSES = 5, 5  # turns of ours and of Salt's, and passes through the file in each


def run(file: str, jets: int, batch_size: int, *, peers: bool, peer_python: str | None) -> str:
    """A table of jets/s: two uncompressed files of 40 tracks x 20 fields, and the one at `file`.

    With `peers` instead: the one at `file` and an uncompressed copy of it.

    Args:
        file: file in the default layout.
        jets: jets of each measurement, at most.
        batch_size: jets of a batch.
        peers: whether Salt's dataset reads as well.
        peer_python: interpreter that has Salt; none: this one.
    """
    if jets < 1 or batch_size < 1:
        raise InputError(f"`--jets` and `--batch_size` must be at least 1; got {jets, batch_size}")
    bind(1)
    if peers:
        return compare(Path(file), jets, batch_size, peer_python)
    lines = [f"{'file':28} {'layout':44} {'reading':>9} {'batches':>9} {'ratio':>6}"]
    lines.append(_line(Path(file).name, JetFile(file, DataConfig()), jets, batch_size))
    with tempfile.TemporaryDirectory() as folder:
        for name, occupancy in (("made, as in t-tbar", 0.2), ("made, no padding", 1.0)):
            inputs = [f"field{number}" for number in range(FIELDS)]
            layout = DataConfig(tracks=TracksConfig(inputs=inputs))
            made = make(Path(folder) / "made.h5", layout, jets, occupancy)
            lines.append(_line(name, JetFile(made, layout), jets, batch_size))
    return "\n".join(lines)


def compare(file: Path, jets: int, batch_size: int, peer_python: str | None) -> str:
    """A table of batches made in turn with Salt's, from the file and an uncompressed copy.

    Args:
        file: file in the default layout.
        jets: jets of the files that are read, at most.
        batch_size: jets of a batch.
        peer_python: interpreter that has Salt; none: this one.
    """
    jets = min(jets, JetFile(file, DataConfig()).num_jets)
    if jets < batch_size:
        raise InputError(f"`--jets` must be at least `--batch_size`; got {jets, batch_size}")
    lines = [f"{'file':28}{'here':>10}{'Salt':>10}{'ratio':>8}{'least':>8}{'most':>8}"]
    with tempfile.TemporaryDirectory() as folder, salt(peer_python, cores=1) as ask:
        plain = copy_plain(file, Path(folder) / "plain.h5", jets)
        for name, path in ((file.name, file), ("uncompressed copy", plain)):
            rates = _rates(ask, path, jets, batch_size)
            ours, theirs = np.median(rates, axis=0)
            ratios = rates[:, 0] / rates[:, 1]
            spread = f"{np.median(ratios):8.2f}{ratios.min():8.2f}{ratios.max():8.2f}"
            lines.append(f"{name:28}{ours:10,.0f}{theirs:10,.0f}{spread}")
    return "\n".join(lines)


def _rates(ask: Ask, path: Path, jets: int, batch_size: int) -> np.ndarray:
    """Jets/s [pair, ours and Salt's] of passes through the file."""
    layout, number = DataConfig(), PASSES * (jets // batch_size)
    ask("read", str(path), settings=settings(layout, path, batch_size, jets, embed_dim=128))
    batches = _loader(JetFile(path, layout), jets, batch_size).iterator()

    def ours() -> float:
        begin, found = time.perf_counter(), 0
        for _ in range(number):
            batch, _ = next(batches)
            found += int(batch.jet_valid.sum())
        return found / (end_of_work() - begin)

    def theirs() -> float:
        return number * batch_size / ask("next", str(path), batches=number)

    rates = [(ours(), theirs()) for _ in range(1 + PAIRS)]
    batches.close()
    # The first pair warms the caches.
    return np.array(rates[1:])


def copy_plain(source: Path, path: Path, jets: int) -> Path:
    """Writes the first jets of a file without compression and chunks."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for name, values in old.items():
            new.create_dataset(name, data=values[:jets])
            new[name].attrs.update(values.attrs)
    return path


def _loader(file: JetFile, jets: int, batch_size: int) -> TrainLoader:
    return TrainLoader(
        file,
        fit_scaling(file, num_jets=jets),
        batch_size=batch_size,
        seed=0,
        num_jets=jets,
        layout=plan_layout(file, batch_size, num_jets=jets),
    )


def _line(name: str, file: JetFile, jets: int, batch_size: int) -> str:
    jets = min(jets, file.num_jets)
    loader = _loader(file, jets, batch_size)
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
