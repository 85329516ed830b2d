"""The table that decides: a file, an overlay, overrides, and what comes of them."""

# ruff: noqa: E501
import re

import pytest
import yaml
from shapes import TABLES, Root

from maskformer_jax.configuration import load
from maskformer_jax.configuration.fields import plain
from maskformer_jax.errors import InputError

D0 = {"name": "asinh", "scale": 0.05}
JETS = "tasks: {jet: {kind: classification, label: flavour}}"
OBJECTS = "tasks: {hadrons: {kind: objects, losses: {mask_ce: {focal_gamma: 2}}}}"
CAGRAD = "weighting: {name: cagrad, options: {c: 0.4, preference: [1, 2]}}"
TRACKS = "data.streams.tracks"
HADRONS = "tasks.hadrons"

# (file, overlay, overrides, dotted path, value there)
RESULTS = [
    # Sections and the named maps merge by key at every depth.
    ("model: {embed_dim: 64}", "model: {widths: 8}", [], "model.embed_dim", 64),
    ("model: {embed_dim: 64}", "model: {embed_dim: 32}", [], "model.embed_dim", 32),
    ("data: {streams: {clusters: {cap: 3}}}", "", [], f"{TRACKS}.cap", 50),
    ("data: {streams: {clusters: {cap: 3}}}", "", [], "data.streams.clusters.dataset", "tracks"),
    ("data: {labels: {a: {of: jets}}}", "data: {labels: {b: {of: x}}}", [], "data.labels.a.of", "jets"),
    ("data: {streams: {tracks: {cap: 9}}}", "data: {streams: {tracks: {inputs: [a]}}}", [], f"{TRACKS}.cap", 9),
    (JETS, OBJECTS, [], "tasks.jet.label", "flavour"),
    (OBJECTS, "tasks: {hadrons: {losses: {regression: {}}}}", [], f"{HADRONS}.losses.mask_ce.focal_gamma", 2.0),
    (OBJECTS, "tasks: {hadrons: {queries: 7}}", [], f"{HADRONS}.losses", {"mask_ce": {"focal_gamma": 2.0}}),
    ("discriminants: {b: {signal: b, backgrounds: {c: 1}}}", "discriminants: {b: {signal: x}}", [], "discriminants.b.backgrounds", {"c": 1.0}),
    # Any other mapping, and every list, is one value.
    ("data: {labels: {a: {of: j, classes: {b: 5, c: 4}}}}", "data: {labels: {a: {classes: {u: 0}}}}", [], "data.labels.a.classes", {"u": 0}),
    ("discriminants: {b: {signal: b, backgrounds: {c: 1}}}", "discriminants: {b: {backgrounds: {u: 1}}}", [], "discriminants.b.backgrounds", {"u": 1.0}),
    (CAGRAD, "weighting: {options: {c: 0.1}}", [], "weighting.options", {"c": 0.1, "preference": None}),
    ("model: {widths: [1, 2]}", "model: {widths: [3]}", [], "model.widths", [3]),
    # A null section says nothing; {} replaces options, and gives a loss or a target its defaults.
    ("model: {embed_dim: 64}", "model:", [], "model.embed_dim", 64),
    ("data: {streams: {tracks: {cap: 9}}}", "data: {streams: {tracks: }}", [], f"{TRACKS}.cap", 9),
    ("data: {streams: }", "", [], f"{TRACKS}.cap", 50),
    ("", "", [], "name", "GN"),
    (CAGRAD, "weighting: {options: {}}", [], "weighting.options", {"c": 0.5, "preference": None}),
    (OBJECTS, "tasks: {hadrons: {losses: {regression: {}}}}", [], f"{HADRONS}.losses.regression", {"targets": {}}),
    (OBJECTS, "tasks: {hadrons: {losses: {regression: {targets: {deta: {}}}}}}", [], f"{HADRONS}.losses.regression.targets", {"deta": {"name": "identity"}}),
    # A new name or kind drops the options of the old one; the same name keeps them.
    (CAGRAD, "weighting: {name: equal}", [], "weighting.options", {}),
    (CAGRAD, "weighting: {name: cagrad}", [], "weighting.options.c", 0.4),
    ("weighting: {name: cagrad, every: 4}", "weighting: {name: equal}", [], "weighting.every", 4),
    ("model: {norm: {learnt: false}}", "model: {norm: {name: batch_norm}}", [], "model.norm", {"name": "batch_norm", "momentum": 0.9}),
    ("model: {norm: {learnt: false}}", "model: {norm: {name: layer_norm}}", [], "model.norm.learnt", False),
    (OBJECTS, "tasks: {hadrons: {kind: classification, label: x}}", [], HADRONS, {"label": "x", "kind": "classification", "class_weights": None}),
    # Null drops an entry of the maps of transforms, targets and discriminants.
    ("data: {streams: {tracks: {transforms: {z0: {name: log}}}}}", "data: {streams: {tracks: {transforms: {z0: null}}}}", [], f"{TRACKS}.transforms", {"d0": D0}),
    ("", "", [f"--{TRACKS}.transforms.d0", "null"], f"{TRACKS}.transforms", {}),
    ("", "", [f"--{TRACKS}.transforms", "{d0: null, z0: {name: log}}"], f"{TRACKS}.transforms", {"z0": {"name": "log", "scale": 1.0}}),
    (OBJECTS, "tasks: {hadrons: {losses: {regression: {targets: {a: {}, b: {}}}}}}", [f"--{HADRONS}.losses.regression.targets.a", "none"], f"{HADRONS}.losses.regression.targets", {"b": {"name": "identity"}}),
    # Transforms.
    ("", "", [], f"{TRACKS}.transforms.d0", D0),
    ("data: {streams: {tracks: {transforms: {d0: {scale: 0.1}}}}}", "", [], f"{TRACKS}.transforms.d0", {"name": "asinh", "scale": 0.1}),
    ("data: {streams: {tracks: {transforms: {d0: {name: log}}}}}", "", [], f"{TRACKS}.transforms.d0", {"name": "log", "scale": 1.0}),
    ("data: {streams: {tracks: {transforms: {d0: {name: identity}}}}}", "", [], f"{TRACKS}.transforms.d0", {"name": "identity"}),
    ("data: {streams: {tracks: {transforms: {pt: {name: log}}}}}", "", [], f"{TRACKS}.transforms.d0", D0),
    ("data: {streams: {tracks: {transforms: {}}}}", "", [], f"{TRACKS}.transforms.d0", D0),
    ("data: {streams: {new: {transforms: {d0: {name: identity}}}}}", "", [], "data.streams.new.transforms", {"phi": {"name": "identity"}, "d0": {"name": "identity"}}),
    # Dotted overrides come last, reach into everything, and set what they name alone.
    ("model: {embed_dim: 64}", "", ["--model.embed_dim=8"], "model.embed_dim", 8),
    ("model: {embed_dim: 64}", "", ["--model", "{widths: 8}"], "model.embed_dim", 64),
    ("", "", [f"--{TRACKS}.transforms.d0.scale", "0.1"], f"{TRACKS}.transforms.d0", {"name": "asinh", "scale": 0.1}),
    (CAGRAD, "", ["--weighting.options.c=1"], "weighting.options", {"c": 1.0, "preference": [1.0, 2.0]}),
    ("", "", ["--weighting.options.c=1", "--weighting.name=cagrad"], "weighting.options.c", 1.0),
    ("data: {labels: {a: {of: j, classes: {b: 5}}}}", "", ["--data.labels.a.classes.tau=15"], "data.labels.a.classes", {"b": 5, "tau": 15}),
    ("data: {labels: {a: {of: j, classes: {b: 5}}}}", "", ["--data.labels.a.classes={tau: 15}"], "data.labels.a.classes", {"tau": 15}),
    ("", "", ["--tasks.new.kind=objects", "--tasks.new.losses.mask_ce.focal_gamma=1"], "tasks.new.losses.mask_ce.focal_gamma", 1.0),
    ("", "", ["--name", "5"], "name", "5"),
    ("", "", ["--name={a: b}"], "name", "{a: b}"),
    ("note: text", "", ["--note=null"], "note", None),
    ("jets: 5", "", ["--jets", "none"], "jets", None),
    (JETS, "", ["--tasks.jet.class_weights=file"], "tasks.jet.class_weights", "file"),
    (JETS, "", ["--tasks.jet.class_weights={b: 2}"], "tasks.jet.class_weights", {"b": 2.0}),
    ("", "", ["--model.widths=[1, 2]"], "model.widths", [1, 2]),
    # Values.
    ("model: {norm: {epsilon: 1e-3}}", "", [], "model.norm.epsilon", 0.001),
    ("name: 2024-01-01", "", [], "name", "2024-01-01"),
    ("name: yes", "", [], "name", "yes"),
    ("data: {limit: .inf}", "", [], "data.limit", float("inf")),
]  # fmt: skip
# (file, overlay, overrides, part of the message)
ERRORS = [
    ("modle: {embed_dim: 64}", "", [], "no option `modle`; did you mean `model`?"),
    ("model: {embed: 64, wide: 3}", "", [], "no options `model.embed`, `model.wide`; did you mean `model.embed_dim`?"),
    ("model: 3", "", [], "`model` must be a section; got 3"),
    ("model: '{embed_dim: 3}'", "", [], "`model` must be a section; got '{embed_dim: 3}'"),
    ("data: {streams: {tracks: {cap: x}}}", "", [], "`data.streams.tracks.cap` must be an integer; got 'x'"),
    ("model: {embed_dim: '3'}", "", [], "`model.embed_dim` must be an integer; got '3'"),
    ("model: {embed_dim: true}", "", [], "`model.embed_dim` must be an integer; got true"),
    ("model: {embed_dim: 3.0}", "", [], "`model.embed_dim` must be an integer; got 3.0"),
    ("model: {embed_dim: }", "", [], "`model.embed_dim` must be an integer; got none"),
    ("model: {widths: }", "", [], "`model.widths` must be an integer or a list; got none"),
    ("model: {widths: [1, x]}", "", [], "`model.widths[1]` must be an integer; got 'x'"),
    ("name: 5", "", [], "`name` must be text; got 5"),
    ("model: {norm: {learnt: yes}}", "", [], "`model.norm.learnt` must be true or false; got 'yes'"),
    ("model: {norm: {epsilon: true}}", "", [], "`model.norm.epsilon` must be a number; got true"),
    ("model: {norm: {epsilon: .inf}}", "", [], "`model.norm.epsilon` must be a finite number; got inf"),
    ("model: {norm: {epsilon: .nan}}", "", [], "`model.norm.epsilon` must be a finite number; got nan"),
    ("model: {norm: {name: layer_nrom}}", "", [], "`model.norm.name` must be one of layer_norm, batch_norm; got 'layer_nrom'; did you mean `layer_norm`?"),
    ("model: {norm: {name: batch_norm, epsilon: 1}}", "", [], "no option `model.norm.epsilon`"),
    ("model: {norm: {name: [batch_norm]}}", "", [], "`model.norm.name` must be one of"),
    ("data: {streams: {tracks: {transforms: {pt: {scale: 2}}}}}", "", [], "`data.streams.tracks.transforms.pt.name` must be given"),
    (OBJECTS, "tasks: {hadrons: {losses: {regression: }}}", [], "`tasks.hadrons.losses.regression` is empty: write {} for its defaults"),
    (OBJECTS, "tasks: {hadrons: {losses: {mask_cf: {}}}}", [], "no option `tasks.hadrons.losses.mask_cf`; did you mean `tasks.hadrons.losses.mask_ce`?"),
    ("tasks: {jet: {label: x}}", "", [], "`tasks.jet.kind` must be given"),
    ("tasks: {jet: {kind: classification}}", "", [], "`tasks.jet.label` must be given"),
    (JETS, "tasks: {jet: {class_weights: folder}}", [], "`tasks.jet.class_weights` must be a mapping, file or none; got 'folder'"),
    ("weighting: {name: static}", "", [], "`weighting.options.weights` must be given"),
    ("weighting: {options: {c: 1}}", "", [], "no option `weighting.options.c`"),
    ("weighting: {options: }", "", [], "`weighting.options` must be a section; got none"),
    ("weighting: {name: cagrad, options: '{c: 1}'}", "", [], "`weighting.options` must be a section; got '{c: 1}'"),
    (CAGRAD, "weighting: {name: equal, options: {c: 1}}", [], "no option `weighting.options.c`"),
    # The command line.
    ("", "", ["--modle.embed_dim=3"], "no option `modle`; did you mean `model`?"),
    ("", "", ["--model.embed=3"], "no option `model.embed`; did you mean `model.embed_dim`?"),
    ("", "", ["--confg=a.yaml"], "no option `confg`; did you mean `config`?"),
    ("", "", ["--print"], "`--print` must be followed by a value; did you mean `print_config`?"),
    ("", "", ["--config=configs/study"], "configs/study: a folder, not a file; files in it: "),
    ("", "", ["--model.embed_dim"], "`--model.embed_dim` must be followed by a value"),
    ("", "", ["--model.embed_dim=wide"], "`model.embed_dim` must be an integer; got 'wide'"),
    ("", "", ["--model.embed_dim=null"], "`model.embed_dim` must be an integer; got none"),
    ("", "", ["--model.embed_dim="], "`model.embed_dim` must be an integer; got none"),
    ("", "", ["--model.embed_dim.x=3"], "`model.embed_dim` has no options of its own"),
    ("", "", ["--model=3"], "`model` must be a section; got 3"),
    ("", "", ["--model.widths=[1"], "`model.widths` is not YAML"),
    ("", "", ["stray"], "`stray`"),
    ("", "", ["--"], "`--` belongs to no option"),
    ("", "", ["--model..embed_dim=3"], "no option 'model..embed_dim'"),
    ("", "", ["--base=a.yaml"], "`base` is read only from files named by --config"),
    # Keys that no file has.
    ("config: b.yaml", "", [], "`config` is an option of the command line, no key of a file"),
    ("print_config: true", "", [], "`print_config` is an option of the command line, no key of a"),
    ("help: true", "", [], "`help` is an option of the command line, no key of a file"),
    ("base: [a.yaml]", "", [], "`base` must be the name of a file; got ['a.yaml']"),
    ("base: nothing.yaml", "", [], "nothing.yaml: no such file"),
    ("base: a.yaml", "", [], "a.yaml: `base` leads back to itself"),
]  # fmt: skip


