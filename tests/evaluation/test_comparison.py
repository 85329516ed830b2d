import json
import shutil
from pathlib import Path

import pytest
from made_up_results import made_up

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import comparison as comparison_module
from maskformer_jax.evaluation import run as run_module
from maskformer_jax.evaluation.comparison import evaluate_runs, run_names
from maskformer_jax.evaluation.run import Evaluated
from maskformer_jax.evaluation.trained import Trained, load_config
from maskformer_jax.training.run_folder import complete


@pytest.fixture
def other(run, tmp_path):
    """A copy of the run."""
    return Path(shutil.copytree(run, tmp_path / "other"))


def test_runs_are_evaluated_and_put_side_by_side(run, other, test_path, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(run_module, "draw_plots", lambda results, folder, look: None)
    monkeypatch.setattr(
        comparison_module,
        "draw_plots",
        lambda results, folder, look: drawn.update({folder: [r.label for r in results]}),
    )
    report = evaluate_runs([run, other], test_path, tmp_path / "out", labels=["A", "B"])
    tables = {f"tables.{suffix}" for suffix in ("md", "csv", "tex", "html")}
    single = {"predictions.h5", "metrics.json", "curves.json", *tables}
    folders = (tmp_path / "out").iterdir()
    assert {folder.name: {path.name for path in folder.iterdir()} for folder in folders} == {
        run.name: single,
        "other": single,
        "comparison": {"comparison.json", *tables},
    }
    assert drawn == {tmp_path / "out" / "comparison": ["A", "B"]}
    content = json.loads((tmp_path / "out" / "comparison" / "comparison.json").read_text())
    table = {table["name"]: table for table in content["tables"]}["b_tagging"]
    assert table["rows"] == {"0": "A", "1": "B"} and table["cells"]["0"] == table["cells"]["1"]
    assert content["reference"] == "A" and content["test_file"] == str(test_path)
    assert "2 runs, 60 jets; changes are to A" in report and "change of B" in report


@pytest.fixture
def evaluated(monkeypatch):
    """What each run was evaluated with, and where its results would have gone."""
    calls = []

    def evaluate_trained(trained, test_file, folder, label, warn, predict_only):
        assert not predict_only
        # What the test file is like is said with the first of the two runs alone.
        assert warn == (len(calls) % 2 == 0)
        calls.append(
            (trained.config.evaluation.discriminants["b"].backgrounds["cjets"], folder, label)
        )
        return Evaluated(made_up(label), "done")

    def load_run(run, overrides):
        return Trained(load_config(run, overrides), None, None, None, None)

    monkeypatch.setattr(comparison_module, "load_run", load_run)
    monkeypatch.setattr(comparison_module, "evaluate_trained", evaluate_trained)
    monkeypatch.setattr(comparison_module, "draw_plots", lambda results, folder, look: None)
    return calls


def test_options_of_the_evaluation_are_those_of_the_first(
    run, other, test_path, make_configs, evaluated
):
    fractions = "{cjets: 0.3, ujets: 0.7}"
    overlay = f"evaluation: {{discriminants: {{b: {{backgrounds: {fractions}}}}}}}"
    complete(other, make_configs(overlay), {})
    evaluate_runs([other, run], test_path)
    assert evaluated == [
        (0.3, other / "evaluation", "other"),
        (0.3, run / "evaluation", run.name),
    ]
    assert (other / "evaluation" / "comparison" / "comparison.json").exists()
    evaluate_runs(
        [other, run],
        test_path,
        overrides=["--evaluation.discriminants.b.backgrounds={cjets: 0.5, ujets: 0.5}"],
    )
    assert [fraction for fraction, *_ in evaluated[2:]] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("overlay", "found"),
    [
        ("without: [regression]", "`hadrons.regression` is not there"),
        ("without: [hadrons]", "`hadron_class` is not there"),
        (
            "tasks: {hadrons: {losses: {regression: {targets: {Lxy: {name: identity}}}}}}",
            r"`hadrons.regression` is .*\('Lxy', {}\).*",
        ),
        (
            "data: {labels: {flavour: {classes: {bjets: 0, cjets: 1, ujets: 5}}}}",
            r"`flavour` is .*5\)\]",
        ),
    ],
)
def test_runs_that_predict_different_things_are_refused(
    overlay, found, run, other, test_path, make_configs, evaluated
):
    complete(other, make_configs(overlay), {})
    with pytest.raises(InputError, match=rf"other: {found}, and .* in .*cannot be compared"):
        evaluate_runs([run, other], test_path)
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
    evaluate_runs([run, other], test_path, tmp_path)
    (tmp_path / "else.h5").touch()
    with pytest.raises(InputError, match=r"comparison holds the results of .*test.h5; choose"):
        evaluate_runs([run, other], tmp_path / "else.h5", tmp_path)
    evaluate_runs([run, other], test_path, tmp_path)


def test_names_are_as_short_as_they_can_be():
    assert run_names([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert run_names([Path("a/seed_0"), Path("a/seed_1")]) == ["seed_0", "seed_1"]
    names = run_names([Path("a/s"), Path("b/s"), Path("b/t")])
    assert names == ["a/s", "b/s", "b/t"]
