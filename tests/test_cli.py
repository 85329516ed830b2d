"""The command lines: the whole way on the embedded sample, and one line for every mistake."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import jax.numpy as jnp
import nbclient
import nbformat
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample"
sys.path.insert(0, str(ROOT))

import evaluate  # noqa: E402
import maskformer_jax  # noqa: E402
import train  # noqa: E402
from maskformer_jax.__main__ import main as maskformer  # noqa: E402
from maskformer_jax.errors import InputError  # noqa: E402
from maskformer_jax.evaluation import plots as redrawing  # noqa: E402
from maskformer_jax.inference import integrated_gradients  # noqa: E402
from maskformer_jax.program import call_of  # noqa: E402

TINY = f"""
base: {ROOT / "configs" / "maskformer.yaml"}
data: {{block_size: 50, streams: {{tracks: {{cap: 8}}}}}}
model: {{embed_dim: 16, num_heads: 2, encoder: {{layers: 1}}, head_widths: [16]}}
tasks: {{hadrons: {{decoder_layers: 1}}}}
training: {{epochs: 1, batch_size: 50, log_every: 1}}
"""


def cut(source, target, jets):
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name in old:
            new.create_dataset(name, data=old[name][:jets], chunks=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small files and a config in a folder of their own."""
    folder = tmp_path_factory.mktemp("cli")
    for name in ("train", "val", "test"):
        cut(SAMPLE / f"{name}.h5", folder / f"{name}.h5", 120)
    config = yaml.safe_load(TINY)
    for name in ("train", "val"):
        config["data"][f"{name}_file"] = str(folder / f"{name}.h5")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    (folder / "text.h5").write_text("this is not HDF5")
    (folder / "unknown.yaml").write_text("model: {embed_dimension: 8}\n")
    cut(SAMPLE / "train.h5", folder / "other.h5", 119)
    (folder / "begun").mkdir()
    (folder / "begun" / "normalisation.yaml").write_text("half a fi")
    (folder / "occupied").mkdir()
    (folder / "occupied" / "thesis.tex").write_text("precious")
    with h5py.File(folder / "no_tracks.h5", "w") as file, h5py.File(folder / "train.h5") as old:
        file["jets"] = old["jets"][:3]
    cut(folder / "val.h5", folder / "unlabelled.h5", 5)
    cut(folder / "val.h5", folder / "nan.h5", 120)
    with h5py.File(folder / "nan.h5", "r+") as file:
        tracks = file["tracks"][:]
        tracks["d0"][119, 0], tracks["valid"][119, 0] = np.nan, True
        file["tracks"][:] = tracks
    with h5py.File(folder / "unlabelled.h5", "r+") as file:
        jets = file["jets"][:]
        jets["flavour_label"] = -1
        file["jets"][:] = jets
    with h5py.File(folder / "empty.h5", "w") as new, h5py.File(folder / "train.h5") as old:
        for name in old:
            new[name] = old[name][:0]
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """A finished training, made by the real script in a process of its own."""
    done = script("train.py", "--config", folder / "tiny.yaml", f"--output_dir={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "120 jets to train on" in done.stdout and "warning" not in done.stderr
    assert re.search(
        r"flavour: .*tracks per jet; origin known of 100% of .*hadrons per jet, linked to",
        done.stdout,
    )
    assert "total" in done.stdout
    shutil.copytree(folder / "run", folder / "edited")
    config = folder / "edited" / "config.yaml"
    config.write_text(config.read_text().replace("batch_size: 50", "batch_size: 40"))
    assert f"evaluate with: python {ROOT}/evaluate.py --run {folder}/run" in done.stdout
    return folder / "run"


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
        check=False,
    )


