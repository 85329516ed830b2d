"""Pieces of the benchmarks of the training step; their times are not looked at."""

import json
import re
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import benchmark
from benchmarks import arithmetic, compilation, stages, weights
from benchmarks.arithmetic import arithmetic_of_jets, capped, count, many_heads, read_epoch
from benchmarks.compilation import Started
from benchmarks.data import copy_plain
from benchmarks.made import SAMPLE, Settings
from benchmarks.made import load as load_config
from benchmarks.peer_process import process
from benchmarks.report import MARKS, filled
from benchmarks.scaling import PARTS, labelled
from benchmarks.stages import Stage
from benchmarks.tables import Table, keep, load, markdown, text
from benchmarks.training import Turn
from benchmarks.training import table as training_table
from benchmarks.turns import medians
from maskformer_jax.build import build
from maskformer_jax.data import JetFile
from maskformer_jax.errors import InputError
from maskformer_jax.weighting import METHODS

TABLE = Table(
    "Title", {"name": "", "ms": ".1f", "share": ".0%"}, [["a", 12.34, 0.5], ["bb", 1, None]]
)


def test_table_is_aligned_and_none_is_a_dash():
    lines = ["Title", "name      ms    share", "a       12.3      50%", "bb       1.0        -"]
    assert text(TABLE._replace(notes=["note"])).splitlines() == [*lines, "note"]
    rows = [re.findall(r"[^\s|]+", line) for line in markdown(TABLE).splitlines()]
    assert rows[:1] + rows[2:] == [*(line.split() for line in lines[1:]), [], ["Title"]]
    assert [cell.strip("-") for cell in rows[1]] == [":", ":", ":"]


def test_tables_are_kept_beside_others(tmp_path):
    path = str(tmp_path / "made" / "tables.json")
    assert load(path) == {}
    table = TABLE._replace(notes=["note"], raw={"a": [1.0]})
    keep(path, {"a": table, "b": table})
    keep(path, {"b": table._replace(title="later")})
    found = load(path)
    assert found["a"] == table and found["b"].title == "later" and list(found) == ["a", "b"]


@pytest.mark.parametrize("content", ["{", "[]", '{"a": {}}', '{"a": 1}'])
def test_file_with_something_else_is_one_line(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json: no tables of this benchmark"):
        load(str(tmp_path / "a.json"))


def test_arithmetic_of_a_product_is_known():
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 5), (5, 7))]
    assert count(jnp.matmul, *shapes) == 2 * 3 * 5 * 7


def test_arithmetic_of_jets_is_a_parabola_and_no_other_curve(monkeypatch):
    def found(config, part):
        n = config.data.streams["tracks"].cap
        return 10 * (3 + 2 * n + n**power)

    monkeypatch.setattr(arithmetic, "_of_gradient", found)
    monkeypatch.setattr(arithmetic, "build", lambda config: SimpleNamespace(schema=None))
    monkeypatch.setattr(arithmetic, "example", lambda schema, batch_size: None)
    config, power = load_config("quickstart"), 2
    np.testing.assert_allclose(arithmetic_of_jets(config, 10)(30), 963)
    power = 3
    with pytest.raises(RuntimeError, match="is no parabola"):
        arithmetic_of_jets(config, 10)


def test_an_epoch_has_all_tracks(tmp_path):
    path = copy_plain(Path(SAMPLE), tmp_path / "jets.h5", 60)
    config = load_config("quickstart", file=str(path), batch_size=25)
    epoch = read_epoch(config)
    batch, _ = epoch.part
    expected = JetFile(path, build(config).schema).read(0, 60).streams["tracks"].kept()[1]
    assert len(epoch.counts) == 60 and len(epoch.used) == 3 and epoch.used.min() == 1
    assert epoch.counts.sum() == expected.sum()
    _, rows, jets, width = map(int, epoch.layout.split(" x "))
    assert batch.streams["tracks"].values.shape[:2] == (rows, width)
    assert batch.jet_valid.shape == (rows * jets,)


def test_a_trunk_has_as_many_heads_as_are_asked_for():
    model = build(many_heads(load_config("quickstart"), 5))
    assert (
        model.losses
        == tuple(f"{name}_{n}" for n in range(3) for name in ("jet_class", "track_origin"))[:5]
    )
    with pytest.raises(InputError, match=r"must have one stream of constituents; got 0"):
        capped(load_config("dl1"), 5)


