import json
import math
import shutil
from pathlib import Path

import pytest

from maskformer_jax import config as configuration
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import comparison as comparison_module
from maskformer_jax.evaluation import run as run_module
from maskformer_jax.evaluation.comparison import compare, evaluate_runs, run_names
from maskformer_jax.evaluation.comparison_report import change, comparison
from maskformer_jax.evaluation.results import Results
from maskformer_jax.evaluation.run import Evaluated
from maskformer_jax.evaluation.trained import Trained, load_config


@pytest.fixture
def other(run, tmp_path):
    """A copy of the run."""
    return Path(shutil.copytree(run, tmp_path / "other"))


def test_runs_are_evaluated_and_put_side_by_side(run, other, test_path, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(run_module, "draw_plots", lambda results, folder: None)
    monkeypatch.setattr(
        comparison_module,
        "draw_plots",
        lambda results, folder: drawn.update({folder: [r.label for r in results]}),
    )
    report = evaluate_runs([run, other], test_path, tmp_path / "out", labels=["A", "B"])
    single = {"predictions.h5", "metrics.json", "curves.json", "tables.md"}
    folders = (tmp_path / "out").iterdir()
    assert {folder.name: {path.name for path in folder.iterdir()} for folder in folders} == {
        run.name: single,
        "other": single,
        "comparison": {"comparison.json", "tables.md"},
    }
    assert drawn == {tmp_path / "out" / "comparison": ["A", "B"]}
    content = json.loads((tmp_path / "out" / "comparison" / "comparison.json").read_text())
    assert content["metrics"]["A"]["tagging"] == content["metrics"]["B"]["tagging"]
    assert set(content["changes"]["B"]["jet_class"]["b"]["ujets"].values()) <= {0.0, None}
    assert content["reference"] == "A" and content["test_file"] == str(test_path)
    assert "2 runs, 60 jets" in report and "change of the rejection to A" in report


@pytest.fixture
def evaluated(monkeypatch, read_metrics):
    """What each run was evaluated with, and where its results would have gone."""
    calls = []

    def evaluate_trained(trained, test_file, folder, label):
        calls.append(
            (trained.config.evaluation.discriminants["b"].backgrounds["cjets"], folder, label)
        )
        return Evaluated(Results(label, read_metrics(), {}), "done")

    def load_run(run, overrides):
        return Trained(load_config(run, overrides), None, None, None, None)

    monkeypatch.setattr(comparison_module, "load_run", load_run)
    monkeypatch.setattr(comparison_module, "evaluate_trained", evaluate_trained)
    monkeypatch.setattr(comparison_module, "draw_plots", lambda results, folder: None)
    return calls


def test_options_of_the_evaluation_are_those_of_the_first(run, other, test_path, evaluated):
    path = other / "config.yaml"
    text = path.read_text().replace("cjets: 0.1\n", "cjets: 0.3\n").replace("0.9\n", "0.7\n")
    path.write_text(text)
    compare([other, run], test_path)
    assert evaluated == [
        (0.3, other / "evaluation", "other"),
        (0.3, run / "evaluation", run.name),
    ]
    assert (other / "evaluation" / "comparison" / "comparison.json").exists()
    compare(
        [other, run],
        test_path,
        overrides=["--evaluation.discriminants.b.backgrounds={cjets: 0.5, ujets: 0.5}"],
    )
    assert [fraction for fraction, *_ in evaluated[2:]] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("overlay", "found"),
    [
        ("without: [regression]", r"`tasks.hadrons` is \{\}"),
        ("without: [hadrons]", "`data.labels.hadron_class` is not there"),
        (
            "tasks: {hadrons: {losses: {regression: {targets: {Lxy: {name: identity}}}}}}",
            "`tasks.hadrons` is .*'Lxy': {'name': 'identity'.*",
        ),
        (
            "data: {labels: {flavour: {classes: {bjets: 0, cjets: 1, ujets: 5}}}}",
            r"`data.labels.flavour` is .*5\)\]",
        ),
    ],
)
def test_runs_that_predict_different_things_are_refused(
    overlay, found, run, other, test_path, make_configs, evaluated
):
    configuration.save(make_configs(overlay), other / "config.yaml")
    with pytest.raises(InputError, match=rf"other: {found}, and .* in .*cannot be compared"):
        compare([run, other], test_path)
    assert evaluated == []


@pytest.mark.parametrize(
    ("runs", "labels", "message"),
    [
        (["a", "a/../a"], [], "--run a/../a: this run is given twice"),
        (["a", "b"], ["x"], "--label must be given once for each --run, 2 times"),
        (["a", "b"], ["x", "x"], "--label must differ from run to run; got `x` twice"),
        (["a"], ["x", "y"], "--label must be given once for each --run, 1 times"),
        (["a", "b"], [], "a: no such file or folder"),
    ],
)
def test_wrong_runs_and_labels_are_one_line(runs, labels, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        evaluate_runs(list(map(Path, runs)), Path("test.h5"), labels=labels)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_comparison_of_another_file_is_not_replaced(run, other, test_path, tmp_path, evaluated):
    compare([run, other], test_path, tmp_path)
    with pytest.raises(InputError, match=r"comparison holds the results of .*test.h5; choose"):
        compare([run, other], tmp_path / "else.h5", tmp_path)
    compare([run, other], test_path, tmp_path)


def test_names_are_as_short_as_they_can_be():
    assert run_names([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert run_names([Path("a/seed_0"), Path("a/seed_1")]) == ["seed_0", "seed_1"]
    names = run_names([Path("a/s"), Path("b/s"), Path("b/t")])
    assert names == ["a/s", "b/s", "b/t"]


def test_change_is_in_percent_and_undefined_for_a_limit(read_metrics):
    few, many, none = (
        next(
            iter(
                read_metrics(light_passing=n)["tagging"]["jet_class"]["discriminants"]["b"][
                    "points"
                ].values()
            )
        )["0.7"]
        for n in (5, 10, 0)
    )
    values = [point["rejections"]["ujets"] for point in (few, many, none)]
    assert change(values[0], values[1]) == pytest.approx(100)
    assert change(values[1], values[0]) == pytest.approx(-50)
    assert math.isnan(change(values[2], values[0])) and math.isnan(change(values[0], values[2]))


def test_report_of_several_runs(read_metrics):
    def four_points(values):
        for points in values["tagging"]["jet_class"]["discriminants"]["b"]["points"].values():
            points.update(dict.fromkeys(("0.6", "0.77", "0.85"), points["0.7"]))

    wide = [Results("a name that is much longer", read_metrics(four_points, light_passing=5), {})]
    lines = comparison([*wide, Results("B", read_metrics(four_points), {})]).splitlines()
    assert max(map(len, lines)) <= 100
    results = [
        Results(label, read_metrics(light_passing=n), {})
        for label, n in (("reference", 10), ("a name that is much longer", 5), ("none", 0))
    ]
    text = comparison(results)
    rows = [line.split() for line in text.splitlines()]
    assert ["none", ">", "334"] in rows and ["reference", "100", "+-", "31"] in rows
    # Light jets +100 %, c jets unchanged; a limit has no change.
    assert ["a", "name", "that", "is", "muc", "+100.0", "+0.0"] in rows
    assert ["none", "-", "+0.0"] in rows and "change of the rejection to reference" in text
    assert max(map(len, text.splitlines())) <= 100