@pytest.fixture(scope="module")
def evaluated(run, folder):
    """What the evaluation of the run prints."""
    done = script("evaluate.py", "--run", run, "--test_file", folder / "test.h5")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_whole_way(run, evaluated):
    assert "rejection" in evaluated
    assert json.loads((run / "evaluation" / "metrics.json").read_text())
    with h5py.File(run / "evaluation" / "predictions.h5") as predictions:
        assert len(predictions["jets"]) == 120
        assert np.isfinite(predictions["jets"]["MaskFormer_pb"]).all()
    assert list((run / "evaluation").glob("*.png"))
    expected = {"config.yaml", "normalisation.yaml", "baseline.npz", "manifest.json"}
    assert expected <= {path.name for path in run.iterdir()}


def test_a_finished_run_is_resumed_to_no_effect(run, capsys):
    before = (run / "metrics.jsonl").read_text()
    assert train.main([f"--resume={run}"]) == 0
    assert "3 steps" in capsys.readouterr().out
    assert (run / "metrics.jsonl").read_text() == before


TRAIN_MISTAKES = [
    (["--data.train_file={0}/nothing.h5"], "nothing.h5: no such file"),
    (["--data.val_file={0}/nothing.h5"], "nothing.h5: no such file"),
    (["--data.val_file={0}"], ": a folder, not an HDF5 file"),
    (["--output_dir={0}/text.h5"], "text.h5 is a file, not a folder"),
    (["--data.train_file={0}/text.h5"], "text.h5"),
    (["--data.train_file={0}/no_tracks.h5"], "`tracks`"),
    (["--data.train_file={0}/empty.h5"], "empty.h5"),
    (["--data.val_file={0}/unlabelled.h5"], "no jet is in a class"),
    (["--data.val_file={0}/nan.h5"], "nan.h5: field `d0` of dataset `tracks` is nan in row 119"),
    (["--training.batch_size=1000000"], "`training.batch_size` must be at most the 120 jets of"),
    (["--training.epochs=10000000000"], "`training.epochs` must be at most"),
    (
        ["--tasks.MaskFormer={kind: regression, of: jets, targets: {pb: {}}}"],
        "two tasks predict the field `MaskFormer_pb` of jets",
    ),
    (["--data.train_file=null"], "`data.train_file`"),
    (["--data.val_jets=121"], "`data.val_jets` must be between 1 and the 120 jets"),
    (["--data.train_jets=121"], "`data.train_jets` must be between 1 and the 120 jets"),
    (["--data.train_file={0}/unlabelled.h5"], "unlabelled.h5: no jet is in a class"),
    (
        ["--data.streams.tracks.inputs=[d0, z0SinTheta, deta, dphi, numberOfTRTHits]"],
        "`numberOfTRTHits`",
    ),
    (["--data.norm_file={0}/nothing.yaml"], "nothing.yaml"),
    (["--data.norm_file={0}/tiny.yaml"], "tiny.yaml"),
    (["--config={0}/unknown.yaml"], "embed_dimension"),
    (["--config={0}/nothing.yaml"], "nothing.yaml"),
    (["--model.embed_dim=wide"], "model.embed_dim"),
    (["--model.embed_dim=17"], "`model.embed_dim`"),
    (["--training.speed=9"], "speed"),
    (["--weighting.name=magic"], "`weighting.name` must be one of equal, static"),
    (["--weighting.name=static"], "`weighting.options.weights` must be given"),
    (
        ["--weighting={name: static, options: {weights: {jet_clas: 1}}}"],
        "`weights` names 'jet_clas', which is none of the losses jet_class, track_origin",
    ),
    (["--weighting={name: static, options: {weights: {jet_class: 1}}}"], "a value for every loss"),
    (["--weighting.options.c=1"], "no option `weighting.options.c`"),
    (["--training.monitor=val/luck"], "`training.monitor`"),
    (["--training.devices=50"], "`training.devices`"),
    (["--tasks.jet_class.class_weights=file"], "`data.class_file`"),
    (["--tasks.jet_class.label=flavor"], "did you mean `flavour`?"),
    (["--data.labels.flavour.field=flavor_label"], "(nearest: `flavour_label`)"),
    (["--tasks.a={kind: regression, of: jets, targets: {masss: {}, energie: {}}}"], "`energie`"),
    (["--without=[jet_class, track_origin, hadrons]"], "`tasks` must name at least one task"),
    (["--output_dir={0}/occupied"], "occupied is not empty"),
    (["--output_dir={0}/new[0.1]"], "must have no `[`"),
    (["--output_dir={0}/text.h5/run"], "text.h5/run"),
]


