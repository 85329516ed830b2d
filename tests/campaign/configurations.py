"""Hostile values in configurations: nothing is imported, started or opened but the named files.

What is tried is every option of the dataclasses, with each hostile value: as a map, as a string,
escaped; in a file, in a saved file, as an override, and through the overrides of a study. `watch`
is an audit hook, which sees all that Python imports, opens or starts.
"""

import json
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from campaign.trial import Trial, draws
from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import load, load_saved
from maskformer_jax.configuration.fields import Place, places, required
from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import SimulationConfig
from maskformer_jax.study import config as studies
from maskformer_jax.study import plan
from maskformer_jax.study.config import StudyConfig

KIND, FULL, SHORT = "hostile configurations", 300, 30
WATCHED = (
    "import",
    "open",
    "exec",
    "compile",
    "subprocess.",
    "os.",
    "socket.",
    "ctypes.",
    "shutil.",
)
STARTING = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "ctypes.dlopen")
HARMLESS = ("os.scandir", "os.listdir")
_seen: list[tuple] = []
_watching: list[bool] = []


def _watch(event: str, arguments: tuple) -> None:
    if _watching and event.startswith(WATCHED) and event not in HARMLESS:
        _seen.append((event, arguments[:2]))


# A hook stays for good.
sys.addaudithook(_watch)


def watched(
    function: Callable[[], object], *named: Path, trap: str | None = None
) -> tuple[bool, str]:
    """Whether nothing happened but that `named` files were opened, and what was said in one line.

    Args:
        function: is called; an InputError is what it may raise.
        *named: files that it may open.
        trap: only what has this word in it, or starts a process, counts; for what opens much.
    """
    _seen.clear()
    _watching.append(True)
    try:
        function()
        said = "loaded"
    except InputError as error:
        said = str(error)
    except BaseException as error:
        return False, f"{type(error).__name__}: {error}"
    finally:
        _watching.clear()
    names = {str(path) for path in named}
    more = [e for e in _seen if not (e[0] == "open" and str(e[1][0]) in names)]
    if trap is not None:
        more = [e for e in more if trap in str(e) or e[0].startswith(STARTING)]
    return (False, f"did {more[0]}") if more else (said.isprintable(), said)


def hostile(here: Path) -> list[str]:
    """Texts of YAML that some parser would run, import or read."""
    start = {"args": f"touch {here}", "shell": True}
    call = {"class_path": "subprocess.Popen", "init_args": start}
    return [
        json.dumps(call),
        json.dumps(json.dumps(call)),
        json.dumps({"x": json.dumps(call)}),
        json.dumps(call).replace("_", "\\u005f"),
        json.dumps({"class_path": "subprocess.Popen", "dict_kwargs": start}),
        f"!!python/object/apply:os.system ['touch {here}']",
        f"!!python/object/new:subprocess.Popen [touch {here}]",
        "!!python/name:antigravity.fly",
        "antigravity.fly",
        "{class_path: antigravity.fly}",
        f"{here.parent / 'other.yaml'}",
        '"${oc.env:HOME}"',
    ]


class Option(NamedTuple):
    """A dotted option, and what must stand beside it for it to be read: path -> YAML."""

    path: str
    beside: dict[str, str]


FILLERS = {str: '"a"', int: "1", float: "1.0", list[str]: '["a"]', list[int]: "[1]"}


def filler(place: Place) -> str:
    """YAML of a value that a required option may have."""
    member = place.members[0]
    if typing.get_origin(member) is typing.Literal:
        return typing.get_args(member)[0]
    return FILLERS.get(member, "{}")


def options_of(
    kind: type, tables: dict, prefix: str = "", beside: Iterable[tuple[str, str]] = ()
) -> Iterator[Option]:
    """Every option of a dataclass, with `x` for entries of maps, for every name that chooses.

    Options of options of the same kind are not followed.
    """
    needed = {f"{prefix}{name}": filler(places(kind)[name]) for name in required(kind)}
    for place in places(kind).values():
        if place.has_options and f"{prefix}{place.choice.by}" in needed:
            needed[f"{prefix}{place.choice.by}"] = next(iter(place.kinds(tables)))
    beside = {**needed, **dict(beside)}
    for name, place in places(kind).items():
        path = f"{prefix}{name}"
        yield Option(path, beside)
        at = f"{path}.x" if place.is_map or place.has_options else path
        if at != path:
            yield Option(at, beside)
        seen, kinds = set(), place.kinds(tables)
        for chosen, inner in kinds.items():
            if inner in seen or kind in kinds.values():
                continue
            seen.add(inner)
            by, here, where = place.choice and place.choice.by, dict(beside), at
            if place.choice and by is None:
                where = f"{path}.{chosen}"
            if place.has_options:
                where, here[f"{prefix}{by}"] = path, chosen
            elif by:
                here[f"{where}.{by}"] = chosen
            yield from options_of(inner, tables, f"{where}.", here)


