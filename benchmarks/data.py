"""Jets/s of reading alone and of finished training batches, on one core.

With `--peers` batches of Salt's dataset are made in turn with ours.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from benchmarks.made import load, loader_of
from benchmarks.salt_peer import Ask, salt, settings
from benchmarks.tables import Table, text
from benchmarks.turns import bind, end_of_work
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile
from maskformer_jax.data.config import DataConfig
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError

REPEATS = 3
PAIRS, PASSES = 5, 5  # turns of ours and of Salt's, and passes through the file in each


def run(
    model: str, file: str, jets: int, batch_size: int, *, peers: bool, peer_python: str | None
) -> str:
    """A table of jets/s, of the file and of an uncompressed copy of it.

    Args:
        model: YAML file or name, which says what is read.
        file: training file.
        jets: jets of each measurement, at most.
        batch_size: jets of a batch.
        peers: whether Salt's dataset reads as well.
        peer_python: interpreter that has Salt; none: this one.
    """
    if jets < 1 or batch_size < 1:
        raise InputError(f"`--jets` and `--batch_size` must be at least 1; got {jets, batch_size}")
    config = load(model, file=file, batch_size=batch_size)
    jets = min(jets, JetFile(file, build(config).schema).num_jets)
    if peers and jets < batch_size:
        raise InputError(f"`--jets` must be at least `--batch_size`; got {jets, batch_size}")
    data, training = config.data, replace(config.training, micro_batches=1)
    bind(1)
    with tempfile.TemporaryDirectory() as folder:
        plain = copy_plain(Path(file), Path(folder) / "plain.h5", jets)
        configs = {
            name: replace(
                config,
                data=replace(data, train_file=str(path), train_jets=jets),
                training=training,
            )
            for name, path in ((Path(file).name, file), ("uncompressed copy", plain))
        }
        return text(_compared(configs, peer_python) if peers else _measured(configs))


def _compared(configs: dict[str, Config], peer_python: str | None) -> Table:
    """Batches made in turn with Salt's."""
    rows = []
    with salt(peer_python, cores=1) as ask:
        for name, config in configs.items():
            rates = _rates(ask, config)
            ratios = rates[:, 0] / rates[:, 1]
            found = (*np.median(rates, axis=0), np.median(ratios), ratios.min(), ratios.max())
            rows.append([name, *map(float, found)])
    columns = {"file": "", "here": ",.0f", "Salt": ",.0f", "ratio": ".2f"}
    return Table("Batches, jets/s", {**columns, "least": ".2f", "most": ".2f"}, rows)


def _rates(ask: Ask, config: Config) -> np.ndarray:
    """Jets/s [pair, ours and Salt's] of passes through the file."""
    data, batch_size = config.data, config.training.batch_size
    number = PASSES * (data.train_jets // batch_size)
    ask("read", data.train_file, settings=settings(config))
    batches = loader_of(config, build(config)).iterator()

    def ours() -> float:
        begin, found = time.perf_counter(), 0
        for _ in range(number):
            batch, _ = next(batches)
            found += int(batch.jet_valid.sum())
        return found / (end_of_work() - begin)

    def theirs() -> float:
        return number * batch_size / ask("next", data.train_file, batches=number)

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


def _measured(configs: dict[str, Config]) -> Table:
    """Reading alone, and batches that are ready for a step."""
    rows = []
    for name, config in configs.items():
        data, model = config.data, build(config)
        loader = loader_of(config, model)
        batches = loader.iterator()

        def epoch(batches=batches, steps=loader.steps_per_epoch) -> None:
            for _ in range(steps):
                next(batches)

        reading = _rate(data.train_jets, lambda d=data, s=model.schema: _read(d, s))
        finished = _rate(loader.jets_per_epoch, epoch)
        batches.close()
        with h5py.File(data.train_file) as raw:
            table = raw[_datasets(model.schema)[-1]]
            packing = f"{table.compression}, {table.chunks[0]} rows" if table.chunks else "plain"
            sizes = " x ".join(map(str, (*table.shape[1:], len(table.dtype))))
        layout = f"{data.train_jets} jets, {sizes} fields, {packing}"
        rows.append([name, layout, reading, finished, finished / reading])
    columns = {"file": "", "layout": "", "reading": ",.0f", "batches": ",.0f", "ratio": ".2f"}
    return Table("Reading and batches, jets/s", columns, rows)


def _datasets(schema: Schema) -> list[str]:
    """Of objects, jets and streams."""
    objects, streams = ([x.dataset for x in y.values()] for y in (schema.objects, schema.streams))
    return [*objects, schema.jets.dataset, *streams]


def _rate(jets: int, work: Callable[[], None]) -> float:
    """Jets/s of the fastest of a few runs, after one that warms the caches."""
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return jets / min(times)


def _read(data: DataConfig, schema: Schema) -> None:
    with h5py.File(data.train_file) as file:
        for start in range(0, data.train_jets, schema.block_size):
            stop = min(start + schema.block_size, data.train_jets)
            for dataset in _datasets(schema):
                file[dataset][start:stop]
