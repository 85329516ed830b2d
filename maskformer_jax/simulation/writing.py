"""Shards -> one HDF5 file in the layout that training reads, with the two dictionaries beside."""

import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from maskformer_jax import configuration
from maskformer_jax.data.disk import Disk, whole
from maskformer_jax.simulation import resampling
from maskformer_jax.simulation.config import FLAVOURS, OutputConfig, SimulationConfig
from maskformer_jax.simulation.shards import load_jets, load_tables, take
from maskformer_jax.simulation.tables import Tables
from maskformer_jax.simulation.truth import NO_VERTEX, ORIGINS

NORM_FILE, CLASS_FILE = "norm_dict.yaml", "class_dict.yaml"
PADDING = {"f": np.nan, "i": -1, "b": False}
PACKAGES = ("pythia8mc", "fastjet", "awkward", "numpy", "h5py")
# Options that leave every byte of the files as it is.
NOT_RECORDED = ("output_dir", "workers")
# Jet and track fields that are labels, links or counts of the file, and have no normalisation.
LABELS = {"flavour_label", "valid", "eventNumber", "n_tracks", "n_truth_hadrons"}
HADRON_CLASSES = (5, 4, -1)
MANTISSA_BITS = 23


def write(path: Path, sample: str, shards: Sequence[Path], config: SimulationConfig) -> None:
    """Writes the file of a sample; it appears whole or not at all.

    Args:
        path: of the file; the first sample of a production writes the dictionaries beside it.
        sample: name of the sample.
        shards: from which jets are taken, in this order.
        config: of the production.

    Raises:
        OSError: it can't be written.
    """
    chosen, generated = selection(shards, sample, config)
    total = sum(int(part.sum()) for part in chosen)
    statistics = Statistics()
    with whole(path) as unfinished:
        with Disk(unfinished, "w+") as disk, h5py.File(disk, "w") as file:
            start = 0
            for rows in padded_rows(shards, chosen, config.output):
                for name, table in rows.items():
                    dataset = file.get(name) or _create(file, name, table, total, config.output)
                    dataset[start : start + len(table)] = table
                start += len(rows["jets"])
                statistics.add(rows)
                disk.check()
            file["jets"].attrs["flavour_label"] = [*FLAVOURS]
            record = provenance(config, sample, len(shards), generated, statistics)
            file.attrs["provenance"] = json.dumps(record, indent=1)
        disk.check()
        if sample == next(iter(config.samples)):
            _write_dictionaries(path.parent, statistics)


def selection(
    shards: Sequence[Path], sample: str, config: SimulationConfig
) -> tuple[list[np.ndarray], np.ndarray]:
    """Which jets of each shard go into the file.

    Returns:
        Booleans `[jets of the shard]` for each shard; the jets that were generated `[flavours]`.
    """
    flavours = config.samples[sample].flavours
    jets = [load_jets(path)[["pt_btagJes", "eta_btagJes", "flavour_label"]] for path in shards]
    sizes = [len(part) for part in jets]
    joined = np.concatenate(jets)
    wanted = resampling.size_of(sample_jets(config, sample), flavours)
    counts = resampling.count(joined, config.balance)
    if flavours == "natural":
        chosen = np.arange(len(joined)) < wanted
    else:
        cell = resampling.cells(joined, config.balance)
        share = wanted // resampling.NUM_FLAVOURS
        seed = config.seed
        chosen = resampling.choose(joined["flavour_label"], cell, counts, share, seed)
    return np.split(chosen, np.cumsum(sizes)[:-1]), counts.sum(axis=1)


def sample_jets(config: SimulationConfig, sample: str) -> int:
    """Jets that are asked for of a sample."""
    return max(1, round(config.jets * config.samples[sample].fraction))


def padded_rows(
    shards: Sequence[Path], chosen: Sequence[np.ndarray], config: OutputConfig
) -> Iterator[dict[str, np.ndarray]]:
    """The rows of the datasets, in whole chunks but for the last."""
    rest: dict[str, np.ndarray] = {}
    for path, rows in zip(shards, chosen, strict=True):
        new = padded(take(load_tables(path), np.flatnonzero(rows)), config)
        if rest:
            new = {name: np.concatenate([rest[name], new[name]]) for name in new}
        whole = len(new["jets"]) // config.chunk_jets * config.chunk_jets
        if whole:
            yield {name: table[:whole] for name, table in new.items()}
        rest = {name: table[whole:] for name, table in new.items()}
    if len(rest["jets"]):
        yield rest


