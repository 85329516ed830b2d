"""Jets/s of reading alone and of finished training batches, on one core.

With `--peers` batches of Salt's dataset are made in turn with ours.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import h5py

from benchmarks.made import SAMPLE, at_least, load, loader_of
from benchmarks.peer_process import Ask, peer, salt_settings
from benchmarks.tables import Table
from benchmarks.turns import bind, end_of_work, rounds, spread, timed
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import JetFile
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import check

PASSES = 5  # through the file, in each turn


def run(
    model: str = "maskformer_small",
    file: str = SAMPLE,
    jets: int = 20_000,
    batch_size: int = 500,
    repeats: int = 5,
    peers: bool = False,
    peer_python: str | None = None,
) -> Iterator[dict[str, Table]]:
    """Reading and finished batches of a file and of an uncompressed copy, jets/s on one core.

    Args:
        jets: of the file, at most
    """
    at_least(1, jets=jets, batch_size=batch_size, repeats=repeats)
    config = load(model, file=file, batch_size=batch_size)
    jets = min(jets, JetFile(file, build(config).schema).num_jets)
    check(not peers or jets >= batch_size, "--jets", f"be at least {batch_size}, a batch", jets)
    columns = {"file": "", "layout": "", "reading": ",.0f", "batches": ",.0f", "of reading": ".2f"}
    if peers:
        columns |= {"Salt": ",.0f", "to Salt": ".2f", "least": ".2f", "most": ".2f"}
    bind(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        peer(peer_python, "salt_process", cores=1) if peers else nullcontext() as ask,
    ):
        rows = []
        plain = copy_plain(Path(file), Path(folder) / "plain.h5", jets)
        for name, path in ((Path(file).name, file), ("uncompressed copy", plain)):
            config = replace(
                config,
                data=replace(config.data, train_file=str(path), train_jets=jets),
                training=replace(config.training, micro_batches=1),
            )
            rows.append([name, *_row(config, repeats, ask)])
    yield {"data": Table("Reading and batches, jets/s", columns, rows)}


def copy_plain(source: Path, path: Path, jets: int) -> Path:
    """Writes the first jets of a file without compression and chunks."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for name, values in old.items():
            new.create_dataset(name, data=values[:jets])
            new[name].attrs.update(values.attrs)
    return path


def _row(config: Config, repeats: int, ask: Ask | None) -> list[str | float]:
    """What is in the file, and jets/s of reading alone, of batches, and of Salt's batches."""
    data, model = config.data, build(config)
    loader = loader_of(config, model)
    batches, steps = loader.iterator(), PASSES * loader.steps_per_epoch

    def read() -> float:
        return data.train_jets / timed(_read, config, model.schema)[0]

    def ours() -> float:
        begin = time.perf_counter()
        found = sum(int(next(batches)[0].jet_valid.sum()) for _ in range(steps))
        return found / (end_of_work() - begin)

    works: dict[str, Callable[[], float]] = {"reading": read, "batches": ours}
    if ask:
        ask("read", data.train_file, salt_settings(config))
        whole = PASSES * (data.train_jets // config.training.batch_size)
        made = whole * config.training.batch_size
        works["Salt"] = lambda: made / ask("next", data.train_file, whole)
    found = rounds(works, repeats)
    batches.close()
    rates = {name: spread(values).median for name, values in found.items()}
    row = [_layout(config, model.schema), *rates.values()]
    row.insert(3, rates["batches"] / rates["reading"])
    if ask:
        row += spread([a / b for a, b in zip(found["batches"], found["Salt"], strict=True)])
    return row


def _datasets(schema: Schema) -> list[str]:
    """Of objects, jets and streams."""
    objects, streams = ([x.dataset for x in y.values()] for y in (schema.objects, schema.streams))
    return [*objects, schema.jets.dataset, *streams]


def _layout(config: Config, schema: Schema) -> str:
    """Jets, shape and packing of the last dataset."""
    with h5py.File(config.data.train_file) as raw:
        table = raw[_datasets(schema)[-1]]
        packing = f"{table.compression}, {table.chunks[0]} rows" if table.chunks else "plain"
        sizes = " x ".join(map(str, (*table.shape[1:], len(table.dtype))))
    return f"{config.data.train_jets} jets, {sizes} fields, {packing}"


def _read(config: Config, schema: Schema) -> None:
    with h5py.File(config.data.train_file) as file:
        for start in range(0, config.data.train_jets, schema.block_size):
            stop = min(start + schema.block_size, config.data.train_jets)
            for dataset in _datasets(schema):
                file[dataset][start:stop]