def files(folder, first, overlay):
    for name, text in (("a.yaml", first), ("b.yaml", overlay)):
        (folder / name).write_text(text)
    return [f"--config={folder / 'a.yaml'}", "--config", str(folder / "b.yaml")]


@pytest.mark.parametrize(("first", "overlay", "overrides", "path", "value"), RESULTS)
def test_what_comes_of_files_and_overrides(tmp_path, first, overlay, overrides, path, value):
    found = plain(load([*overrides, *files(tmp_path, first, overlay)], Root, tables=TABLES))
    for key in path.split("."):
        found = found[key]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("first", "overlay", "overrides", "message"), ERRORS)
def test_what_is_refused(tmp_path, first, overlay, overrides, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load([*files(tmp_path, first, overlay), *overrides], Root, tables=TABLES)
    assert "\n" not in str(caught.value)


BASES = [
    ({"c/base.yaml": "model: {embed_dim: 8, widths: 4}"}, "base: c/base.yaml\nmodel: {widths: 2}", {"embed_dim": 8, "widths": 2}),
    ({"c/base.yaml": "base: ../d.yaml", "d.yaml": "model: {embed_dim: 8}"}, "base: c/base.yaml", {"embed_dim": 8}),
    ({"c/base.yaml": "base: ../a.yaml"}, "base: c/base.yaml", "leads back to itself"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "text", "expected"), BASES)
def test_a_base_is_merged_first_and_lies_beside_its_file(tmp_path, more, text, expected):
    (tmp_path / "c").mkdir()
    for name, content in more.items():
        (tmp_path / name).write_text(content)
    argv = files(tmp_path, text, "")
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            load(argv, Root, tables=TABLES)
    else:
        model = plain(load(argv, Root, tables=TABLES))["model"]
        assert {key: model[key] for key in expected} == expected


def test_without_arguments_every_default_holds():
    assert load([], Root, tables=TABLES) == Root()


@pytest.mark.parametrize("first", [row[0] for row in RESULTS])
def test_what_is_printed_reads_back_the_same(tmp_path, first, capsys):
    argv = files(tmp_path, first, "")
    with pytest.raises(SystemExit) as caught:
        load([*argv, "--print_config"], Root, tables=TABLES)
    text = capsys.readouterr().out
    assert caught.value.code == 0 and set(yaml.safe_load(text)) == set(plain(Root()))
    (tmp_path / "c.yaml").write_text(text)
    again = load([f"--config={tmp_path / 'c.yaml'}"], Root, tables=TABLES)
    assert again == load(argv, Root, tables=TABLES)
