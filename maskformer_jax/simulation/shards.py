"""A shard: the events of one seed, taken the whole way, and the file they wait in."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.disk import whole
from maskformer_jax.simulation import candidates, detector, events, jets, pileup, tables, truth
from maskformer_jax.simulation.config import SimulationConfig
from maskformer_jax.simulation.events import MAX_SEED, Particles
from maskformer_jax.simulation.pileup import Pool
from maskformer_jax.simulation.tables import Tables

# Seeds between those of two samples; the first belongs to the pile-up.
SEEDS_OF_A_SAMPLE = 1_000_000


class Task(NamedTuple):
    """A shard to be made.

    Attributes:
        sample: name of the file it belongs to.
        number: in that file, from 0.
        path: where it is put.
        pool: file of the pile-up.
    """

    sample: str
    number: int
    path: Path
    pool: Path


def pythia_seed(config: SimulationConfig, sample: str | None, number: int) -> int:
    """Seed of a shard, different for each shard of a production; None: the pile-up."""
    start = int(np.random.SeedSequence(config.seed).generate_state(1)[0])
    position = 0 if sample is None else 1 + [*config.samples].index(sample)
    return 1 + (start + position * SEEDS_OF_A_SAMPLE + number) % (MAX_SEED - 1)


def make_shard(task: Task, config: SimulationConfig) -> Path:
    """Generates a shard and writes it; it appears at once or not at all.

    Raises:
        InputError: a package is missing or a setting means nothing.
        OSError: it can't be written.
    """
    made = simulate(config, task.sample, task.number, load_pool(task.pool))
    save_arrays(task.path, made._asdict())
    return task.path


def simulate(config: SimulationConfig, sample: str, number: int, pool: Pool) -> Tables:
    """The jets of one shard, those of all its processes shuffled.

    Args:
        config: of everything.
        sample: name of the file.
        number: of the shard.
        pool: of pile-up.
    """
    seed = pythia_seed(config, sample, number)
    rng = np.random.default_rng([seed, number])
    parts, start = [], number * config.shard_events
    for name, num_events in process_events(config, sample).items():
        settings = [*config.beam.pythia, *config.processes[name].settings]
        pythia = events.generator(settings, config.beam.energy, seed)
        for particles in events.batches(pythia, num_events, config.batch_events):
            part = reconstruct(particles, pool, config, rng)
            part.jets["eventNumber"] += start
            start += particles.num_events
            parts.append(part)
    joined = Tables(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))
    return take(joined, rng.permutation(len(joined.jets)))


def process_events(config: SimulationConfig, sample: str) -> dict[str, int]:
    """Events of each process in a shard of a sample, in proportion to their shares."""
    names = config.samples[sample].processes or [*config.processes]
    shares = np.array([config.processes[name].share for name in names])
    edges = np.rint(np.cumsum(shares) / shares.sum() * config.shard_events).astype(int)
    return dict(zip(names, np.diff(edges, prepend=0).tolist(), strict=True))


def reconstruct(
    particles: Particles, pool: Pool, config: SimulationConfig, rng: np.random.Generator
) -> Tables:
    """One batch of events, the whole way from particles to rows."""
    found = jets.find(particles, config.jet_finding, rng)
    near = candidates.of_event(particles, found, config, rng)
    other, collisions = pileup.draw(pool, found, config, rng)
    cone, cut = config.jet_finding.radius, config.tracker.min_pt
    fake = candidates.fakes(found, collisions, config.fakes, cone, cut, rng)
    tracks = detector.reconstruct(candidates.join([near, other, fake]), found, config, rng)
    hadrons, label = truth.find_hadrons(particles, found, cone, config.truth)
    labels = truth.label_tracks(tracks, particles, len(found.pt), config.truth)
    return tables.build(found, label, tracks, labels, hadrons, particles, config.output)


def take(part: Tables, rows: np.ndarray) -> Tables:
    """The jets at `rows`, with their tracks and hadrons, in that order."""
    flat = [
        table[_spread(part.jets[count].astype(np.int64), rows)]
        for table, count in ((part.tracks, "n_tracks"), (part.hadrons, "n_truth_hadrons"))
    ]
    return Tables(part.jets[rows], *flat)


def _spread(counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where the entries of the jets at `rows` are in a table without padding."""
    first = np.cumsum(counts) - counts
    sizes = counts[rows]
    inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(first[rows], sizes) + inside


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a file of arrays, which is whole as soon as it has its name."""
    with whole(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())


def load_tables(path: Path) -> Tables:
    """The shard in a file."""
    with np.load(path) as file:
        return Tables(*(file[name] for name in Tables._fields))


def load_jets(path: Path) -> np.ndarray:
    """The jets of the shard in a file, which alone are read."""
    with np.load(path) as file:
        return file["jets"]


def load_pool(path: Path) -> Pool:
    """The pile-up in a file."""
    with np.load(path) as file:
        return Pool(*(file[name] for name in Pool._fields))
