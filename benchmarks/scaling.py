"""What a training step costs, part by part: arithmetic, time against sizes, compilation, stages."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks import arithmetic, compilation, sizes, stages
from benchmarks.made import SAMPLE, Settings, at_least, chosen
from benchmarks.tables import Table
from benchmarks.training import CORES
from benchmarks.turns import bind

PARTS: dict[str, Callable[[Settings], dict[str, Table]]] = {
    "arithmetic": lambda s: {
        "arithmetic": arithmetic.of_files(s),
        "methods": arithmetic.of_methods(s),
        "networks": arithmetic.of_networks(s),
    },
    "batch_size": lambda s: {"batch_size": sizes.batch_size(s)},
    "tracks": lambda s: {"tracks": sizes.tracks(s)},
    "width": lambda s: {"width": sizes.width(s)},
    "tasks": lambda s: {"tasks": sizes.tasks(s)},
    "devices": lambda s: {"devices": compilation.devices(s)},
    "compilation": lambda s: {"compilation": compilation.first_steps(s)},
    "stages": lambda s: {f"stages_{name}": stages.stages(name, s) for name in ("equal", "cagrad")},
}


def run(
    parts: Sequence[str] | None = None,
    model: str = "maskformer_small",
    files: Sequence[str] = (f"sample={SAMPLE}",),
    batch_size: int = 500,
    repeats: int = 5,
    steps: int = 5,
) -> Iterator[dict[str, Table]]:
    """Cost of a step: arithmetic, sizes, compilation, stages.

    Args:
        parts: arithmetic, batch_size, tracks, width, tasks, devices, compilation, stages
        files: FILE or LABEL=FILE; steps are timed on the first
    """
    at_least(1, batch_size=batch_size, repeats=repeats, steps=steps)
    settings = Settings(model, labelled(files), batch_size, repeats, steps)
    names = chosen(parts, PARTS, "part")
    bind(CORES)
    for part in names:
        yield PARTS[part](settings)


def labelled(files: Sequence[str]) -> dict[str, str]:
    """Label -> file; a file without a label is its own."""
    pairs = [file.split("=", 1) if "=" in file else (file, file) for file in files]
    return dict(pairs)