@pytest.mark.parametrize(("more", "message"), TRAIN_MISTAKES)
def test_a_mistake_in_training_is_one_line_and_leaves_nothing(folder, capfd, more, message):
    more = [argument.replace("{0}", str(folder)) for argument in more]
    new = folder / "new"
    arguments = ["--config", str(folder / "tiny.yaml"), f"--output_dir={new}", *more]
    assert train.main(arguments) == 2
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert message in errors[0]
    assert not new.exists()
    assert (folder / "occupied" / "thesis.tex").read_text() == "precious"


def test_a_copy_is_resumed_where_it_lies(run, folder, capsys):
    """With the same jets in files of other names."""
    copy = folder / "copy"
    shutil.copytree(run, copy)
    (copy / "checkpoints").rename(folder / "gone")
    shutil.copy(folder / "train.h5", folder / "moved.h5")
    before = sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*"))
    changed = ["--training.log_every=2", f"--data.train_file={folder / 'moved.h5'}"]
    assert train.main([*changed, "--resume", str(copy)]) == 0
    assert "3 steps" in capsys.readouterr().out
    assert {p.name for p in (copy / "checkpoints" / "last").iterdir()} == {"3"}
    assert sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*")) == before


RESUME_MISTAKES = [
    (["--resume", "{0}/run", "--training.batch_size=25"], "`training.batch_size` can't change"),
    (["--training.seed=3", "--resume", "{0}/run"], "`training.seed` can't change"),
    (["--resume"], "a run folder"),
    (["--resume", "{0}/nothing"], "config.yaml"),
    (["--resume", "{0}/occupied"], "config.yaml"),
    (["--resume", "{0}/run", "--model.embed_dim=32"], "`model.embed_dim` can't change"),
    (["--resume", "{0}/run", "--model.num_heads=1"], "`model.num_heads` can't change"),
    (["--resume", "{0}/run", "--without=[regression]"], "`without` can't change"),
    (["--resume", "{0}/run", "--data.val_jets=20"], "`data.val_jets` can't change"),
    (["--resume", "{0}/run", "--data.train_file={0}/other.h5"], "other jets than when the"),
    (["--resume", "{0}/run", "--data.val_file={0}/test.h5"], "`data.val_file` holds other jets"),
    (["--resume", "{0}/edited"], "config.yaml is damaged or was edited"),
    (["--resume", "{0}/begun"], "begun has no config.yaml: train again with --output_dir"),
]


