"""The run folder: refused when it holds something, created only when all inputs are good.

RUN/config.yaml          every option, as resolved
RUN/manifest.json        checksums of the files that never change, and of the jets
RUN/normalisation.yaml   means and spreads of inputs and targets
RUN/baseline.npz         templates of the impact-parameter baseline
RUN/checkpoints/         last/STEP and best/STEP, best by `training.monitor`
RUN/nonfinite_batch.npz  only after a loss or gradient that was not finite
RUN/metrics.jsonl        the log, one JSON object a line
RUN/learning_*.png       its curves, of a training that is long enough
RUN/interactions.jsonl   gradients of the tasks beside each other, if `training` says so
RUN/tensorboard/         the same for TensorBoard
RUN/evaluation/          what `maskformer evaluate` writes
"""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import dump, plain
from maskformer_jax.data import NORMALISATION_FILE
from maskformer_jax.errors import InputError
from maskformer_jax.files import LOCK_FILE, held, refuse_links, write_whole
from maskformer_jax.program import call_of
from maskformer_jax.training import manifest

CONFIG_FILE = "config.yaml"
DONE_BY = {"resumed": "train", "evaluated": "evaluate"}
# What a training does to its folder, in which it is alone.
TRAINS = "trains in"
BASELINE_FILE = "baseline.npz"
# Option of a file of jets -> its fingerprint.
Jets = Mapping[str, Mapping[str, int]]
# Names in a file of jets, which leave the network as it is.
NAMES = (
    *("data.*_file", "data.jets.dataset", "data.*.*.dataset", "data.*.*.valid"),
    *("data.labels.*.field", "data.objects.*.key", "data.objects.*.link"),
)
# What an evaluation may change.
EVALUATED = ("name", "output_dir", "evaluation.*", "plot.*", *NAMES)
# What leaves the steps of a resumed run as they would have been, up to rounding (and but for the
# draws of the dropout and the rows of `weighting.gramian_fraction`).
RESUMED = (
    *("output_dir", "evaluation.*", "plot.*", *NAMES),
    *("training.devices", "training.pack", "training.micro_batches", "training.backward"),
    *("training.log_every", "training.record_*"),
    *("training.checkpoint_every", "training.keep_checkpoints"),
)


def is_abandoned(run: Path) -> bool:
    """Whether a folder holds no more than what a training leaves that ended while it made it."""
    made = {NORMALISATION_FILE, BASELINE_FILE, manifest.FILE_NAME, LOCK_FILE}
    return run.is_dir() and all(
        path.name in made or path.name.endswith(".partial") for path in run.iterdir()
    )


def check_path(run: Path) -> None:
    """Raises InputError if Orbax, which takes paths for patterns, would find nothing there."""
    if set("[*?") & set(str(run.absolute())):
        raise InputError(
            f"`output_dir` {run.absolute()} must have no `[`, `*` or `?` in it, since no "
            "checkpoint could be read there"
        )


def check_is_free(run: Path) -> None:
    """Raises InputError if `run` is no folder, or holds anything but what is as good as nothing."""
    check_path(run)
    if run.exists() and not run.is_dir():
        raise InputError(f"`output_dir` {run} is a file, not a folder")
    if run.exists() and not is_abandoned(run):
        if (run / LOCK_FILE).exists():
            with held(run, TRAINS):
                pass  # a lock that a dead process left
        raise InputError(
            f"`output_dir` {run} is not empty: choose another, or continue it with "
            f"`{call_of('train')} --resume {run}`"
        )


@contextlib.contextmanager
def making(run: Path) -> Iterator[None]:
    """Of a folder that is held: clears it before, and after a block that fails.

    Raises:
        InputError: there is something else in it.
    """
    check_is_free(run)
    if _clear(run):
        print(f"warning: {run} held what a training left that never began", file=sys.stderr)
    try:
        yield
    except BaseException:
        _clear(run)
        raise


def _clear(run: Path) -> list[Path]:
    left = [path for path in run.iterdir() if path.name != LOCK_FILE]
    for path in left:
        path.unlink()
    return left