@pytest.mark.parametrize(("model", "decoder"), [("quickstart", True), ("gn2", False)])
def test_stages_begin_at_the_heads_and_end_with_everything(model, decoder):
    params = build(load_config(model)).params
    found = stages.groups(params)
    assert ("backward, decoder" in found) == decoder
    sizes = [sum(reached) for reached in found.values()]
    assert sizes == sorted(set(sizes)) and sizes[-1] == len(jax.tree.leaves(params))


def test_files_may_have_labels():
    assert labelled(["a=b=c", "d.h5"]) == {"a": "b=c", "d.h5": "d.h5"}


def test_a_stage_is_the_difference_of_two_programs():
    found = stages.differences(
        {
            "forward": Stage(1.0, 10.0, 4.0),
            "backward, heads": Stage(1.5, 14.0, 5.0),
            "weighting": Stage(0.2, 1.0, 1.0),
        }
    )
    assert found["backward, heads"] == Stage(0.5, 4.0, 1.0)
    assert found["weighting"] == Stage(0.2, 1.0, 1.0)


@pytest.mark.parametrize(
    ("stage", "limit", "above"),
    [(Stage(2.0, 100.0, 5.0), "arithmetic", 2.0), (Stage(2.0, 10.0, 8.0), "memory", 2.5)],
)
def test_limit_is_what_takes_longer(stage, limit, above):
    cells = dict(
        zip(stages.COLUMNS, stages.row("x", stage, 4.0, Stage(1.0, 100.0, 10.0)), strict=True)
    )
    assert cells["limit"] == limit and cells["time to the limit"] == pytest.approx(above)
    assert cells["ms"] == 2000 and cells["share"] == 0.5
    assert cells["of the peak"] == stage.flops / 200
    assert cells["of the bandwidth"] == stage.bytes / 20


def test_first_round_is_not_counted():
    times = iter([100.0, 1.0, 3.0, 2.0])
    assert medians({"a": lambda: next(times)}, 3) == {"a": 2.0}


SETTINGS = Settings("a.yaml", {"b": "c.h5"}, 10, repeats=2, steps=1)


def test_first_steps_are_compared_with_the_padded_one(monkeypatch):
    calls = []

    def measure(options, cache):
        calls.append(cache)
        is_first = calls.count(cache) == 1
        seconds = 4.0 if "--training.pack=false" in options else 6.0
        return Started(1.0, *((seconds - 1.0, seconds) if is_first else (0.5, 1.5)))

    monkeypatch.setattr(compilation, "measure", measure)
    padded, packed, *_ = compilation.first_steps(SETTINGS).rows
    assert padded == ["equal, padded", 1.0, 3.0, 4.0, 1.5, 1.0]
    assert packed == ["equal", 1.0, 5.0, 6.0, 1.5, 1.5]


@pytest.mark.parametrize("fails", [False, True])
def test_process_of_its_own_answers_or_says_why(fails, monkeypatch, tmp_path):
    answer = Started(1.0, 2.0, 3.0)
    program = [f"#!{sys.executable}", "import os, sys"]
    program += ["assert sys.argv[1:] == ['-m', 'benchmarks.compilation'], sys.argv"]
    program += ["""assert input() == '["start", ["--a"]]'"""]
    program += ["assert os.environ['JAX_COMPILATION_CACHE_DIR'] == 'none'"]
    program += ["sys.exit('why')" if fails else f"print({json.dumps(answer)!r})"]
    (tmp_path / "python").write_text("\n".join(program))
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(compilation, "process", partial(process, python=tmp_path / "python"))
    if fails:
        with pytest.raises(InputError, match="ended with code 1: why"):
            compilation.measure(["--a"], "none")
    else:
        assert compilation.measure(["--a"], "none") == answer


def test_cosine_of_two_sums_of_gradients():
    gradients = np.random.default_rng(2).normal(size=(3, 9))
    a, b = np.array([1.0, 2.0, 0.5]), np.array([0.3, 0.1, 2.0])
    expected = a @ gradients @ (b @ gradients)
    expected /= np.linalg.norm(a @ gradients) * np.linalg.norm(b @ gradients)
    found = weights.cosine(gradients @ gradients.T, a, SimpleNamespace(weights=b))
    assert found == pytest.approx(expected)


