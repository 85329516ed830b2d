"""Damaged files: each is refused, passed over for an older checkpoint, or of no consequence.

Of every kind of file that a resumed training, an evaluation, a report or a study reads.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from made_up_results import made_up

from campaign.trial import Trial, draws
from campaign.whole_run import ROOT, copied, reading, shared
from maskformer_jax.configuration import dump
from maskformer_jax.data.salt import load_class_weights, load_norm
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.events import Event, Events, Trajectories, View
from maskformer_jax.evaluation.result_files import (
    read_events,
    read_results,
    write_events,
    write_results,
)
from maskformer_jax.study import config as studies
from maskformer_jax.study import interactions_answers, progress
from maskformer_jax.training import interactions
from maskformer_jax.training.logging import as_line, read_lines, read_log
from maskformer_jax.training.manifest import marked

LAST, BEST = "checkpoints/last/4", "checkpoints/best/4"


class File(NamedTuple):
    """A kind of files.

    Attributes:
        patterns: which they are, in the folder that is read.
        readers: who reads them.
    """

    patterns: tuple[str, ...]
    readers: tuple[str, ...]


RUN = ("resumed", "evaluated")
FILES = {
    "config.yaml": File(("config.yaml",), RUN),
    "normalisation.yaml": File(("normalisation.yaml",), RUN),
    "manifest": File(("manifest.json",), RUN),
    "baseline.npz": File(("baseline.npz",), RUN),
    "arrays": File((f"{LAST}/params/**/d/*", f"{LAST}/rest/**/d/*"), ("resumed",)),
    "arrays of the best": File((f"{BEST}/params/**/d/*",), RUN),
    "sealed summary": File((f"{LAST}/summary/*", f"{BEST}/summary/*"), RUN),
    "checkpoint's own files": File(
        tuple(
            f"{step}/{name}"
            for step in (LAST, BEST)
            for name in ("*", "*/_*", "*/*.txt", "**/*ocdbt", "*/array_metadatas/*")
        ),
        RUN,
    ),
    "log": File(("metrics.jsonl",), ("resumed",)),
    "metrics.json": File(("metrics.json",), ("reported",)),
    "curves.json": File(("curves.json",), ("reported",)),
    "evaluated.json": File(("evaluated.json",), ("reported",)),
    "events.json": File(("events.json",), ("reported",)),
    "log of a study": File(("metrics.jsonl",), ("logged",)),
    "interactions.jsonl": File(("interactions.jsonl",), ("recorded",)),
    "study.yaml": File(("study.yaml",), ("given",)),
    "norm_file": File(("norm.yaml",), ("given",)),
    "class_file": File(("classes.yaml",), ("given",)),
}


def flipped(content: bytes, generator: np.random.Generator) -> bytes:
    """With one bit flipped."""
    place = int(generator.integers(len(content)))
    return (
        content[:place]
        + bytes([content[place] ^ 1 << int(generator.integers(8))])
        + (content[place + 1 :])
    )


def overwritten(content: bytes, generator: np.random.Generator, byte: bytes) -> bytes:
    """With up to 64 bytes replaced."""
    place = int(generator.integers(len(content)))
    length = min(int(generator.integers(1, 65)), len(content) - place)
    return content[:place] + byte * length + content[place + length :]


WAYS: dict[str, Callable[[bytes, np.random.Generator], bytes | None]] = {
    "a flipped bit": flipped,
    "cut off": lambda content, generator: content[: generator.integers(len(content))],
    "zeros": lambda content, generator: overwritten(content, generator, b"\0"),
    "ones": lambda content, generator: overwritten(content, generator, b"\xff"),
    "twice": lambda content, generator: content * 2,
    "empty": lambda content, generator: b"",
    "deleted": lambda content, generator: None,
}
# A flipped bit is the hardest to see.
CHANCES = (0.4, *[0.1] * 6)

KIND = "damaged files"
FULL, SHORT = 200 * len(FILES), len(FILES)


class Readers:
    """The folders, and what reading each gives where nothing is damaged.

    Args:
        folder: for everything.
    """

    def __init__(self, folder: Path):
        self._whole = shared()
        self._others = folder / "others"
        self._others.mkdir()
        self._prepare_others(self._others)
        self._read = {
            "resumed": self._whole.resumed,
            "evaluated": self._whole.evaluated,
            "reported": lambda place: reading(lambda: _report(place)),
            "given": lambda place: reading(lambda: _given(place)),
            "logged": lambda place: reading(lambda: read_log(place)),
            "recorded": lambda place: reading(lambda: _recorded(place)),
        }
        self._place = folder / "copy"
        self._sound: dict[tuple[str, tuple[str, ...]], list | None] = {}

    def folder(self, reader: str) -> Path:
        """What a reader reads."""
        return self._whole.run if reader in RUN else self._others

    def copy(self, reader: str) -> Path:
        """A copy of it that may be damaged."""
        return copied(self.folder(reader), self._place)

    def _prepare_others(self, folder: Path) -> None:
        """Results of an evaluation, and what a user gives."""
        write_results(made_up(), folder)
        nothing, empty = np.zeros(0), np.zeros((0, 2))
        lines, view = Trajectories(*[nothing] * 3), View({"b": 0.7}, nothing, nothing, [])
        event = Event(3, 50.0, 0.5, lines, empty, nothing, None, view)
        write_events(Events({"pt": "MeV"}, "model", [event]), folder)
        parts = {"whole": {"cosine": [0.5], "l1": [1.0, 2.0]}}
        record = {"losses": {"a": 1.0, "b": 0.5}, "weights": {"a": 1.0, "b": 1.0}, "parts": parts}
        lines = [as_line({"step": step, **record}) for step in range(1, 9)]
        (folder / interactions.FILE_NAME).write_text("".join(lines))
        record = {"file": "test.h5", "bytes": 5, "evaluation": {"effective": 0.5}}
        (folder / progress.RECORD_FILE).write_text(json.dumps(marked(record)))
        study = ROOT / "configs" / "study" / "smoke.yaml"
        (folder / "study.yaml").write_bytes(study.read_bytes())
        norm = {"jets": {"pt": {"mean": 1.5, "std": 0.25}, "eta": {"mean": 0.0, "std": 1.0}}}
        (folder / "norm.yaml").write_text(dump(norm))
        (folder / "classes.yaml").write_text(dump({"jets": {"flavour": [1.0, 2.0, 0.5]}}))
        (folder / "metrics.jsonl").write_bytes((self._whole.run / "metrics.jsonl").read_bytes())

    def _sound_read(self, reader: str, gone: tuple[str, ...] = ()) -> list | None:
        """What an undamaged folder gives, perhaps without some checkpoints."""
        if (reader, gone) not in self._sound:
            place = copied(self.folder(reader), self._place.with_name("sound"))
            for name in gone:
                for path in sorted((place / name).rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
            self._sound[reader, gone] = self._read[reader](place).leaves
        return self._sound[reader, gone]

    def judged(self, reader: str) -> tuple[bool, str]:
        """Whether what the copy gives is right, or refused in one line; and what was said."""
        read = self._read[reader](self._place)
        if read.fault:
            return False, read.fault
        if read.leaves is None:
            return read.said.isprintable() and len(read.said) < 1000, read.said
        if reader in ("logged", "recorded"):
            # It may end anywhere, since a training may be in the middle of it.
            whole = self._sound_read(reader)
            return read.leaves == whole[: len(read.leaves)], f"{len(read.leaves)} lines"
        lines = read.said.splitlines()
        if reader == "given" or read.leaves == self._sound_read(reader):
            return all(map(str.isprintable, lines)), " | ".join(lines) or "the same"
        without = ((BEST,), (LAST,), (BEST, LAST))
        fell_back = any(read.leaves == self._sound_read(reader, gone) for gone in without)
        return fell_back and bool(lines), " | ".join(lines) or "other results without a word"


def _report(folder: Path) -> list:
    """What a report takes from the folder of an evaluation."""
    record = progress.read_record(folder)
    if record is None:
        # As a report says it.
        raise InputError("missing: an evaluation")
    results, events = read_results(folder, "a"), read_events(folder)
    if events is None:
        # There is no picture of them then, and all else is as it was.
        raise InputError("missing: single jets")
    return [repr(results), repr(events), record["file"], record["evaluation"]]


def _recorded(folder: Path) -> list:
    """Records of gradients, which a report of them can use."""
    interactions_answers.read(folder)
    return read_lines(folder / interactions.FILE_NAME)


def _given(folder: Path) -> list:
    """What a user gave: other numbers are other numbers."""
    return [
        studies.load([f"--config={folder / 'study.yaml'}"]),
        load_norm(folder / "norm.yaml"),
        load_class_weights(folder / "classes.yaml", "jets", "flavour", ["b", "c", "u"]),
    ]


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """One file of each kind after the other, damaged in a way that is drawn."""
    readers = Readers(folder)
    for index in range(first, number):
        generator = draws(seed, index)
        name = list(FILES)[index % len(FILES)]
        way = str(generator.choice(list(WAYS), p=CHANCES))
        reader = str(generator.choice(FILES[name].readers))
        copy = readers.copy(reader)
        found = [path for pattern in FILES[name].patterns for path in copy.glob(pattern)]
        paths = sorted({path for path in found if path.is_file()})
        path = paths[generator.integers(len(paths))]
        content = WAYS[way](path.read_bytes(), generator)
        path.unlink() if content is None else path.write_bytes(content)
        held, said = readers.judged(reader)
        what = f"{name}, {way}, {reader}: {path.relative_to(copy)}"
        yield Trial(what, held, said.replace(str(folder), ""))
