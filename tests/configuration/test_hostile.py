"""Under an audit hook: loading imports nothing, starts nothing and opens what was named alone."""

import json
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest
import shapes

from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.configuration import load, load_saved, safe_yaml
from maskformer_jax.configuration.fields import places
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


def paths_of(kind, prefix=""):
    """Every dotted path of an option, with `x` for the entries of maps."""
    for name, place in places(kind).items():
        path = f"{prefix}{name}"
        yield path
        inner = place.entry() if place.is_map else place
        if place.is_map:
            path = f"{path}.x"
            yield path
        if place.has_options:
            yield f"{path}.x"
        for member in inner.members:
            if is_dataclass(member):
                yield from paths_of(member, f"{path}.")


def nested(path, text):
    """YAML with a text at the end of a path."""
    keys = path.split(".")
    return "{" + ": {".join(json.dumps(k) for k in keys) + ": " + text + "}" * len(keys)


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


@pytest.mark.parametrize("name", KINDS)
def test_every_option_with_every_hostile_value(name, tmp_path):
    kind, tables = KINDS[name]
    file, here = tmp_path / "a.yaml", tmp_path / "here"
    (tmp_path / "other.yaml").write_text("model: {embed_dim: 8}")
    paths = sorted({*paths_of(kind), "x", "config", "print_config", "help", "class_path"})
    assert len(paths) > 20
    for number, path in enumerate(paths):
        ways = [
            lambda text: load([f"--config={file}"], kind, tables=tables),
            lambda text: load_saved(file, kind, tables),
            lambda text, path=path: load([f"--{path}={text}"], kind, tables=tables),
        ]
        if path in ("config", "help"):
            del ways[2]
        for turn, text in enumerate(hostile(here), number):
            file.write_text(nested(path, text))
            # The small one in every way, the others in turns.
            for way in ways if name == "shapes" else [ways[turn % len(ways)]]:
                with Quiet(file):
                    attempt(way, text)
    assert not here.exists()


def test_overrides_of_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    file, here = tmp_path / "study.yaml", tmp_path / "here"
    texts = [t for t in hostile(here) if not t.startswith("!!")]
    for path in ("weighting.options.x", "weighting.options", "weighting", "model", "config"):
        for text in texts:
            overrides = f"{{{json.dumps(path)}: {text}}}"
            file.write_text(
                "{reference: a, tests: {t: t.h5}, groups: [G], models: {a: {group: G, overrides: "
                f"{overrides}}}}}}}"
            )
            with Quiet(file):
                attempt(lambda: plan.plan(studies.load([f"--config={file}"])))
                argv = ["--config", str(ROOT / "configs/study/smoke.yaml"), f"--{path}={text}"]
            if path != "config":
                attempt(lambda argv=argv: plan.plan(studies.load(argv)))
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