def test_weights_are_renewed_when_they_are_due_and_found_on_what_is_given():
    """Two orthogonal gradients, whose lengths change every third step; MGDA is exact on them."""
    lengths = [(1.0, 2.0) if number // 3 % 2 == 0 else (2.0, 1.0) for number in range(6)]

    def given(pair):
        return weights.Given(jnp.ones(2), jnp.diag(jnp.array(pair) ** 2))

    def find(params, number):
        cheap = {"fraction 1/2": given((1.0, 2.0))} | {
            label: given(lengths[number])
            for label in ("fraction 1/4", "fraction 1/8", "fraction 1/16", "representation")
        }
        return jnp.diag(jnp.array(lengths[number])), given(lengths[number]), cheap

    way = METHODS["mgda"](2, normalise="none")
    found = weights.cosines(find, way, optax.sgd(0.1), jnp.zeros(2), range(6))
    # Weights (4, 1) / 5 for lengths (1, 2): where they are old, the update is (8, 1) for (2, 4).
    old = np.dot([2, 4], [8, 1]) / np.linalg.norm([2, 4]) / np.linalg.norm([8, 1])
    expected = {"every 2": [1, 1, 1, old, 1, 1], "every 5": [1, 1, 1, old, old, 1]}
    expected |= {"fraction 1/2": [1, 1, 1, old, old, old], "representation": [1] * 6}
    for label, values in expected.items():
        np.testing.assert_allclose(found[label], values, atol=1e-5)
    mean_and_lowest = weights.table({"mgda": found}).rows[0][1:]
    np.testing.assert_allclose(mean_and_lowest, [(5 + old) / 6, old], atol=1e-5)


PAGE = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\nold\n<!-- end y -->\nc"


def test_only_what_was_measured_is_filled_in():
    page = filled(PAGE, {"x": TABLE, "z": TABLE}, {})
    assert page == PAGE.replace("old", markdown(TABLE), 1)
    assert filled(page, {"x": TABLE}, {}) == page


def _runs(folder):
    stage = Table("stages", stages.COLUMNS, [])
    names = ["forward", "backward, heads", "whole step"]
    rows = [stages.row(name, Stage(1.0, 2.0, 3.0), 2.0, Stage(1.0, 1.0, 1.0)) for name in names]
    kept = {f"stages_{name}": stage._replace(rows=rows) for name in ("equal", "cagrad")}
    for name in ("batch_size", "tracks", "width", "tasks"):
        kept[name] = Table(name, {name: "d", "equal, ms": ".1f"}, [[2, 1.0], [4, 2.0]])
    keep(str(folder / "scaling.json"), kept)
    cosines = {"representation": np.array([0.5, 1.0])}
    keep(str(folder / "weights.json"), {"weights": weights.table({"cagrad": cosines})})
    before = Turn(100, 1.0, 0.1)
    pairs = {"b": [(before, Turn(100, 0.5, 0.0)), (before, Turn(100, 0.25, 0.0))]}
    trained = training_table(pairs, {"a": 10, "b": 10}, batch_size=5)
    keep(str(folder / "training.json"), {"training": trained})


def test_report_fills_in_tables_and_draws(capsys, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "".join(f"<!-- begin {x} -->\n<!-- end {x} -->\n" for x in ("training", "tasks"))
    )
    _runs(tmp_path)
    assert benchmark.main(["report", "--runs", str(tmp_path), "--docs", str(page)]) == 0
    *_, names, plots = capsys.readouterr().out.splitlines()
    assert names.split()[1:] == ["training,", "tasks"]
    assert plots.split()[1:] == ["training,", "stages,", "sizes,", "weights"]
    cells = [re.split(r"[\s|]+", line)[1:-1] for line in page.read_text().splitlines()]
    assert ["b", "10", "300", "200", "400", "3.000", "2.000", "4.000", "0.00%"] in cells
    assert re.findall(r"\]\((.*?)\)", page.read_text()) == [
        "page/training.png",
        "page/sizes.png",
    ]
    for name in ("training", "stages", "sizes", "weights"):
        assert (tmp_path / "page" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_page_has_a_place_for_every_table():
    with open("docs/performance.md") as page:
        names = {name for _, name, _ in MARKS.findall(page.read())}
    assert {name for part in PARTS.values() for name in part} | {"weights", "training"} == names


BAD = [
    (
        ["scaling", "--parts", "size"],
        r"no part is called 'size'; .*there are: arithmetic, batch_size, ",
    ),
    (["scaling", "--steps", "0"], r"`--steps` must be at least 1; got 0"),
    (["weights", "--steps", "50"], r"`--steps` must be at least 51; got 50"),
    (["weights", "--methods", "equall"], r"no method is called 'equall'; did you mean `equal`\?"),
    (["weights", "--methods", "equal"], r"`--methods`: equal finds no weights from a Gramian"),
    (["report", "--docs", "none.md"], r"none\.md: no such file"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=range(len(BAD)))
def test_wrong_input_is_one_line_and_exit_code_2(options, message, capsys):
    assert benchmark.main(options) == 2
    error = capsys.readouterr().err
    assert re.match(rf"error: .*{message}", error) and error.count("\n") == 1
