"""Attacks by files: nothing is imported, started, opened or written that was not named.

Whoever makes a run folder can write checksums that fit, and so do these attacks.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from made_up_results import made_up

from campaign import whole_run
from campaign.configurations import watched
from campaign.trial import Trial
from maskformer_jax import config as configuration
from maskformer_jax.canvas import check_label
from maskformer_jax.configuration import load
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import formats, trained
from maskformer_jax.evaluation.models import own_tables
from maskformer_jax.evaluation.run import evaluate_trained
from maskformer_jax.simulation.config import SimulationConfig
from maskformer_jax.study import config as studies
from maskformer_jax.study import plan, progress
from maskformer_jax.study import run as study_run
from maskformer_jax.study.report import write_report
from maskformer_jax.training import manifest

# In every name that an attack wants to be imported, opened or run.
TRAP = "trap_of_the_campaign"


class Attack(NamedTuple):
    """Something hostile.

    Attributes:
        function: called with an empty folder; what it returns reads the attack that it made.
        must_fail: whether it has to be refused, rather than to be without effect.
        opens: whether many files are opened and modules imported anyway.
    """

    function: Callable[[Path], Callable[[], object]]
    must_fail: bool = True
    opens: bool = False


def in_saved(text: str) -> Attack:
    """As the configuration of a run folder."""

    def made(folder: Path) -> Callable[[], object]:
        (folder / "config.yaml").write_text(text)
        (folder / f"{TRAP}.yaml").write_text("{model: {embed_dim: 8}}")
        return lambda: configuration.load_saved(folder / "config.yaml")

    return Attack(made)


CALL = {"class_path": "subprocess.Popen", "init_args": {"args": f"touch {TRAP}", "shell": True}}
TEXT = json.dumps(CALL)


def in_options(text: str) -> Attack:
    """As an option of the weighting."""
    return in_saved(f"weighting: {{name: cagrad, options: {{c: {text}}}}}")


def in_study(name: str) -> Attack:
    """As the name of a model and of a test, which name folders."""

    def made(folder: Path) -> Callable[[], object]:
        quoted = json.dumps(name)
        (folder / "study.yaml").write_text(
            f"{{output_dir: {folder}/study, reference: {quoted}, tests: {{{quoted}: t.h5}}, "
            f"groups: [G], models: {{{quoted}: {{group: G}}}}}}"
        )
        return lambda: plan.plan(studies.load([f"--config={folder / 'study.yaml'}"]))

    return Attack(made)


def in_simulation(text: str) -> Attack:
    """Lines for Pythia."""
    argv = ["--output_dir=a", "--jets=1"]
    return Attack(lambda _: lambda: load([*argv, text], SimulationConfig))


def linked(name: str, use: Callable[[Path], object]) -> Attack:
    """A symbolic link in a run folder to what must not be written."""

    def made(folder: Path) -> Callable[[], object]:
        run = whole_run.copied(whole_run.shared().run, folder / "run")
        (folder / TRAP).write_text("precious")
        (run / name).parent.mkdir(exist_ok=True, parents=True)
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(folder / TRAP)
        return lambda: use(run)

    return Attack(made, opens=True)


def resumed(run: Path) -> None:
    """Raises what a resumed training says."""
    _raised(whole_run.shared().resumed(run))


def evaluated(run: Path) -> None:
    """Raises what the loading of a run folder says."""
    _raised(whole_run.shared().evaluated(run))


def _raised(read: whole_run.Read) -> None:
    if read.fault:
        raise RuntimeError(read.fault)
    if read.leaves is None:
        raise InputError(read.said)


def evaluated_into(run: Path) -> None:
    """Evaluates a run that is whole into a folder of this one."""
    with whole_run.shared().built(trained):
        found = trained.load_run(whole_run.shared().run)
    evaluate_trained(found, Path(found.config.data.val_file), run / "evaluation", "a")


def claimed(run: Path) -> None:
    """Makes a run of a study in a folder."""
    with study_run.claim(run):
        pass


def with_file(
    name: str, content: Callable[[Path], bytes], use: Callable, must_fail: bool
) -> Attack:
    """Another file in a run folder, with checksums that fit."""

    def made(folder: Path) -> Callable[[], object]:
        run = whole_run.copied(whole_run.shared().run, folder / "run")
        jets = manifest.read(run)
        path = run / name
        path.write_bytes(content(path))
        files = ("config.yaml", "normalisation.yaml", "baseline.npz")
        manifest.write(run, {file: (run / file).read_bytes() for file in files}, jets)
        return lambda: use(run)

    return Attack(made, must_fail, opens=True)


class Pickled:
    """Imports a module when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (__import__, (TRAP,))


def pickled(path: Path) -> bytes:
    """Templates that only a pickle can hold."""
    del path
    archive = io.BytesIO()
    np.savez(archive, fields=np.array([Pickled()], object), log_ratio=np.zeros((40, 40)))
    return archive.getvalue()


def other_handlers(path: Path) -> bytes:
    """Metadata of a checkpoint that name classes of another module."""
    text = path.read_text()
    data = json.loads(text)
    data["item_handlers"] = dict.fromkeys(data["item_handlers"], f"{TRAP}.Handler")
    return json.dumps(data).encode()


def other_parameters(path: Path) -> bytes:
    """The same for the types of its arrays."""
    words = ("jax.Array", "np.ndarray")
    text = path.read_text()
    for word in words:
        text = text.replace(f'"{word}"', f'"{TRAP}.Array"')
    return text.encode()


