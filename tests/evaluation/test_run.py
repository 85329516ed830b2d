import importlib.util
import math
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from maskformer_jax.data import NORMALISATION_FILE
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import run as run_module
from maskformer_jax.evaluation.comparison import evaluate_runs
from maskformer_jax.evaluation.result_files import read_results
from maskformer_jax.evaluation.run import WRITES
from maskformer_jax.files import held
from maskformer_jax.training.run_folder import BASELINE_FILE, complete

SIGNIFICANCES = ["IP3D_signed_d0_significance", "IP3D_signed_z0_significance"]
SCRIPT = Path(__file__).parents[2] / "evaluate.py"
PICTURES = {"roc_b.png", "discriminant_b_Tagger.png", "discriminant_b_baseline.png"}


JETS_ALONE = """
data: {block_size: 50, jets: {inputs: [pt, eta]}}
model: {embed_dim: 8, num_heads: 1, head_widths: [8], encoder: {layers: 0}}
tasks: {jet_class: {kind: classification, label: flavour}}
training: {batch_size: 20}
"""


def evaluate(run, *arguments):
    return evaluate_runs([run], *arguments)


@pytest.fixture(scope="module")
def output(run, test_path, tmp_path_factory):
    """Folder with the results of the test file, the report, and the datasets."""
    folder = tmp_path_factory.mktemp("results") / "new"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    report = evaluate(run, test_path, folder)
    # A run that can only be read is evaluated too.
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    with h5py.File(folder / "predictions.h5") as file:
        datasets = {name: file[name][:] for name in file}
    return folder, report, datasets


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Keeps the results instead of drawing them, which takes its time; `output` does draw."""
    results = []
    monkeypatch.setattr(run_module, "draw_plots", lambda new, folder, look: results.extend(new))
    return results


@pytest.fixture
def main():
    """The `main` of the script."""
    spec = importlib.util.spec_from_file_location("evaluate_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def b_tagging(folder):
    return read_results(folder, "run").table("tagging", "jet_class", "b_tagging")


def test_folder_holds_the_results_and_nothing_half_written(output):
    folder, report, _ = output
    names = {path.name for path in folder.iterdir()}
    assert names >= PICTURES | {"predictions.h5", "metrics.json", "curves.json"}
    assert names >= {f"tables.{suffix}" for suffix in ("md", "csv", "tex", "html")}
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in PICTURES)
    assert report.startswith("60 jets\n") and "b-tagging, D_b with f_c = 0.1" in report


def test_jets_are_those_of_the_file_in_its_order(output, test_path):
    with h5py.File(test_path) as file:
        for name in ("jets", "tracks", "truth_hadrons"):
            for field in file[name].dtype.names:
                written = (
                    output[2][name][field][:, : file[name].shape[-1]]
                    if file[name].ndim > 1
                    else output[2][name][field]
                )
                np.testing.assert_array_equal(written, file[name][field])


def test_probabilities_are_normalised(output):
    jets, tracks, hadrons = (output[2][name] for name in ("jets", "tracks", "truth_hadrons"))
    np.testing.assert_allclose(sum(jets[f"Tagger_p{c}"] for c in "bcu"), 1, rtol=1e-5)
    objects = sum(hadrons[f"Tagger_p{c}"] for c in ("b", "c", "null"))
    np.testing.assert_allclose(objects, 1, rtol=1e-5)
    origins = [n for n in tracks.dtype.names if n.startswith("Tagger_p")]
    total = sum(tracks[name] for name in origins)
    kept = np.isfinite(total)
    np.testing.assert_allclose(total[kept], 1, rtol=1e-5)
    assert len(origins) == 8 and kept.sum() == np.minimum(tracks["valid"].sum(axis=1), 6).sum()


def test_metrics_agree_with_the_predictions(output):
    folder, _, datasets = output
    result = read_results(folder, "run")
    jets, hadrons = datasets["jets"], datasets["truth_hadrons"]
    prob = np.stack([jets[f"Tagger_p{c}"] for c in "bcu"], axis=1)
    right = prob.argmax(axis=1) == jets["flavour_label"]
    numbers = result.table("tagging", "jet_class", "flavour")
    assert numbers.get("all", "accuracy").value == pytest.approx(100 * right.mean())
    assert [numbers.get(row, "jets").value for row in numbers.rows] == [20, 20, 20, 60, 0]
    score = np.log(prob[:, 0] / (0.1 * prob[:, 1] + 0.9 * prob[:, 2]))
    cut = np.sort(score[jets["flavour_label"] == 0])[20 - 14]
    light = np.mean(score[jets["flavour_label"] == 2] >= cut)
    assert b_tagging(folder).get("0.7", "ujets").value == pytest.approx(1 / light)
    prob = np.stack([hadrons[f"Tagger_p{c}"] for c in ("b", "c", "null")], axis=-1)
    right = prob.argmax(axis=-1) == hadrons["class_label"]
    overall = result.table("objects", "hadrons", "hadrons").get("overall_accuracy", "share")
    assert overall.value == pytest.approx(100 * right.mean())
    found = hadrons["valid"] & (hadrons["Tagger_pnull"] < 0.5)
    residual = (hadrons["deta"] - hadrons["Tagger_deta"])[found]
    moments = result.table("regression", "hadrons", "residual_moments")
    assert moments.get("deta", "number").value == np.sum(found & (hadrons["deta"] != 0))
    if found.any():
        mean = moments.get("deta_absolute", "mean").value
        assert mean == pytest.approx(residual.mean(), rel=1e-3)


def test_true_masks_and_labels_follow_the_hadrons(output):
    tracks, hadrons, masks = (
        output[2][name] for name in ("tracks", "truth_hadrons", "object_masks")
    )
    kept = np.isfinite(tracks["Tagger_pFake"])
    truth = tracks["ftagTruthParentBarcode"][:, None] == hadrons["barcode"][:, :, None]
    truth &= hadrons["valid"][:, :, None] & kept[:, None]
    np.testing.assert_array_equal(masks["truth_mask"], truth)
    expected = np.where(hadrons["valid"], np.where(hadrons["flavour"] == 5, 0, 1), 2)
    np.testing.assert_array_equal(hadrons["class_label"], expected)


def test_predictions_do_not_depend_on_the_batch_size(run, test_path, output, tmp_path):
    evaluate(run, test_path, tmp_path, ["--evaluation.batch_size=17"])
    with h5py.File(tmp_path / "predictions.h5") as file:
        for name, expected in output[2].items():
            for field in expected.dtype.names:
                np.testing.assert_allclose(
                    file[name][field], expected[field], rtol=2e-4, atol=2e-5, err_msg=field
                )


def test_what_is_compared_has_an_error_or_is_a_limit(output):
    result = read_results(output[0], "run")
    tables = [
        table for tasks in result.sections.values() for p in tasks.values() for table in p.tables
    ]
    compared = [table.cells[row][column] for table in tables for column, row in table.compared()]
    assert len(compared) > 30 and any(found.is_limit for found in compared)
    assert all(found.is_limit or math.isfinite(found.error) for found in compared)


def test_the_first_jets_alone(run, test_path, output, tmp_path):
    report = evaluate(run, test_path, tmp_path / "out", ["--evaluation.max_jets=1"])
    assert report.startswith("1 jet\n") and "1 jet written to" in report
    paths = (folder / "predictions.h5" for folder in (output[0], tmp_path / "out"))
    with h5py.File(next(paths)) as all_jets, h5py.File(next(paths)) as one:
        assert len(one["jets"]) == 1 and len(all_jets["jets"]) > 1
        assert one["jets"]["eta"][0] == all_jets["jets"]["eta"][0]


def test_file_without_truth_gives_predictions_only(run, make_tables, write_tables, tmp_path):
    tables = make_tables()
    del tables["truth_hadrons"]
    for name, kept in (("jets", ["pt", "eta"]), ("tracks", ["d0", *SIGNIFICANCES, "valid"])):
        tables[name] = tables[name][kept]
    report = evaluate(run, write_tables(tables), tmp_path / "out")
    assert ": predictions only" in report
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.h5"]


def test_each_label_that_is_missing_costs_what_needs_it(run, make_tables, write_tables, tmp_path):
    """Without the pT of the hadrons: no residuals; they are matched by classes and masks."""
    tables = make_tables()
    fields = [name for name in tables["truth_hadrons"].dtype.names if name != "pt"]
    tables["truth_hadrons"] = tables["truth_hadrons"][fields]
    report = evaluate(run, write_tables(tables), tmp_path / "out")
    sentence = "left out with all that needs it: hadrons.regression (no field"
    words = " ".join(report.split())
    assert words.index(sentence) < words.index("Jets by flavour")
    for suffix in ("md", "csv", "tex", "html"):
        assert sentence in (tmp_path / "out" / f"tables.{suffix}").read_text()
    result = read_results(tmp_path / "out", "run")
    assert any(f"{sentence} `pt` of `" in line for line in result.left_out)
    assert list(result.sections) == ["tagging", "vertexing", "constituents", "objects"]
    vertices = result.table("vertexing", "hadrons", "vertices_exclusive")
    assert vertices.get("bjets", "true").value > 5
    assert result.table("objects", "hadrons", "hadrons").get("efficiency", "of").value > 5


def test_other_tasks_are_evaluated_alike(edges_run, test_path, tmp_path):
    """Two classes of jets, vertices of edges and two regressions, without objects."""
    options = ["--evaluation.display.first=1", "--evaluation.salt_names=true"]
    report = evaluate(edges_run, test_path, tmp_path, options)
    result = read_results(tmp_path, "run")
    assert {name: list(tasks) for name, tasks in result.sections.items()} == {
        "tagging": ["jet_class", "charm"],
        "vertexing": ["vertexing"],
        "constituents": ["track_origin"],
        "regression": ["energy", "size"],
    }
    assert "no event display: no task finds objects with classes and masks" in report
    vertices = result.table("vertexing", "vertexing", "vertices_exclusive")
    assert vertices.get("bjets", "true").value > 5
    with h5py.File(tmp_path / "predictions.h5") as file:
        jets, tracks = file["jets"][:], file["tracks"][:]
    assert jets.dtype.names[-7:] == (
        *("Tagger_jet_class_pb", "Tagger_jet_class_pc", "Tagger_jet_class_pu"),
        *("Tagger_charm_pcharm", "Tagger_charm_pother", "Tagger_pt", "Tagger_pt_stddev"),
    )
    names = ("Tagger_aux_TrackOrigin", "Tagger_aux_VertexIndex", "Tagger_d0", "VertexIndex")
    assert tracks.dtype.names[-4:] == names
    kept = np.isfinite(tracks["Tagger_d0"])
    np.testing.assert_array_equal(tracks["Tagger_aux_VertexIndex"] >= 0, kept)
    np.testing.assert_array_equal(tracks["VertexIndex"], tracks["Tagger_aux_VertexIndex"])
    # Classes of tracks are written by their value in the file, here their place.
    best = [tracks[name] for name in tracks.dtype.names if name.startswith("Tagger_p")]
    likeliest = np.where(kept, np.argmax(np.where(kept, best, 0), axis=0), -1)
    np.testing.assert_array_equal(tracks["Tagger_aux_TrackOrigin"], likeliest)


def test_jets_alone_are_evaluated(make_configs, make_run, test_path, tmp_path):
    overlay = f"base: {SCRIPT.parent}/configs/data/atlas_jets.yaml\nname: Alone\n" + JETS_ALONE
    config = make_configs(overlay, alone=True)
    report = evaluate(make_run(config), test_path, tmp_path)
    assert report.startswith("60 jets\n") and "b-tagging, D_b with f_c = 0.1" in report
    assert list(read_results(tmp_path, "run").sections) == ["tagging"]
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert list(file) == ["jets"]


def test_unlabelled_jets_are_predicted_but_not_judged(
    run, make_tables, write_tables, tmp_path, drawn
):
    tables = make_tables()
    tables["jets"]["flavour_label"][:6] = -1
    evaluate(run, write_tables(tables), tmp_path / "out")
    numbers = read_results(tmp_path / "out", "run").table("tagging", "jet_class", "flavour")
    assert [numbers.get(row, "jets").value for row in numbers.rows] == [18, 18, 18, 54, 6]
    curves = drawn[0].sections["tagging"]["jet_class"].curves
    histograms = [curve.points.value for curve in curves if curve.figure == "discriminant_b"]
    assert [values.sum() for values in histograms] == [18, 18, 18]
    with h5py.File(tmp_path / "out" / "predictions.h5") as file:
        assert np.isfinite(file["jets"]["Tagger_pb"]).all() and len(file["jets"]) == 60


def test_file_without_b_jets_has_no_rejections_and_no_curves(
    run, make_tables, write_tables, tmp_path, drawn
):
    tables = make_tables()
    tables["jets"]["flavour_label"][::3] = 2
    assert "no b jets" in evaluate(run, write_tables(tables), tmp_path / "out")
    figures = {curve.figure for curve in drawn[0].sections["tagging"]["jet_class"].curves}
    assert not any(figure.startswith("roc_b") for figure in figures)


def test_run_without_templates_is_evaluated_without_the_baseline(run, config, test_path, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / BASELINE_FILE).unlink()
    complete(tmp_path / "run", config, {})
    evaluate(tmp_path / "run", test_path)
    table = b_tagging(tmp_path / "run" / "evaluation")
    assert list(table.columns) == ["obtained", "cut", "ujets", "cjets"]


def test_options_reach_the_evaluation(main, run, test_path, tmp_path, capsys):
    arguments = ["--run", str(run), "--test_file", str(test_path), "--output_dir", str(tmp_path)]
    arguments += ["--evaluation.discriminants.b.backgrounds", "{cjets: 0.3, ujets: 0.7}"]
    arguments += ["--evaluation.discriminants.b.working_points", "[0.5]"]
    arguments += ["--evaluation.display.jets", "[3]", "--evaluation.fields.track_deta", "d0"]
    arguments += ["--evaluation.fields.track_dphi", "d0"]
    assert main(arguments) == 0
    found = b_tagging(tmp_path)
    assert "f_c = 0.3" in found.title and list(found.rows) == ["0.5"]
    assert "f_c = 0.3" in capsys.readouterr().out
    assert (tmp_path / "event_3.png").stat().st_size > 10_000


def test_a_missing_jet_pt_is_said(run, test_path, tmp_path, output):
    assert "the jets have no field `pt_btagJes`, so curves against pT are empty" in output[1]
    there = output[2]["jets"].dtype.names[0]
    report = evaluate(run, test_path, tmp_path, [f"--evaluation.fields.jet_pt={there}"])
    assert "curves against pT" not in report


def test_jets_without_tracks_are_said(run, make_tables, write_tables, tmp_path, capsys):
    tables, out = make_tables(), tmp_path / "out"
    tables["tracks"]["valid"] = False
    evaluate(run, write_tables(tables), out)
    assert "jets.h5: no tracks\n" in capsys.readouterr().err
    assert (out / "tables.md").is_file()


def test_results_of_another_file_are_not_replaced(
    main, run, test_path, make_tables, write_tables, tmp_path, capsys
):
    arguments = ["--run", str(run), "--output_dir", str(tmp_path / "out"), "--label", "L"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text('{"test_file": "/data/other.h5"}')
    assert main([*arguments, "--test_file", str(test_path)]) == 2
    error = capsys.readouterr().err
    assert "out holds the results of /data/other.h5; choose another --output_dir" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metrics.json"]
    for kept in ("{}", "damaged"):
        (tmp_path / "out" / "metrics.json").write_text(kept)
        run_module.check_free(tmp_path / "out" / "metrics.json", test_path)


def damage_config(run):
    (run / "config.yaml").write_text("data: [")


def unknown_key(run):
    (run / "config.yaml").write_text("modell:\n  embed_dim: 3\n")


def damage_normalisation(run):
    (run / NORMALISATION_FILE).write_text("jets: 3\n")


def remove_checkpoints(run):
    shutil.rmtree(run / "checkpoints")


def remove_config(run):
    (run / "config.yaml").unlink()


def damage_baseline(run):
    (run / BASELINE_FILE).write_bytes(b"PK")


def other_model(run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("embed_dim: 8", "embed_dim: 12"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_config, "config.yaml"),
        (unknown_key, "config.yaml is damaged or was edited"),
        (damage_normalisation, NORMALISATION_FILE),
        (remove_checkpoints, "no checkpoint"),
        (remove_config, "config.yaml: no such file"),
        (damage_baseline, BASELINE_FILE),
        (other_model, "config.yaml is damaged or was edited"),
        (shutil.rmtree, "no such file or folder"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damaged_run_is_one_line_and_exit_code_2(
    main, run, test_path, tmp_path, capsys, damage, message
):
    shutil.copytree(run, tmp_path / "run")
    damage(tmp_path / "run")
    code = main(["--run", str(tmp_path / "run"), "--test_file", str(test_path)])
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1 and message in error[0]
    assert not (tmp_path / "run" / "evaluation").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--test_file", "nowhere.h5", "nowhere.h5: no such file"),
        ("--test_file", str(SCRIPT), "not a readable HDF5 file"),
        ("--evaluation.discriminants.b.backgrounds", "{cjets: 2}", "fractions that add up to 1"),
        ("--charm_fraction", "0.1", "charm_fraction"),
        ("--evaluation.working_point", "[0.5]", "working_point"),
        ("--output_dir", str(SCRIPT), "cannot be written"),
        ("--label", r"loss $\foo$", "Unknown symbol"),
        ("--evaluation.display.jets", "[60]", "must be below 60"),
        ("--evaluation.display.jets", "[-1]", "must be rows, counted from 0"),
        ("--evaluation.display.jets", "[0]", "have no field `deta`, which an event display needs"),
    ],
)
def test_wrong_option_is_one_line_and_exit_code_2(
    main, run, test_path, tmp_path, capsys, option, value, message
):
    options = {"--run": run, "--test_file": test_path, "--output_dir": tmp_path / "out"}
    options[option] = value
    code = main([str(x) for pair in options.items() for x in pair])
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(error) == 1 and message in error[0]
    assert not (tmp_path / "out").exists()


def test_two_evaluations_into_a_folder_exclude_each_other_but_not_a_training(
    run, test_path, tmp_path, monkeypatch
):
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.setattr(run_module, "write_predictions", lambda *arguments: 1 / 0)
    with held(tmp_path / "run", "trains in"), held(tmp_path / "out", WRITES):
        with pytest.raises(InputError, match=r"another process writes results to .*out; choose"):
            evaluate(tmp_path / "run", test_path, tmp_path / "out")
        with pytest.raises(ZeroDivisionError):
            evaluate(tmp_path / "run", test_path)
    assert not (tmp_path / "out").exists()


def test_links_in_a_run_or_among_results_are_not_followed(run, test_path, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "outside").mkdir()
    monkeypatch.setattr(run_module, "write_predictions", lambda *arguments: 1 / 0)
    for name in ("evaluation", "out/metrics.json"):
        path = tmp_path / "run" / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(tmp_path / "outside")
        with pytest.raises(InputError, match=f"{name} is a symbolic link"):
            evaluate(tmp_path / "run", test_path, None if name == "evaluation" else path.parent)
    assert not list((tmp_path / "outside").iterdir())


def test_test_file_without_a_field_of_the_baseline(main, run, make_tables, write_tables, capsys):
    tables = make_tables()
    tables["tracks"] = tables["tracks"][["d0", "valid"]]
    code = main(["--run", str(run), "--test_file", str(write_tables(tables))])
    error = capsys.readouterr().err
    assert code == 2 and "no field `IP3D_signed_d0_significance`" in error


def test_script_runs_as_a_program(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "--run", tmp_path / "none", "--test_file", "x.h5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "no such file or folder" in result.stderr