@pytest.mark.parametrize(("arguments", "message"), RESUME_MISTAKES)
def test_a_mistake_in_resuming_is_one_line(run, folder, capsys, arguments, message):
    assert train.main([argument.format(folder) for argument in arguments]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("error: ")
    assert message in errors[-1]


EVALUATE_MISTAKES = [
    (["--run", "{0}/nothing"], "nothing"),
    (["--run", "{0}/occupied"], "occupied"),
    (["--test_file", "{0}/nothing.h5"], "nothing.h5: no such file"),
    (["--test_file", "{0}/text.h5"], "text.h5"),
    (["--test_file", "{0}/no_tracks.h5"], "`tracks`"),
    (["--test_file", "{0}/empty.h5"], "empty.h5"),
    (["--output_dir", "{0}/text.h5/out"], "text.h5/out"),
    (["--evaluation.discriminants.b.fixed_efficiency", "2"], "fixed_efficiency` must be between"),
    (["--evaluation.luck", "2"], "luck"),
    (["--model.num_heads", "1"], "`model.num_heads` can't change when a run is evaluated"),
    (["--data.streams.tracks.inputs", "[d0]"], "`data.streams.tracks.inputs` can't change"),
    (["--data.streams.tracks.transforms.d0.scale", "2"], "transforms.d0.scale` can't change"),
    (["--tasks.hadrons.matching.mask_ce", "2"], "`tasks.hadrons.matching.mask_ce` can't change"),
]


@pytest.mark.parametrize(("more", "message"), EVALUATE_MISTAKES)
def test_a_mistake_in_evaluation_is_one_line(run, folder, capsys, more, message):
    defaults = ["--run", str(run), "--test_file", str(folder / "test.h5")]
    more = [argument.format(folder) for argument in more]
    if "--output_dir" not in more:
        defaults += ["--output_dir", str(folder / "never")]
    assert evaluate.main([*defaults, *more]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert message in errors[0]
    assert not (folder / "never").exists()


def test_a_missing_file_is_named_before_the_results_of_another(run, tmp_path, capsys):
    (tmp_path / "metrics.json").write_text('{"test_file": "/other.h5"}')
    options = ["--run", str(run), "--test_file", "nope.h5", "--output_dir", str(tmp_path)]
    assert evaluate.main(options) == 2
    assert capsys.readouterr().err == "error: nope.h5: no such file\n"


WORDS = {
    "train.py": "python evaluate.py",
    "/my/clone/study.py": "python /my/clone/evaluate.py",
    "/usr/bin/maskformer": "maskformer evaluate",
    "/lib/maskformer_jax/__main__.py": "python -m maskformer_jax evaluate",
    "my_script.py": "python -m maskformer_jax evaluate",
}


@pytest.mark.parametrize("called", WORDS)
def test_commands_are_named_as_they_were_called(monkeypatch, called):
    monkeypatch.setattr(sys, "argv", [called])
    assert call_of("evaluate") == WORDS[called]


COMMANDS = [
    (["train", "--config", "gn2", "--print_config"], 0, "embed_dim: 256"),
    (["train", "--config", "configs/weighting/cagrad.yaml", "--print_config"], 0, "name: cagrad"),
    (["train", "--config", "gn3"], 2, "gn3: no such file, and no shipped configuration; did you"),
    (["train", "--config", "cagrad"], 2, "did you mean `weighting/cagrad`?"),
    (["train", "--config", "data"], 2, "data: a folder, not a file; files in it: none"),
    (["train", "--config", "quickstart"], 2, "the sample comes with a clone only"),
    (["evaluate"], 2, "the following arguments are required: --test_file"),
    (["evaluate", "--test_file", "F"], 2, "one of the arguments --run --onnx is required"),
    (["export", "--run", "R"], 2, "the following arguments are required: --output"),
    (["evaluate", "--run", "R", "--test", "F"], 2, "are required: --test_file; did you mean `--t"),
    (["study"], 2, "the following arguments are required: PART"),
    (["study", "report", "--report", "R", "--config", "study/smoke"], 2, "no option `report`"),
    (["simulate", "inspect", "F", "--comp", "F"], 2, "no option `comp`"),
    (["simulate"], 2, "`jets` must say how many are made"),
    (["trian"], 2, "no command is called 'trian'; did you mean `train`?"),
    ([], 0, "python -m maskformer_jax COMMAND"),
    (["--version"], 0, maskformer_jax.__version__),
]


@pytest.mark.parametrize(("arguments", "code", "message"), COMMANDS, ids=lambda x: str(x)[:40])
def test_commands_work_from_any_folder(tmp_path, monkeypatch, capsys, arguments, code, message):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    try:
        assert maskformer(arguments) == code
    except SystemExit as end:
        assert end.code == code
    out, errors = capsys.readouterr()
    assert message in (errors if code else out)
    assert len(errors.splitlines()) == bool(code)


def test_a_file_wins_over_a_shipped_configuration(tmp_path, monkeypatch, capsys):
    (tmp_path / "gn2").write_text("name: Mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        maskformer(["train", "--config", "gn2", "--print_config"])
    assert "name: Mine" in capsys.readouterr().out


def test_the_exit_code_reaches_the_shell(folder):
    done = script("train.py", "--config", folder / "nothing.yaml")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def model(run):
    return maskformer_jax.load(run)


@pytest.mark.usefixtures("evaluated")
def test_a_run_predicts_in_python_what_the_evaluation_writes(model, run, folder):
    with h5py.File(folder / "test.h5") as file:
        arrays = {name: file[name][:30] for name in file}
    from_arrays = model.predict(arrays)
    from_file = model.predict(folder / "test.h5", num_jets=30)
    datasets = {"jets": "jets", "tracks": "tracks", "hadrons": "truth_hadrons"}
    with h5py.File(run / "evaluation" / "predictions.h5") as file:
        for place, name in (datasets | {"object_masks": "object_masks"}).items():
            found = from_file.pop(place)
            for field in found.dtype.names:
                close = {"rtol": 1e-4, "atol": 1e-5, "err_msg": field}
                np.testing.assert_allclose(found[field], file[name][field][:30], **close)
                np.testing.assert_array_equal(from_arrays[place][field], found[field])
    assert not from_file


def test_pictures_are_drawn_again_as_the_run_says(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(redrawing, "redraw", lambda runs, look, *rest: looks.append(look) or [])
    (tmp_path / "config.yaml").write_text("plot: {experiment: '', sample: a b, formats: [pdf]}")
    assert maskformer(["redraw", str(tmp_path), "--plot.sample=c"]) == 0
    assert [(x.experiment, x.sample, x.formats) for x in looks] == [("", "c", ["pdf"])]


def test_what_is_wrong_with_arrays_is_said_of_arrays(model):
    with pytest.raises(InputError, match=r"^`jets`: no dataset `tracks`"):
        model.predict({"jets": np.zeros(3, [("pt", float)])})
    with pytest.raises(InputError, match=r"`jets` must be a file, .*; got None"):
        model.predict(None)
    with pytest.raises(InputError, match=r"`jets\['jets'\]` must hold numbers"):
        model.predict({"jets": np.array([None])})
    with pytest.raises(InputError, match="`num_jets` must be at least 1; got 0"):
        model.inputs("a.h5", num_jets=0)
    with pytest.raises(InputError, match="`rows` must name at least one row"):
        model.draw("a.h5", [], "b")


def test_attention_is_a_distribution_over_real_tracks(model, folder):
    found = model.attention(folder / "test.h5", num_jets=5)
    valid = np.asarray(model.inputs(folder / "test.h5", num_jets=5).streams["tracks"].valid)
    encoder = found["encoder.layers.0.attention"]
    assert encoder.shape == (5, 2, 8, 8)
    np.testing.assert_allclose(encoder.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder.min(axis=(1, 2)) > 0, valid)
    assert "heads.hadrons.decoder.layers.0.cross_attention" in found


def test_integrated_gradients_of_a_polynomial_by_hand():
    inputs = {"x": jnp.array([2.0, 3.0]), "y": jnp.array(5.0)}
    shares = integrated_gradients(lambda v: v["x"][0] ** 2 + v["x"][1] * v["y"], inputs)
    np.testing.assert_allclose(shares["x"], [4, 7.5], rtol=1e-5)
    np.testing.assert_allclose(shares["y"], 7.5, rtol=1e-5)


def test_the_notebook_runs(run, folder, monkeypatch):
    for name, value in (("RUN", run), ("FILE", folder / "test.h5"), ("JETS", 20)):
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(ROOT / "examples" / "trained_model.ipynb", 4)
    place = {"metadata": {"path": str(ROOT / "examples")}}
    nbclient.NotebookClient(notebook, timeout=120, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert "IP3D_signed_d0_significance" in outputs[-1]["data"]["text/plain"]
