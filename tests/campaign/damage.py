"""Damaged files: each is refused, passed over for an older checkpoint, or of no consequence.

Of every kind of file that a resumed training, an evaluation, a report or a study reads.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from made_up_results import made_up

from campaign.trial import Trial, draws
from campaign.whole_run import Read, WholeRun, copied, reading
from maskformer_jax.evaluation.result_files import read_results, write_results

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
FULL, SHORT = 200 * len(FILES), 2 * len(FILES)


class Readers:
    """The folders, and what reading each gives where nothing is damaged.

    Args:
        folder: for everything.
    """

    def __init__(self, folder: Path):
        self._whole = WholeRun(folder)
        self._results = folder / "results"
        self._results.mkdir()
        write_results(made_up(), self._results)
        self._read = {
            "resumed": self._whole.resumed,
            "evaluated": self._whole.evaluated,
            "reported": lambda place: reading(lambda: [repr(read_results(place, "a"))]),
        }
        self._place = folder / "copy"
        self._sound = {reader: self._sound_reads(reader) for reader in self._read}

    def folder(self, reader: str) -> Path:
        """What a reader reads."""
        return self._results if reader == "reported" else self._whole.run

    def copy(self, reader: str) -> Path:
        """A copy of it that may be damaged."""
        return copied(self.folder(reader), self._place)

    def _sound_reads(self, reader: str) -> list[Read]:
        """Of the whole folder; then without its newest checkpoint, then without the best too."""
        reads = []
        for gone in ((), (BEST,), (LAST,), (BEST, LAST)):
            place = self.copy(reader)
            if gone and reader == "reported":
                break
            for name in gone:
                for path in sorted((place / name).rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
            reads.append(self._read[reader](place))
        assert reads[0].leaves is not None, reads[0]
        return reads

    def judged(self, reader: str) -> tuple[bool, str]:
        """Whether what the copy gives is right, or refused in one line; and what was said."""
        read = self._read[reader](self._place)
        if read.fault:
            return False, read.fault
        if read.leaves is None:
            return read.said.isprintable() and len(read.said) < 1000, read.said
        lines = read.said.splitlines()
        if read.leaves == self._sound[reader][0].leaves:
            return all(map(str.isprintable, lines)), " | ".join(lines) or "the same"
        fell_back = any(read.leaves == sound.leaves for sound in self._sound[reader][1:])
        return fell_back and bool(lines), " | ".join(lines) or "other results without a word"


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