def in_tables(label: str) -> Attack:
    """As the label of a run, in every format of tables."""

    def made(folder: Path) -> Callable[[], object]:
        del folder

        def write() -> None:
            table = own_tables(made_up())[0]
            table = table.__class__(**{**vars(table), "title": label, "corner": label,
                                       "rows": {key: label for key in table.rows}})  # fmt: skip
            for cells in csv.reader(io.StringIO(formats.to_csv([table]))):
                assert not any(cell.startswith(("=", "+", "@", "-c")) for cell in cells), cells
            for text in (formats.to_markdown(table), formats.to_html(table)):
                assert "<script" not in text and "<img" not in text, text

        return write

    return Attack(made, must_fail=False, opens=True)


def in_label(label: str) -> Attack:
    """As a label, checked before anything is computed."""
    return Attack(lambda _: lambda: check_label(label), opens=True)


ATTACKS = {
    "a class with arguments": in_options(TEXT),
    "a class in text": in_options(json.dumps(TEXT)),
    "text for options": in_saved(f"weighting: {{options: {json.dumps(TEXT)}}}"),
    "text for a section": in_saved(f"weighting: {json.dumps(json.dumps({'options': CALL}))}"),
    "an escaped key": in_options(TEXT.replace("_", "\\u005f")),
    "dict_kwargs": in_options(TEXT.replace("init_args", "dict_kwargs")),
    "a class that is only named": in_saved(f"model: {{class_path: {TRAP}.X}}"),
    "a bare module": in_saved(f"model: {TRAP}.X"),
    "print_config": in_saved("print_config: true"),
    "config": in_saved(f"config: {TRAP}.yaml"),
    "base": in_saved(f"base: {TRAP}.yaml"),
    "a file for a section": in_saved(f"model: {TRAP}.yaml"),
    "a tag of Python": in_saved(f"name: !!python/object/apply:os.system ['touch {TRAP}']"),
    "a module by a tag": in_saved(f"name: !!python/module:{TRAP}"),
    "aliases that explode": in_saved("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b, *b]"),
    "a key twice": in_saved("model: {embed_dim: 8}\nmodel: {embed_dim: 16}"),
    "deep nesting": in_saved("[" * 5000),
    "a huge file": in_saved("x" * 2_000_000),
    "a huge number": in_saved(f"model: {{embed_dim: {'9' * 3000}}}"),
    "a library for Pythia": in_simulation('--beam.pythia=["Init:plugins = {trap.so::X}"]'),
    "a library for a process": in_simulation(
        '--processes={x: {settings: ["Init:plugins = {trap.so::X}"]}}'
    ),
    "a library for pileup": in_simulation('--pileup.settings=["Init:plugins = {trap.so::X}"]'),
    "a file for Pythia": in_simulation('--beam.pythia=["Beams:LHEF = /etc/passwd"]'),
    **{
        f"a link in place of {name} of a run": linked(name, resumed)
        for name in ("metrics.jsonl", ".lock", "tensorboard", "interactions.jsonl", ".x.partial")
    },
    **{
        f"a link in place of {name} of an evaluation": linked(f"evaluation/{name}", evaluated_into)
        for name in ("metrics.json", "tables.csv", ".lock", "predictions.h5", "plots")
    },
    "a link in a study's run": linked("checkpoints/last/9", claimed),
    "a link in place of a study's record": linked(progress.RECORD_FILE, claimed),
    "a link in place of a report": linked(
        "report.md", lambda run: write_report(None, [], run)
    ),
    "a pickle for templates": with_file("baseline.npz", pickled, evaluated, True),
    "other handlers of a checkpoint": with_file(
        "checkpoints/last/4/_CHECKPOINT_METADATA", other_handlers, resumed, False
    ),
    "other types in a checkpoint": with_file(
        "checkpoints/last/4/rest/_METADATA", other_parameters, resumed, False
    ),
    "a model called ..": in_study(".."),
    "a model outside": in_study("../x"),
    "a formula of a spreadsheet": in_tables("=cmd|'/c calc'!A1"),
    "a formula that begins with @": in_tables("@SUM(1)"),
    "a script": in_tables("<script>alert(1)</script>"),
    "an image": in_tables("a | <img src=x onerror=alert(1)>"),
    "TeX that reads a file": in_label(r"$\input{/etc/passwd}$"),
    "TeX that runs a command": in_label(r"$\write18{touch trap}$"),
    "broken TeX": in_label(r"$\frac{1}$"),
}  # fmt: skip
KIND = "attacks"
FULL = SHORT = len(ATTACKS)


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """One attack after the other; nothing is drawn."""
    del seed
    for index in range(first, number):
        name, attack = list(ATTACKS.items())[index]
        place = folder / str(index)
        place.mkdir()
        yield Trial(name, *_tried(attack, place))


def _tried(attack: Attack, place: Path) -> tuple[bool, str]:
    """Whether it held, and what was said."""
    read = attack.function(place)
    precious = place / TRAP
    before = precious.read_text() if precious.exists() else None
    held, said = watched(
        read, place / "config.yaml", place / "study.yaml", trap=TRAP if attack.opens else None
    )
    after = precious.read_text() if precious.exists() else None
    if before != after:
        return False, f"{precious.name} holds {after!r}"
    if attack.must_fail and said == "loaded":
        return False, "it was not refused"
    return held, said
