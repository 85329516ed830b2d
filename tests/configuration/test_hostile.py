"""Under an audit hook: loading imports nothing, starts nothing and opens what was named alone."""

import json
import sys
import typing
from pathlib import Path
from typing import NamedTuple

import pytest
import shapes

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import load, load_saved, safe_yaml
from maskformer_jax.configuration.fields import places, required
from maskformer_jax.data import Scaling, load_class_weights
from maskformer_jax.data.salt import load_norm
from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import SimulationConfig
from maskformer_jax.study import config as studies
from maskformer_jax.study import plan
from maskformer_jax.study.config import StudyConfig

ROOT = Path(__file__).parents[2]
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
HARMLESS = ("os.scandir", "os.listdir")
seen: list[tuple] = []
watching: list[bool] = []


def watch(event, arguments):
    if watching and event.startswith(WATCHED) and event not in HARMLESS:
        seen.append((event, arguments[:2]))


sys.addaudithook(watch)


class Quiet:
    """Nothing happens inside but that `named` files are opened."""

    def __init__(self, *named):
        self.named = {str(path) for path in named}

    def __enter__(self):
        seen.clear()
        watching.append(True)

    def __exit__(self, *error):
        watching.clear()
        assert [e for e in seen if not (e[0] == "open" and str(e[1][0]) in self.named)] == []


def hostile(here):
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
        "${oc.env:HOME}",
    ]


class Option(NamedTuple):
    """A dotted option, and what must stand beside it for it to be read: path -> YAML."""

    path: str
    beside: dict[str, str]


FILLERS = {str: '"a"', int: "1", float: "1.0", list[str]: '["a"]', list[int]: "[1]"}


def filler(place):
    """YAML of a value that a required option may have."""
    member = place.members[0]
    if typing.get_origin(member) is typing.Literal:
        return typing.get_args(member)[0]
    return FILLERS.get(member, "{}")


def options_of(kind, tables, prefix="", beside=()):
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


def document(option, text):
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


def written(tree):
    if not isinstance(tree, dict):
        return tree
    return "{" + ", ".join(f"{json.dumps(k)}: {written(v)}" for k, v in tree.items()) + "}"


KINDS = {
    "training": (Config, configuration.tables()),
    "simulation": (SimulationConfig, {}),
    "study": (StudyConfig, {}),
    "shapes": (shapes.Root, shapes.TABLES),
}


def attempt(function, *arguments, **more):
    """Loads, or is refused in one line."""
    try:
        function(*arguments, **more)
    except InputError as error:
        assert "\n" not in str(error)


def all_options(name):
    kind, tables = KINDS[name]
    keys = ("x", "config", "print_config", "help", "class_path")
    return [*options_of(kind, tables), *(Option(key, {}) for key in keys)]


@pytest.mark.parametrize("name", KINDS)
def test_every_option_with_every_hostile_value(name, tmp_path):
    kind, tables = KINDS[name]
    file, here = tmp_path / "a.yaml", tmp_path / "here"
    (tmp_path / "other.yaml").write_text("model: {embed_dim: 8}")
    options = all_options(name)
    assert len(options) > 20
    for number, option in enumerate(options):
        beside = [f"--{path}={value}" for path, value in option.beside.items()]
        ways = [
            lambda text: load([f"--config={file}"], kind, tables=tables),
            lambda text: load_saved(file, kind, tables),
            lambda text, o=option, b=beside: load([*b, f"--{o.path}={text}"], kind, tables=tables),
        ]
        if option.path in ("config", "help"):
            del ways[2]
        for turn, text in enumerate(hostile(here), number):
            # The small one in every way, the others in turns.
            if name in ("training", "simulation") and turn % 4:
                continue
            file.write_text(document(option, text))
            for way in ways if name == "shapes" else [ways[turn % len(ways)]]:
                with Quiet(file):
                    attempt(way, text)
    assert not here.exists()


@pytest.mark.parametrize("name", KINDS)
def test_the_hostile_value_is_read_where_it_stands(name, tmp_path):
    """What is beside it is right: a list of maps, which no option takes, is refused by its path."""
    kind, tables = KINDS[name]
    file = tmp_path / "a.yaml"
    for option in all_options(name):
        file.write_text(document(option, "[{class_path: antigravity.fly}]"))
        with pytest.raises(InputError) as caught:
            load([f"--config={file}"], kind, tables=tables)
        # The overrides of a study are read with its trainings.
        read = option.path.endswith("overrides.x") or f"`{option.path}" in str(caught.value)
        assert read, caught.value


def test_overrides_of_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    file, here = tmp_path / "study.yaml", tmp_path / "here"
    texts = [t for t in hostile(here) if not t.startswith("!!")]
    for number, option in enumerate(all_options("training")):
        text = texts[number % len(texts)]
        overrides = {path: value for path, value in option.beside.items() if path != option.path}
        given = ", ".join(
            f"{json.dumps(k)}: {v}" for k, v in {**overrides, option.path: text}.items()
        )
        file.write_text(
            "{reference: a, tests: {t: t.h5}, groups: [G], models: {a: {group: G, overrides: "
            f"{{{given}}}}}}}}}"
        )
        with Quiet(file):
            attempt(lambda: plan.plan(studies.load([f"--config={file}"])))
            argv = ["--config", str(file), f"--{option.path}={text}"]
            if option.path not in ("config", "help"):
                attempt(lambda argv=argv: plan.plan(studies.load(argv)))
    assert not here.exists()


def test_statistics_weights_and_normalisation(tmp_path):
    """Files of other programs and of run folders beside the configuration."""
    file, here = tmp_path / "a.yaml", tmp_path / "here"
    for text in hostile(here):
        for content in (
            text,
            f"jets: {text}",
            f"jets: {{x: {text}}}",
            f"jets: {{x: {{mean: {text}}}}}",
        ):
            file.write_text(content)
            for read in (
                load_norm,
                Scaling.load,
                lambda p: load_class_weights(p, "jets", "x", ["a"]),
            ):
                with Quiet(file), pytest.raises(InputError) as caught:
                    read(file)
                assert "\n" not in str(caught.value)
    assert not here.exists()


def test_a_saved_file_names_no_other(tmp_path):
    for text in ("base: other.yaml", "config: other.yaml", "print_config: true", "help: true"):
        (tmp_path / "config.yaml").write_text(text)
        with Quiet(tmp_path / "config.yaml"), pytest.raises(InputError, match=r"config.yaml: `"):
            configuration.load_saved(tmp_path / "config.yaml")


def test_the_hook_sees_what_it_must(tmp_path):
    """A parser that makes objects is caught, so that silence means something."""
    import yaml

    (tmp_path / "x").write_text("")
    text = f"!!python/object/apply:builtins.open [{tmp_path / 'x'}]"
    with pytest.raises(AssertionError), Quiet():
        yaml.unsafe_load(text).close()
    with pytest.raises(InputError), Quiet():
        safe_yaml.parse(text)