def complete(run: Path, config: Config, jets: Jets) -> None:
    """Writes the manifest and the resolved configuration: a folder that has it can be continued.

    Args:
        run: the folder, with all other files that never change.
        config: of the run.
        jets: option of a file of jets -> its fingerprint.

    Raises:
        InputError: the folder can't be written to.
    """
    there = [run / name for name in (NORMALISATION_FILE, BASELINE_FILE) if (run / name).exists()]
    text = dump(plain(config)).encode()
    files = {path.name: path.read_bytes() for path in there} | {CONFIG_FILE: text}
    manifest.write(run, files, jets)
    write_whole(run / CONFIG_FILE, text)


def load_resumed(argv: Sequence[str]) -> Config:
    """The configuration that `--resume RUN` stands for: that in RUN, and RUN itself.

    Args:
        argv: command line with `--resume`; what follows overrides the configuration.

    Raises:
        InputError: `--resume` is not followed by a run folder, or an option is wrong.
    """
    position = list(argv).index("--resume")
    if position + 1 == len(argv):
        raise InputError("`--resume` must be followed by a run folder; got nothing")
    run = argv[position + 1]
    if not (Path(run) / CONFIG_FILE).is_file():
        begin = f": train again with --output_dir {run}" if is_abandoned(Path(run)) else ""
        raise InputError(f"`--resume` must name a run folder; {run} has no {CONFIG_FILE}{begin}")
    rest = [*argv[:position], *argv[position + 2 :], f"--output_dir={run}"]
    return configuration.load_saved(Path(run) / CONFIG_FILE, rest)


def check_is_continued(run: Path, config: Config) -> Jets:
    """The fingerprints of the jets of a run, in whose folder nothing but `RESUMED` has changed.

    Raises:
        InputError: the folder is damaged, or something else has changed.
    """
    check_path(run)
    refuse_links(run)
    jets = manifest.read(run)
    check_unchanged(run, config, RESUMED, "resumed")
    return jets


def check_unchanged(run: Path, config: Config, but: Sequence[str], done: str) -> None:
    """Raises InputError if a configuration is not that of a run, but for some options.

    Args:
        run: the folder.
        config: with what a command line has changed.
        but: patterns of options that may change.
        done: what is done with the run, a word of `DONE_BY`.
    """
    for name, (before, now) in differences(run, config).items():
        if not matches(name, but):
            raise InputError(
                f"`{name}` can't change when a run is {done}: it was {before!r}, got {now!r}; "
                f"`{call_of(DONE_BY[done])} --help` lists what can"
            )


def check_jets(run: Path, jets: Jets, jets_now: Jets) -> None:
    """Raises InputError if a file holds other jets than at the beginning of a run.

    Args:
        run: the folder.
        jets: option of a file of jets -> its fingerprint at the beginning.
        jets_now: the same today.
    """
    for name, before in jets.items():
        now = jets_now.get(name, {})
        changed = [f"{key} {before[key]}, now {now.get(key)}" for key in before
                   if before[key] != now.get(key)]  # fmt: skip
        if changed:
            raise InputError(
                f"`{name}` holds other jets than when the training in {run} began (a count and "
                f"checksums): {'; '.join(changed)}"
            )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether an option is meant: `*` stands for a part of a key, at the end for all below.

    >>> matches("data.labels.a.field", ["data.labels.*.field"]), matches("data.b.c", ["data.*"])
    (True, True)
    >>> matches("data.labels.a.classes.field", ["data.labels.*.field"])
    False
    """
    ended = (re.sub(r"\\\*$", ".+", re.escape(pattern)) for pattern in patterns)
    return any(re.fullmatch(pattern.replace(r"\*", "[^.]*"), name) for pattern in ended)


def differences(run: Path, config: Config) -> dict[str, tuple[object, object]]:
    """Dotted options in which a configuration differs from that of a run: (there, here).

    Raises:
        InputError: the configuration of the run is damaged.
    """
    saved = configuration.load_saved(run / CONFIG_FILE)
    before, now = (_flat(dataclasses.asdict(c)) for c in (saved, config))
    pairs = {name: (before.get(name), now.get(name)) for name in sorted({*before, *now})}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _flat(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings by their dotted path."""
    leaves = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        leaves |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return leaves
