"""What a training step costs, part by part: arithmetic, time against sizes, compilation, stages."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import arithmetic, compilation, sizes, stages
from benchmarks.made import file_of, load
from benchmarks.tables import Table, keep, text
from benchmarks.turns import bind
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.training.compilation import use_cache

CORES = 2


class Settings(NamedTuple):
    """What is measured.

    Attributes:
        model: YAML file or name.
        files: label -> training file; the first is the one that steps are timed on.
        batch_size: jets of a batch.
        repeats: turns of everything that is timed; the median counts.
        steps: of a turn.
    """

    model: str
    files: dict[str, str]
    batch_size: int
    repeats: int
    steps: int

    @property
    def file(self) -> str:
        """The file that steps are timed on."""
        return next(iter(self.files.values()))

    @property
    def options(self) -> list[str]:
        """Of train.py."""
        options = [f"--config={file_of(self.model)}", f"--data.train_file={self.file}"]
        return [*options, f"--training.batch_size={self.batch_size}"]

    def given(self, *options: str) -> Config:
        """The configuration with further options."""
        return load(self.model, *options, file=self.file, batch_size=self.batch_size)


PARTS: dict[str, Callable[[Settings], dict[str, Table]]] = {
    "arithmetic": lambda s: {
        "arithmetic": arithmetic.of_files(s.model, s.files, s.batch_size),
        "methods": arithmetic.of_methods(s.model, s.file, s.batch_size),
        "networks": arithmetic.of_networks(s.model, s.file, s.batch_size),
    },
    "batch_size": lambda s: {"batch_size": sizes.batch_size(s.given, s.repeats, s.steps)},
    "tracks": lambda s: {"tracks": sizes.tracks(s.given, s.repeats, s.steps)},
    "width": lambda s: {"width": sizes.width(s.given, s.repeats, s.steps)},
    "tasks": lambda s: {"tasks": sizes.tasks(s.given, s.repeats, s.steps)},
    "devices": lambda s: {"devices": compilation.devices(s.options, s.repeats, s.steps)},
    "compilation": lambda s: {"compilation": compilation.first_steps(s.options, s.repeats)},
    "stages": lambda s: stages.both(s.given, s.repeats, s.steps),
}


def run(
    parts: Sequence[str] | None,
    model: str,
    files: Sequence[str],
    *,
    batch_size: int,
    repeats: int,
    steps: int,
    output: str | None,
) -> str:
    """The tables of some parts, which are kept in a JSON file beside those of other parts.

    Args:
        parts: keys of `PARTS`; none: all.
        model: YAML file or name.
        files: `FILE` or `LABEL=FILE`, training files.
        batch_size: jets of a batch.
        repeats: turns of everything that is timed.
        steps: of a turn.
        output: JSON file; none: no file.
    """
    unknown = [part for part in parts or () if part not in PARTS]
    if unknown:
        raise InputError(f"`--parts`: no {', '.join(unknown)}; known: {', '.join(PARTS)}")
    if min(batch_size, repeats, steps) < 1:
        given = batch_size, repeats, steps
        raise InputError(
            f"`--batch_size`, `--repeats` and `--steps` must be at least 1; got {given}"
        )
    settings = Settings(model, labelled(files), batch_size, repeats, steps)
    use_cache()
    bind(CORES)
    shown = []
    for part in dict.fromkeys(parts or PARTS):
        found = PARTS[part](settings)
        if output:
            keep(output, found)
        shown += map(text, found.values())
    return "\n\n".join(shown)


def labelled(files: Sequence[str]) -> dict[str, str]:
    """Label -> file; a file without a label is its own."""
    pairs = [file.split("=", 1) if "=" in file else (file, file) for file in files]
    return dict(pairs)
