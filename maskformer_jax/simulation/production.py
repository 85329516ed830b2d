"""A production: shards in parallel processes, files joined from them, continued after a stop."""

import itertools
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from maskformer_jax import configuration
from maskformer_jax.errors import InputError, check
from maskformer_jax.progress import bar, stage
from maskformer_jax.simulation import resampling, writing
from maskformer_jax.simulation.config import FLAVOURS, SimulationConfig
from maskformer_jax.simulation.pileup import make_pool
from maskformer_jax.simulation.shards import (
    Task,
    load_jets,
    make_shard,
    pythia_seed,
    save_arrays,
)
from maskformer_jax.simulation.tables import check_fields

CONFIG_FILE, SHARD_FOLDER, POOL_FILE = "simulation.yaml", "shards", "pileup.npz"
AGAIN = "what is finished is kept: run the same command again to continue"
# Of the number of a shard in the name of its file.
DIGITS = 6
# Shards without a single jet for the file, after which there will be none.
PATIENCE = 20
MakeShard = Callable[[Task, SimulationConfig], Path]


def produce(config: SimulationConfig, make: MakeShard = make_shard) -> list[Path]:
    """Makes the file of every sample.

    Args:
        config: what is made; `output_dir` may hold an unfinished production of the same.
        make: makes a shard, in a process of its own.

    Returns:
        The files.

    Raises:
        InputError: the folder holds something else, it can't be written to, a setting means
            nothing, or a worker died. Finished shards are kept.
    """
    check(config.jets > 0, "jets", "say how many are made (--jets 1000: minutes)", config.jets)
    check_fields(config.output)
    folder = Path(config.output_dir)
    files = [folder / f"{sample}.h5" for sample in config.samples]
    context = multiprocessing.get_context("spawn")
    try:
        _claim(folder, config)
        if all(path.exists() for path in files):
            return files
        with ProcessPoolExecutor(config.workers, context, _live_with_parent) as executor:
            try:
                _make_files(config, files, executor, make)
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.kill()
                raise
        if not config.output.keep_shards:
            shutil.rmtree(folder / SHARD_FOLDER, ignore_errors=True)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker died, perhaps because memory ran out (fewer `workers` need less); " + AGAIN
        ) from error
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise InputError(f"`output_dir` {folder} can't be written to: {reason}; {AGAIN}") from error
    return files


def _claim(folder: Path, config: SimulationConfig) -> None:
    """Marks the folder as this production's, or finds that it is already."""
    record = configuration.dump(writing.recorded(config))
    path = folder / CONFIG_FILE
    if path.exists():
        if path.read_text() != record:
            raise InputError(
                f"`output_dir` {folder} holds a production with other options, see {path}: "
                "choose another folder or remove it"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"`output_dir` {folder} is not empty: choose another")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(record)


def _live_with_parent() -> None:
    """A worker leaves Ctrl-C to its parent, and ends with it whatever ended that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _make_files(
    config: SimulationConfig, files: list[Path], executor: Executor, make: MakeShard
) -> None:
    shards = Path(config.output_dir) / SHARD_FOLDER
    shards.mkdir(exist_ok=True)
    pool = shards / POOL_FILE
    if not pool.exists():
        with stage("simulating pile-up"):
            executor.submit(_make_pool_file, pool, config).result()
    for sample, path in zip(config.samples, files, strict=True):
        if path.exists():
            continue
        paths = _make_shards(config, sample, pool, executor, make)
        with stage(f"writing {path}"):
            writing.write(path, sample, paths, config)


def _make_pool_file(path: Path, config: SimulationConfig) -> None:
    save_arrays(path, make_pool(config, pythia_seed(config, None, 0))._asdict())


def _make_shards(
    config: SimulationConfig, sample: str, pool: Path, executor: Executor, make: MakeShard
) -> list[Path]:
    """The first shards of a sample, as many as are needed; which those are is independent of the
    order in which processes finish."""
    tally = Tally(config, sample)
    found = {int(path.stem[-DIGITS:]): path for path in pool.parent.glob(_shard_name(sample))}
    finished, running = dict(found), {}
    missing = (number for number in itertools.count() if number not in found)
    with _Bar(tally, sample) as shown:
        while True:
            while tally.shards in finished:
                number = tally.shards
                shown.show(tally.add(load_jets(finished[number])), made=number not in found)
                if tally.enough():
                    return [finished[number] for number in range(tally.shards)]
            while len(running) < config.workers:
                number = next(missing)
                task = Task(sample, number, pool.parent / _shard_name(sample, number), pool)
                running[executor.submit(make, task, config)] = number
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                finished[running.pop(future)] = future.result()


def _shard_name(sample: str, number: int | None = None) -> str:
    """File name of a shard; None: a pattern that all of the sample match."""
    digits = DIGITS * "[0-9]" if number is None else f"{number:0{DIGITS}d}"
    return f"{sample}_{digits}.npz"


class Tally:
    """Jets of the shards of a sample, counted in the order of the shards.

    Attributes:
        shards: that were counted.
        wanted: jets of the file.
    """

    def __init__(self, config: SimulationConfig, sample: str):
        self._sample, self._flavours = sample, config.samples[sample].flavours
        self._balance = config.balance
        self._counts: np.ndarray | int = 0
        self.shards = 0
        jets = writing.sample_jets(config, sample)
        self.wanted = resampling.size_of(jets, self._flavours)

    def add(self, jets: np.ndarray) -> np.ndarray:
        """Counts the jets of the next shard; returns those of each flavour.

        Raises:
            InputError: after many shards there is still nothing for the file.
        """
        counts = resampling.count(jets, self._balance)
        self._counts = self._counts + counts
        self.shards += 1
        if self.shards >= PATIENCE and self.usable() == 0:
            seen = dict(zip(FLAVOURS, self._counts.sum(axis=1).tolist(), strict=True))
            raise InputError(
                f"sample `{self._sample}`: {self.shards} shards have no jets that could be used; "
                f"they have {seen}: other `processes`, cuts, or more `shard_events` are needed"
            )
        return counts.sum(axis=1)

    def usable(self) -> int:
        """Jets that the file could have by now."""
        return resampling.available(self._counts, self._flavours) if self.shards else 0

    def enough(self) -> bool:
        """Whether the file can be made."""
        return self.usable() >= self.wanted


class _Bar:
    """Jets of the file on the terminal, with jets/s of each flavour and the time left."""

    def __init__(self, tally: Tally, sample: str):
        self._tally = tally
        self._made = np.zeros(len(FLAVOURS), np.int64)
        self._bar = bar(tally.wanted, "jets", sample, disable=False)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def show(self, by_flavour: np.ndarray, made: bool) -> None:
        """Counts a shard, `made` now or found from before, which took no time."""
        new = min(self._tally.usable(), self._tally.wanted) - self._bar.n
        if made:
            self._made = self._made + by_flavour
        else:
            self._bar.initial += new
        self._bar.update(new)
        seconds = max(self._bar.format_dict["elapsed"], 1e-9)
        names = "/".join(name.removesuffix("jets") for name in FLAVOURS)
        rates = "/".join(f"{rate:.0f}" for rate in self._made / seconds)
        self._bar.set_postfix_str(f"{names} {rates}")