def document(option: Option, text: str) -> str:
    """YAML with a text at the end of a path."""
    tree = {}
    for path, value in {**option.beside, option.path: text}.items():
        *keys, last = path.split(".")
        place = tree
        for key in keys:
            place[key] = place[key] if isinstance(place.get(key), dict) else {}
            place = place[key]
        if not isinstance(place.get(last), dict) or path == option.path:
            place[last] = value
    return written(tree)


def written(tree: object) -> object:
    """A tree as YAML in flow style; its leaves are YAML."""
    if not isinstance(tree, dict):
        return tree
    return "{" + ", ".join(f"{json.dumps(k)}: {written(v)}" for k, v in tree.items()) + "}"


KINDS = {
    "training": (Config, configuration.tables()),
    "simulation": (SimulationConfig, {}),
    "study": (StudyConfig, {}),
}
WAYS = ("a file", "a saved file", "an override", "a study's models", "a study's command line")


def all_options(kind: type, tables: dict) -> list[Option]:
    """Every option, and keys that no dataclass has."""
    keys = ("x", "config", "print_config", "help", "class_path")
    return [*options_of(kind, tables), *(Option(key, {}) for key in keys)]


def reader(
    way: str, option: Option, text: str, kind: type, tables: dict, file: Path
) -> Callable[[], object]:
    """What reads a hostile text at an option, after the file is written that it opens."""
    if way.startswith("a study"):
        beside = {path: value for path, value in option.beside.items() if path != option.path}
        given = {**beside, option.path: text} if way == "a study's models" else {}
        inside = ", ".join(f"{json.dumps(name)}: {value}" for name, value in given.items())
        model = f"{{group: G, overrides: {{{inside}}}}}"
        file.write_text(
            f"{{reference: a, tests: {{t: t.h5}}, groups: [G], models: {{a: {model}}}}}"
        )
        line = {} if given else {**beside, option.path: text}
        more = [f"--{path}={value}" for path, value in line.items()]
        return lambda: plan.plan(studies.load([f"--config={file}", *more]))
    if way == "an override":
        argv = [f"--{path}={value}" for path, value in option.beside.items()]
        return lambda: load([*argv, f"--{option.path}={text}"], kind, tables=tables)
    file.write_text(document(option, text))
    if way == "a file":
        return lambda: load([f"--config={file}"], kind, tables=tables)
    return lambda: load_saved(file, kind, tables)


def tried(option: Option, way: str, kind: type, tables: dict, folder: Path) -> tuple[bool, str]:
    """Every hostile value at an option: whether all held, and what was said of the last, or bad."""
    file, here = folder / "a.yaml", folder / "here"
    (folder / "other.yaml").write_text("model: {embed_dim: 8}")
    for text in hostile(here):
        # Ends the values of YAML's flow style, and is refused elsewhere.
        if way == "a study's models" and text.startswith("!!"):
            continue
        held, said = watched(reader(way, option, text, kind, tables, file), file)
        if not held or here.exists():
            return False, f"{text[:60]}: {said}"
    return True, said


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """An option of a configuration with all hostile values, in one way."""
    options = {name: all_options(*kind) for name, kind in KINDS.items()}
    for index in range(first, number):
        generator = draws(seed, index)
        name = str(generator.choice(list(KINDS)))
        option = options[name][generator.integers(len(options[name]))]
        on_the_line = option.path in ("config", "help")
        few = WAYS[:2] if on_the_line else WAYS[:3]
        ways = [*few, *(() if name != "training" else WAYS[3:4] if on_the_line else WAYS[3:])]
        way = str(generator.choice(ways))
        held, said = tried(option, way, *KINDS[name], folder)
        yield Trial(f"{name}, `{option.path}` in {way}", held, said)
