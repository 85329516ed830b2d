"""Small trainings, evaluations and studies as processes, and what is left of them."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from maskformer_jax.training.compilation import SHORTEST
from maskformer_jax.training.logging import read_lines
from maskformer_jax.training.manifest import unseal
from maskformer_jax.training.progress import Pace

ROOT = Path(__file__).parents[2]
LIMIT = 300.0
JETS = {"train": 60, "val": 30, "test": 60}
TINY = """
base: {root}/configs/quickstart.yaml
without: [hadrons]
data:
  train_file: {folder}/train.h5
  val_file: {folder}/val.h5
  block_size: 10
  streams: {{tracks: {{cap: 4}}}}
model: {{embed_dim: 8, num_heads: 1, encoder: {{layers: 1}}, head_widths: [8]}}
training: {{epochs: 3, batch_size: 10, log_every: 1, checkpoint_every: 4}}
"""
STEPS = 18
STUDY = """
configs: [{folder}/tiny.yaml]
reference: default
tests: {{t: {folder}/test.h5}}
groups: [G]
models: {{default: {{group: G}}}}
"""
LINES = ("error: ", "warning: ", "stopped")


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        code: its exit code; minus the signal that killed it.
        said: lines on standard error.
    """

    code: int
    said: list[str]

    def is_clean(self) -> bool:
        """Whether every line on standard error is a message."""
        return all(line.startswith(LINES) for line in self.said)


class Moment(NamedTuple):
    """When signals meet a process, see `disturbed`.

    Attributes:
        target: `module:function`; empty: the start of the process.
        call: of that function.
        delay: from its beginning [s].
        signals: their numbers.
        apart: from one to the next [s].
    """

    target: str
    call: int
    delay: float
    signals: tuple[int, ...]
    apart: float = 0.0


class Case(NamedTuple):
    """A folder with cuts of the sample and configurations.

    Attributes:
        folder: of the files.
    """

    folder: Path

    def words(self, name: str, place: Path) -> list[str]:
        """The command line of a `train`, `resume`, `evaluate` or `study` of what is at a place."""
        run = place / "run"
        match name:
            case "train":
                return ["train.py", f"--config={self.folder / 'tiny.yaml'}", f"--output_dir={run}"]
            case "resume":
                return ["train.py", f"--resume={run}"]
            case "evaluate":
                return ["evaluate.py", f"--run={run}", f"--test_file={self.folder / 'test.h5'}"]
            case "study":
                config = f"--config={self.folder / 'study.yaml'}"
                return ["study.py", "run", config, f"--output_dir={place / 'study'}"]
        raise ValueError(name)

    def again(self, name: str, place: Path) -> list[str]:
        """The command line that goes on with it."""
        has_begun = (place / "run" / "config.yaml").exists()
        return self.words("resume" if name == "train" and has_begun else name, place)


@functools.cache
def case() -> Case:
    """Made once in a process, in a folder that is gone at its end."""
    holder = tempfile.TemporaryDirectory()
    case.holder = holder
    folder = Path(holder.name)
    for name, jets in JETS.items():
        old = h5py.File(ROOT / "data" / "sample" / f"{name}.h5")
        with old, h5py.File(folder / f"{name}.h5", "w") as new:
            for dataset in old:
                new.create_dataset(dataset, data=old[dataset][:jets], chunks=True)
    for name, text in {"tiny": TINY, "study": STUDY}.items():
        (folder / f"{name}.yaml").write_text(text.format(root=ROOT, folder=folder))
    return Case(folder)


def environment() -> dict[str, str]:
    """Compilations that cost little, and are kept."""
    flags = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    return {**os.environ, "XLA_FLAGS": flags, SHORTEST: "0"}


def start(words: Iterable[str], moment: Moment | None = None) -> subprocess.Popen:
    """Starts a script, disturbed at a moment."""
    words = [str(word) for word in words]
    if moment is not None:
        disturbed = str(ROOT / "tests" / "campaign" / "disturbed.py")
        words = [disturbed, json.dumps(moment._asdict()), *words]
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen) -> Ended:
    """Its end; one that takes too long is killed, and says so."""
    try:
        _, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        errors += f"it hung for {LIMIT:.0f} s\n"
    return Ended(process.returncode, errors.splitlines())


def run(words: Iterable[str], moment: Moment | None = None) -> Ended:
    """Runs a script to its end."""
    return wait(start(words, moment))


def state(place: Path) -> dict[str, Any]:
    """All that must be the same after any disturbance, by its place: numbers, and file names."""
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        # Learning curves are drawn when a training has taken long enough.
        if "tensorboard" in name or path.name.startswith("learning_") or path.is_dir():
            continue
        if path.parts[-2:] == ("summary", "metadata"):
            found[name] = unseal(json.loads(path.read_text()))
        elif "checkpoints" in name:
            continue
        elif path.name == "metrics.jsonl":
            found[name] = [_without_pace(line) for line in read_lines(path)]
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                found[name] = {dataset: file[dataset][()].tobytes() for dataset in file}
        elif path.suffix in (".json", ".yaml", ".npz") and path.name != "manifest.json":
            found[name] = path.read_bytes().replace(str(place).encode(), b"")
        else:
            found[name] = True
    return found


@functools.cache
def undisturbed(name: str) -> dict[str, Any]:
    """What a command leaves, with what it needs before; made once in a process."""
    here = case()
    place = here.folder / f"undisturbed_{name}"
    place.mkdir()
    first = {"evaluate": ["train", "evaluate"], "resume": ["train"]}
    for each in first.get(name, [name]):
        ended = run(here.words(each, place))
        assert ended.code == 0, ended.said
    return state(place)


def _without_pace(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in Pace._fields}


def difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Names of what differs."""
    names = sorted({*expected, *found})
    return ", ".join(name for name in names if expected.get(name) != found.get(name))


def chosen(draw: np.random.Generator, table: Mapping[str, Any]) -> str:
    """A key of a table."""
    return list(table)[int(draw.integers(len(table)))]
