"""The benchmarks run; their numbers are not looked at."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import h5py
import jax
import numpy as np
import pytest

import benchmark
from benchmarks.aggregators import split
from benchmarks.command_line import NAMES, parse
from benchmarks.data import copy_plain
from benchmarks.export import tiny
from benchmarks.made import SAMPLE, load
from benchmarks.peer_process import peer, salt_settings
from benchmarks.settings import SALT
from benchmarks.tables import Table, keep, text
from benchmarks.training import table, theirs
from benchmarks.turns import Turn, rounds
from maskformer_jax.build import build
from maskformer_jax.errors import InputError


def test_table_is_aligned_and_none_is_a_dash():
    columns, rows = {"name": "", "ms": ".1f", "share": ".0%"}, [["a", 12.34, 0.5], ["bb", 1, None]]
    lines = ["Title", "name      ms    share", "a       12.3      50%", "bb       1.0        -"]
    assert text(Table("Title", columns, rows, ["note"])).splitlines() == [*lines, "note"]


def test_tables_are_kept_beside_others(tmp_path):
    path = tmp_path / "made" / "tables.json"
    table = Table("Title", {"name": ""}, [["a"]], ["note"], raw={"a": [1.0]})
    keep(str(path), {"a": table, "b": table})
    keep(str(path), {"b": table._replace(title="later")})
    found = json.loads(path.read_text())
    assert found["a"].items() >= table._asdict().items() and found["a"]["device"] == "cpu"
    assert found["b"]["title"] == "later" and list(found) == ["a", "b"]


def test_first_round_is_not_counted():
    times = iter([100.0, 1.0, 3.0, 2.0])
    assert rounds({"a": lambda: next(times)}, 3) == {"a": [1.0, 3.0, 2.0]}


@pytest.mark.parametrize("model", ["quickstart", "dl1"])
def test_data_prints_one_line_per_file(model, capsys, jets):
    options = ["--model", model, "--file", str(jets), "--jets", "20", "--batch_size", "10"]
    assert benchmark.main(["data", *options, "--repeats", "1", "--output", ""]) == 0
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert re.split("  +", head) == ["file", "reading", "batches", "of reading"]
    cells = [re.split("  +", line) for line in lines]
    assert [row[0] for row in cells] == ["jets.h5", "uncompressed copy"]
    assert all(float(rate.replace(",", "")) > 0 for row in cells for rate in row[1:])


def test_missing_file_is_one_line_and_exit_code_2(capsys, tmp_path):
    options = ["--model", "quickstart", "--file", str(tmp_path / "none.h5")]
    assert benchmark.main(["data", *options]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.h5'}: no such file\n"


@pytest.fixture
def jets(tmp_path):
    """A file of the first 60 jets of the sample."""
    return copy_plain(Path(SAMPLE), tmp_path / "jets.h5", 60)


@pytest.fixture
def python(tmp_path):
    """An interpreter that has Salt by its own account, and answers as `salt_process` would."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    program = """\
        #!INTERPRETER
        import json, sys
        if sys.argv[1:] != ["-m", "benchmarks.salt_process"]:
            sys.exit(sys.argv[1:] != ["-c", "import salt, torchjd, pandas"])
        answers = {
            "read": None,
            "next": 0.5,
            "train": 1000,
            "turn": [20, 0.5, 0.01],
        }
        for line in sys.stdin:
            print(json.dumps(answers[json.loads(line)[0]]), flush=True)
    """
    path.write_text(textwrap.dedent(program).replace("INTERPRETER", sys.executable))
    path.chmod(0o755)
    return path


def test_data_reads_in_turn_with_salt(capsys, jets, python):
    options = ["--file", str(jets), "--jets", "40", "--batch_size", "20", "--repeats", "2"]
    options += ["--model", "quickstart", "--peers", "--peer_python", str(python), "--output", ""]
    assert benchmark.main(["data", *options]) == 0
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert re.split("  +", head)[4:] == ["Salt", "to Salt", "least", "most"]
    cells = [re.split("  +", line) for line in lines]
    assert [row[0] for row in cells] == ["jets.h5", "uncompressed copy"]
    # Five passes of two batches in half a second.
    assert all(row[4] == "400" for row in cells)


def test_plain_copy_has_the_first_jets_uncompressed(jets, tmp_path):
    with h5py.File(tmp_path / "packed.h5", "w") as packed, h5py.File(jets) as source:
        for name, values in source.items():
            packed.create_dataset(name, data=values[:], compression="gzip", chunks=True)
            packed[name].attrs["unit"] = "MeV"
    path = copy_plain(tmp_path / "packed.h5", tmp_path / "plain.h5", 40)
    with h5py.File(path) as plain, h5py.File(jets) as source:
        assert set(plain) == set(source)
        for name, values in plain.items():
            assert values.chunks is None and dict(values.attrs) == {"unit": "MeV"}
            assert values[:].tobytes() == source[name][:40].tobytes()


@pytest.fixture
def fake_trainer(monkeypatch):
    """A training that does nothing, quickly."""
    trainer = SimpleNamespace(
        state=SimpleNamespace(params=np.zeros(1234), finite=True),
        step=lambda state, *_: (state, None),
    )
    monkeypatch.setattr("benchmarks.made.loop.build", lambda *_, spread: trainer)
    return trainer


@pytest.mark.parametrize("model", ["quickstart", "gn2"])
def test_training_takes_turns_with_salt(model, capsys, fake_trainer, jets, python, tmp_path):
    output = tmp_path / "made" / "training.json"
    options = ["--model", model, "--file", str(jets), "--methods", "equal"]
    options += ["--batch_size", "25", "--repeats", "2", "--steps", "2", "--output", str(output)]
    options += ["--peers", "--peer_python", str(python)]
    assert benchmark.main(["training", *options]) == 0
    title, head, *lines = capsys.readouterr().out.splitlines()
    assert title == "Training on batches of 25 jets"
    assert re.split("  +", head)[2:6] == ["jets/s", "least", "most", "to Salt"]
    cells = [re.split("  +", line)[:2] for line in lines]
    assert cells == [*([label, "1,000"] for label in SALT), ["equal", "1,234"]]
    found = json.loads(output.read_text())["training"]["raw"]
    # Batches of 25, 25 and 10 jets, the first two of which are not measured.
    assert [jets for _, (jets, *_) in found["equal"]] == [35, 35]
    assert [before for before, _ in found["equal"]] == 2 * [[20, 0.5, 0.01]]


def test_training_that_is_not_finite_is_no_result(capsys, fake_trainer, jets, tmp_path):
    fake_trainer.state.finite = False
    options = ["--file", str(jets), "--methods", "equal", "--output", str(tmp_path / "a.json")]
    assert benchmark.main(["training", "--model", "quickstart", *options]) == 2
    assert capsys.readouterr().err == "error: equal: a loss or gradient was not finite\n"


def test_a_training_is_divided_by_the_turn_before_it():
    slow, fast = Turn(100, 2.0, 0.1), Turn(100, 1.0, 0.1)
    turns = [Turn(100, 0.5, 0.0), Turn(100, 0.5, 0.0), Turn(50, 0.5, 0.15)]
    pairs = {"equal": list(zip([slow, fast, slow], turns, strict=True))}
    found = table(pairs, {"Salt": 7, "equal": 1000}, 100)
    *_, salt, equal = text(found).splitlines()
    assert salt.split() == ["Salt", "7", "50", "50", "100", "-", "-", "-", "6.00%"]
    expected = ["equal", "1,000", "200", "100", "200", "2.000", "2.000", "4.000", "10.00%"]
    assert equal.split() == expected


FAILING = {
    r"ended with code 3: no such thing": "sys.exit(print('no such thing', file=sys.stderr) or 3)",
    r"read .*jets\.h5: E: why": """input(); print('{"failed": "E: why"}')""",
}


@pytest.mark.parametrize("message", FAILING)
def test_a_peer_that_fails_says_why(message, tmp_path):
    path = tmp_path / "python"
    program = f"import sys\nif sys.argv[1] == '-m':\n    {FAILING[message]}"
    path.write_text(f"#!{sys.executable}\n{program}\n")
    path.chmod(0o755)
    expected = pytest.raises(InputError, match=rf"^salt_process: .*{message}$")
    with expected, peer(str(path), "salt_process") as ask:
        ask("read", "jets.h5")


def test_aggregators_print_a_table_and_write_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.0, 0.0))
    output = tmp_path / "made" / "aggregators.json"
    options = ["--tasks", "3", "--parameters", "60000", "--methods", "imtl_g", "--repeats", "2"]
    assert benchmark.main(["aggregators", *options, "--output", str(output)]) == 0
    title, head, *lines, note = capsys.readouterr().out.splitlines()
    assert re.match(r"100.0 programs wanted the \d+ cores at the start", note)
    assert title == "3 tasks, 60,000 parameters"
    assert head.split()[:5] == ["method", "ms", "least", "most", "/equal"]
    assert [line.split()[0] for line in lines] == ["equal", "imtl_g"]
    rows = json.loads(output.read_text())["aggregators_3"]["rows"]
    assert rows[0][4] == 1.0 and min(rows[1][1:5]) > 0


def test_salt_is_told_which_network_it_is():
    told = {name: salt_settings(load(name, file=SAMPLE)) for name in ("maskformer_small", "gn2")}
    assert [x["network"] for x in told.values()] == ["MaskFormer", "GN2"]
    assert told["gn2"]["jet_classes"] == ["bjets", "cjets", "ujets", "taujets"]
    assert told["maskformer_small"]["embed_dim"] == 128
    with pytest.raises(InputError, match=r"on tracks, as .*; got 'DIPS'"):
        salt_settings(load("dips", file=SAMPLE))


def test_salt_trains_on_our_device_in_our_type():
    asked = []
    theirs(
        lambda *x: asked.append(x) or 7, load("gn2", "--model.compute_dtype=bfloat16", file=SAMPLE)
    )
    assert [x[:2] for x in asked] == [("train", label) for label in SALT]
    assert {(x["device"], x["dtype"]) for *_, x in asked} == {("cpu", "bfloat16")}


@pytest.mark.parametrize("model", ["maskformer", "dl1", "dips"])
def test_a_tiny_training_has_all_losses_of_its_model(model):
    made = tiny(model, SAMPLE, "equal")
    batch, labels = made.batch()
    assert made.model.losses == build(load(model)).losses
    assert int(batch.jet_valid.sum()) == 8 and set(labels) == set(made.model.schema.labels)


def test_method_that_can_not_take_so_few_tasks_is_left_out(capsys, tmp_path):
    options = ["--tasks", "2", "--parameters", "9", "--methods", "krum", "--repeats", "1"]
    assert benchmark.main(["aggregators", *options, "--output", str(tmp_path / "a.json")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("krum left out: `")


def test_toy_prints_who_finds_the_front_and_draws_it(capsys, tmp_path):
    output = tmp_path / "made" / "toy.png"
    options = ["--methods", "equal", "trimmed_mean", "--steps", "500", "--picture", str(output)]
    assert benchmark.main(["toy", *options, "--output", ""]) == 0
    _, head, *lines = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "method on the front distances from it at the end"
    assert lines[0].split()[:4] == ["equal", "0", "of", "5"]
    assert lines[1].startswith("trimmed_mean left out: `trim` must")
    assert output.read_bytes().startswith(b"\x89PNG")


def test_export_lowers_a_step_for_every_platform_and_runs_it(capsys):
    words = ["export", "--model", "dips", "--methods", "uw", "--networks", "dl1", "--repeats", "1"]
    assert benchmark.main([*words, "--output", ""]) == 0
    *speeds, title, head, line = capsys.readouterr().out.splitlines()
    assert speeds[2].split()[0] == "dl1" and len(speeds[2].split()) == 6
    assert title == "Steps lowered for cpu, cuda, tpu, saved, loaded and run"
    assert head.split() == ["method", "kB", "difference"]
    name, _, difference = line.split()
    assert name == "uw" and float(difference) < 1e-5


UNKNOWN = r"no method is called 'equall'; did you mean `equal`\?"
BAD = [
    *(
        ([part, "--methods", "equall"], UNKNOWN)
        for part in ("aggregators", "toy", "export", "training")
    ),
    (["training", "--model", "gn"], r"no model is called 'gn'; did you mean `gn2`\?"),
    (["aggregators", "--tasks", "2", "0"], r"`--tasks` must be at least 1; got \[2, 0\]"),
    (["aggregators", "--parameters", "0"], r"`--parameters` must be at least 1; got 0"),
    (["aggregators", "--repeats", "0"], r"`--repeats` must be at least 1; got 0"),
    (["toy", "--steps", "499"], r"`--steps` must be at least 500; got 499"),
    (
        ["aggregators", "--peers", "--peer_python", "/none/python"],
        r"`--peers`: /none/python can't import quadprog, torch, torchjd; make a Python that can",
    ),
    *(
        (
            [part, "--model", "quickstart", "--peers", "--peer_python", "/none/python"],
            r"`--peers`: /none/python can't import salt, torchjd, pandas; make a Python that can",
        )
        for part in ("data", "training")
    ),
    (
        ["export", "--peers", "--peer_python", "/none/python"],
        r"`--peers`: /none/python can't import salt, torchjd, onnx, pandas; make a Python that can",
    ),
    (
        ["data", "--model", "quickstart", "--jets", "5", "--peers"],
        r"`--jets` must be at least 500, a batch; got 5",
    ),
    (["toy", "--step", "500"], r"unrecognized arguments: --step 500"),
    (["toy", "--steps", "many"], r"argument --steps: invalid int value: 'many'"),
    (["training", "--steps", "0"], r"`--steps` must be at least 1; got 0"),
    (["training", "--model", "no.yaml"], r".*no.yaml"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=range(len(BAD)))
def test_wrong_input_is_one_line_and_exit_code_2(options, message, capsys):
    assert benchmark.main(options) == 2
    error = capsys.readouterr().err
    assert re.match(rf"error: .*{message}", error) and error.count("\n") == 1


def test_help_needs_no_more_than_the_core():
    """What a part needs is imported with it alone, and said in a line where it is not there."""
    code = "import sys; sys.modules['flax'] = None; from benchmark import main; "
    command = [sys.executable, "-c", code + "main(['data']); main(['--help'])"]
    done = subprocess.run(
        command, cwd=Path(benchmark.__file__).parent, capture_output=True, text=True
    )
    assert done.returncode == 0 and "{data,training,gpu" in done.stdout
    assert done.stderr.startswith("error: `data` needs flax, which is missing; pip")


def test_every_option_has_a_meaning_and_the_type_of_its_argument(capsys):
    for part in NAMES:
        with pytest.raises(SystemExit, match="0"):
            parse([part, "--help"], "description")
    assert "--networks NETWORKS" in capsys.readouterr().out
    given = parse(["aggregators", "--tasks", "2", "4", "--methods", "mgda", "--peers"], "")
    assert given["tasks"] == [2, 4] and given["methods"] == ["mgda"] and given["peers"] is True
    assert given["output"] == "runs/aggregators.json" and given["repeats"] == 15


def test_leaves_hold_every_number_once():
    matrix = np.arange(2.0 * 60_000, dtype=np.float32).reshape(2, 60_000)
    leaves = jax.tree.leaves(split(matrix))
    assert [leaf.shape for leaf in leaves[:2]] == [(2, 128, 128), (2, 128)]
    np.testing.assert_array_equal(np.concatenate([x.reshape(2, -1) for x in leaves], 1), matrix)
