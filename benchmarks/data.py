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
from benchmarks.turns import bind, end_of_work
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile
from maskformer_jax.data.contents import input_fields, label_fields
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError

TRACKS, FIELDS = 40, 20
REPEATS = 3
PAIRS, PASSES = 5, 5  # turns of ours and of Salt's, and passes through the file in each


def run(
    model: str, file: str, jets: int, batch_size: int, *, peers: bool, peer_python: str | None
) -> str:
    """A table of jets/s: the file, and two uncompressed ones of 40 tracks x 20 fields.

    With `peers` instead: the file and an uncompressed copy of it.

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
    bind(1)
    if peers:
        return compare(config, jets, peer_python)
    lines = [f"{'file':28} {'layout':44} {'reading':>9} {'batches':>9} {'ratio':>6}"]
    lines.append(_line(Path(file).name, config, jets))
    inputs = [f"field{number}" for number in range(FIELDS)]
    streams = {k: replace(x, inputs=inputs) for k, x in config.data.streams.items()}
    embedding = replace(config.model.embedding, positions={})
    wide = replace(
        config,
        data=replace(config.data, streams=streams),
        model=replace(config.model, embedding=embedding),
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, occupancy in (("made, as in t-tbar", 0.2), ("made, no padding", 1.0)):
            made = make(Path(folder) / "made.h5", build(wide).schema, jets, occupancy)
            lines.append(_line(name, _reading(wide, made, jets), jets))
    return "\n".join(lines)


def compare(config: Config, jets: int, peer_python: str | None) -> str:
    """A table of batches made in turn with Salt's, from the file and an uncompressed copy.

    Args:
        config: of a model that Salt has, and its training file.
        jets: jets of the files that are read, at most.
        peer_python: interpreter that has Salt; none: this one.
    """
    file, batch_size = Path(config.data.train_file), config.training.batch_size
    jets = min(jets, JetFile(file, build(config).schema).num_jets)
    if jets < batch_size:
        raise InputError(f"`--jets` must be at least `--batch_size`; got {jets, batch_size}")
    lines = [f"{'file':28}{'here':>10}{'Salt':>10}{'ratio':>8}{'least':>8}{'most':>8}"]
    with tempfile.TemporaryDirectory() as folder, salt(peer_python, cores=1) as ask:
        plain = copy_plain(file, Path(folder) / "plain.h5", jets)
        for name, path in ((file.name, file), ("uncompressed copy", plain)):
            rates = _rates(ask, _reading(config, path, jets))
            ours, theirs = np.median(rates, axis=0)
            ratios = rates[:, 0] / rates[:, 1]
            spread = f"{np.median(ratios):8.2f}{ratios.min():8.2f}{ratios.max():8.2f}"
            lines.append(f"{name:28}{ours:10,.0f}{theirs:10,.0f}{spread}")
    return "\n".join(lines)


def _reading(config: Config, path: Path, jets: int) -> Config:
    data = replace(config.data, train_file=str(path), train_jets=jets)
    return replace(config, data=data, training=replace(config.training, micro_batches=1))


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


def _line(name: str, config: Config, jets: int) -> str:
    model = build(config)
    file = JetFile(config.data.train_file, model.schema)
    jets = min(jets, file.num_jets)
    loader = loader_of(_reading(config, file.path, jets), model)
    batches = loader.iterator()

    def epoch() -> None:
        for _ in range(loader.steps_per_epoch):
            next(batches)

    reading = _rate(jets, lambda: _read(file.path, model.schema, jets))
    finished = _rate(loader.jets_per_epoch, epoch)
    batches.close()
    with h5py.File(file.path) as raw:
        table = raw[_datasets(model.schema)[-1]]
        packing = f"{table.compression}, {table.chunks[0]} rows" if table.chunks else "plain"
        sizes = " x ".join(map(str, (*table.shape[1:], len(table.dtype))))
        layout = f"{jets} jets, {sizes} fields, {packing}"
    file.close()
    return f"{name:28} {layout:44} {reading:9,.0f} {finished:9,.0f} {finished / reading:6.2f}"


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


def _read(path: Path, schema: Schema, jets: int) -> None:
    with h5py.File(path) as file:
        for start in range(0, jets, schema.block_size):
            stop = min(start + schema.block_size, jets)
            for dataset in _datasets(schema):
                file[dataset][start:stop]


def make(path: Path, schema: Schema, jets: int, occupancy: float) -> Path:
    """Writes an uncompressed file of noise, `occupancy` of whose 40 constituents are real.

    Two objects of each jet are real; every label has all of its classes.
    """
    generator = np.random.default_rng(0)
    widths = {x.dataset: TRACKS for x in schema.streams.values()}
    widths |= {x.dataset: x.cap for x in schema.objects.values()}
    fields = [x for name in schema.labels for x in label_fields(schema, name)]
    listed = {
        (schema.dataset(x.of), x.field): [v for values in x.values().values() for v in values]
        for x in schema.labels.values()
        if getattr(x, "classes", None)
    }
    objects = [x.dataset for x in schema.objects.values()]
    keys = {(x.dataset, x.key) for x in schema.objects.values()}
    links = {(schema.dataset(x.of), x.link) for x in schema.objects.values()}
    columns: dict[str, dict[str, np.ndarray]] = {}
    for dataset, name, kind in dict.fromkeys([*input_fields(schema), *fields]):
        shape, field = (jets, *([widths[dataset]] if dataset in widths else [])), (dataset, name)
        if name is None:
            continue
        if field in listed:
            values = generator.choice(listed[field], shape).astype("i4")
        elif field in keys:
            values = np.broadcast_to(np.arange(shape[-1], dtype="i4"), shape)
        elif kind == "integer" or field in links:
            values = generator.integers(0, 3, shape, "i4")
        elif kind == "boolean":
            real = 2 if dataset in objects else generator.binomial(TRACKS, occupancy, (jets, 1))
            values = np.broadcast_to(np.arange(shape[-1]) < real, shape)
        else:
            values = generator.exponential(1e4, shape).astype("f4")
        columns.setdefault(dataset, {})[name] = values
    with h5py.File(path, "w") as file:
        for dataset, values in columns.items():
            table = np.empty(
                next(iter(values.values())).shape, [(k, x.dtype) for k, x in values.items()]
            )
            for name, column in values.items():
                table[name] = column
            file.create_dataset(dataset, data=table)
    return path