def padded(part: Tables, config: OutputConfig) -> dict[str, np.ndarray]:
    """Dataset name -> rows; floats are padded with NaN, integers with -1, vertices with -2."""
    tracks = _pad(part.tracks, part.jets["n_tracks"], config.tracks)
    hadrons = _pad(part.hadrons, part.jets["n_truth_hadrons"], config.hadrons)
    rows = {"jets": part.jets.copy(), "tracks": tracks, "truth_hadrons": hadrons}
    for table in rows.values():
        for name in table.dtype.names:
            if table.dtype[name] == np.float32:
                table[name] = rounded(table[name], config.mantissa_bits)
    return rows


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Single-precision numbers rounded to `bits` bits of mantissa, at most 23; NaN stays NaN."""
    if bits == MANTISSA_BITS:
        return values
    dropped = np.uint32(MANTISSA_BITS - bits)
    half = np.uint32(1) << (dropped - np.uint32(1))
    near = (np.ascontiguousarray(values).view(np.uint32) + half) >> dropped << dropped
    return np.where(np.isfinite(values), near.view(np.float32), values)


def _pad(table: np.ndarray, counts: np.ndarray, width: int) -> np.ndarray:
    rows = np.empty((len(counts), width), table.dtype)
    for name in table.dtype.names:
        padding = PADDING[table.dtype[name].kind]
        rows[name] = NO_VERTEX if name == "ftagTruthVertexIndex" else padding
    rows[np.arange(width) < counts[:, None]] = table
    return rows


def _create(
    file: h5py.File, name: str, table: np.ndarray, total: int, config: OutputConfig
) -> h5py.Dataset:
    return file.create_dataset(
        name,
        shape=(total, *table.shape[1:]),
        dtype=table.dtype,
        chunks=(min(config.chunk_jets, total), *table.shape[1:]),
        compression="gzip",
        compression_opts=config.compression,
        shuffle=True,
    )


class Statistics:
    """Sums over the jets, tracks and hadrons of a file, from which the dictionaries are made."""

    def __init__(self):
        self.jets = np.zeros(len(FLAVOURS), np.int64)
        self.origins = np.zeros(len(ORIGINS), np.int64)
        self.hadrons = np.zeros(len(HADRON_CLASSES), np.int64)
        self._sums: dict[tuple[str, str], np.ndarray] = {}

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Counts the rows of each dataset, without padding."""
        tracks = rows["tracks"][rows["tracks"]["valid"]]
        flavour = rows["truth_hadrons"]["flavour"]
        self.jets += np.bincount(rows["jets"]["flavour_label"], minlength=len(self.jets))
        origins = tracks["ftagTruthOriginLabel"]
        self.origins += np.bincount(origins, minlength=len(self.origins))
        self.hadrons += np.array([np.count_nonzero(flavour == code) for code in HADRON_CLASSES])
        for dataset, table in (("jets", rows["jets"]), ("tracks", tracks)):
            for name in table.dtype.names:
                if name in LABELS or "Truth" in name:
                    continue
                values = table[name].astype(np.float64)
                new = np.array([len(values), values.sum(), (values**2).sum()])
                self._sums[dataset, name] = self._sums.get((dataset, name), 0) + new

    def norm(self) -> dict[str, dict[str, dict[str, float]]]:
        """Dataset -> field -> mean and std; the std of a field that never varies is 1."""
        result: dict[str, dict[str, dict[str, float]]] = {}
        for (dataset, name), (number, total, squares) in self._sums.items():
            mean = total / number
            std = np.sqrt(max(squares / number - mean**2, 0.0))
            entry = {"mean": float(f"{mean:.8g}"), "std": float(f"{std:.8g}") or 1.0}
            result.setdefault(dataset, {})[name] = entry
        return result

    def class_weights(self) -> dict[str, dict[str, list[float]]]:
        """Dataset -> label -> largest count over count; 1 for a class that does not occur."""
        return {
            "jets": {"flavour_label": _weights(self.jets)},
            "tracks": {"ftagTruthOriginLabel": _weights(self.origins)},
            "truth_hadrons": {"flavour": _weights(self.hadrons)},
        }


def _weights(counts: np.ndarray) -> list[float]:
    return [float(f"{counts.max() / count:.6g}") if count else 1.0 for count in counts]


def _write_dictionaries(folder: Path, statistics: Statistics) -> None:
    for name, content in (
        (NORM_FILE, statistics.norm()),
        (CLASS_FILE, statistics.class_weights()),
    ):
        (folder / name).write_text(configuration.dump(content))


def recorded(config: SimulationConfig) -> dict[str, Any]:
    """The options that decide what is in the files."""
    values = configuration.plain(config)
    del values["output"]["keep_shards"]
    return {name: value for name, value in values.items() if name not in NOT_RECORDED}


def provenance(
    config: SimulationConfig, sample: str, shards: int, generated: np.ndarray, written: Statistics
) -> dict[str, Any]:
    """What the file was made with; nothing in it depends on time, place or number of workers."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "sample": sample,
        "versions": {"python": platform.python_version()} | versions,
        "shards": shards,
        "events": shards * config.shard_events,
        "jets_generated": dict(zip(FLAVOURS, generated.tolist(), strict=True)),
        "jets_written": dict(zip(FLAVOURS, written.jets.tolist(), strict=True)),
        "config": recorded(config),
    }
