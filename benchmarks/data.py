"""Jets/s of reading alone and of finished training batches, on one core.

With `--peers` batches of Salt's dataset are made in turn with ours.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np

from benchmarks.made import SAMPLE, Made, at_least, load, timed
from benchmarks.peer_process import Ask, peer, salt_settings
from benchmarks.tables import Table
from benchmarks.turns import bind, end_of_work, rounds, spread
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
    columns = {"file": "", "reading": ",.0f", "batches": ",.0f", "of reading": ".2f"}
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
            options = f"--data.train_jets={jets}", "--training.micro_batches=1"
            config = load(model, *options, file=str(path), batch_size=batch_size)
            rows.append([name, *_row(config, repeats, ask)])
    yield {"data": Table("Reading and batches, jets/s", columns, rows)}


def copy_plain(source: Path, path: Path, jets: int) -> Path:
    """Writes the first jets of a file without compression and chunks."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for name, values in old.items():
            new.create_dataset(name, data=values[:jets])
            new[name].attrs.update(values.attrs)
    return path


def _row(config: Config, repeats: int, ask: Ask | None) -> list[float]:
    """Jets/s of reading alone and of batches, their ratio, and the same of Salt's batches."""
    made, data = Made(config), config.data
    loader, schema = made.loader, made.model.schema
    batches, steps = loader.iterator(), PASSES * loader.steps_per_epoch

    def read() -> float:
        return data.train_jets / timed(_read, config, schema)[0]

    def ours() -> float:
        begin = time.perf_counter()
        found = sum(int(next(batches)[0].jet_valid.sum()) for _ in range(steps))
        return found / (end_of_work() - begin)

    works: dict[str, Callable[[], float]] = {"reading": read, "batches": ours}
    if ask:
        ask("read", data.train_file, salt_settings(config))
        whole = PASSES * (data.train_jets // config.training.batch_size)
        jets = whole * config.training.batch_size
        works["Salt"] = lambda: jets / ask("next", data.train_file, whole)
    found = rounds(works, repeats)
    batches.close()
    rates = {name: float(np.median(values)) for name, values in found.items()}
    row = [rates["reading"], rates["batches"], rates["batches"] / rates["reading"]]
    if not ask:
        return row
    pairs = zip(found["batches"], found["Salt"], strict=True)
    return [*row, rates["Salt"], *spread([a / b for a, b in pairs])]


def _read(config: Config, schema: Schema) -> None:
    tables = [*schema.objects.values(), schema.jets, *schema.streams.values()]
    with h5py.File(config.data.train_file) as file:
        for start in range(0, config.data.train_jets, schema.block_size):
            stop = min(start + schema.block_size, config.data.train_jets)
            for table in tables:
                file[table.dataset][start:stop]
