"""Runs of a study: skipped, failed, shared among processes; those that are killed: `campaign`."""

import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path

import h5py
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.study import config as configuration
from maskformer_jax.study import plan, progress, run, workers
from maskformer_jax.training import loop

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import study as script  # noqa: E402

STUDY = """
configs: [{root}/configs/quickstart.yaml]
overrides:
  data.train_file: {folder}/train.h5
  data.val_file: {folder}/test.h5
  data.streams.tracks.cap: 8
  model: {{embed_dim: 16, num_heads: 2, encoder: {{layers: 1}}, head_widths: [16]}}
  without: [hadrons]
  training.epochs: 2
  training.batch_size: 10
  training.log_every: 5
  training.checkpoint_every: 10
reference: default
tests: {{t: {folder}/test.h5}}
groups: [G]
models:
  default: {{group: G}}
  equal: {{group: G, configs: [{root}/configs/weighting/equal.yaml]}}
"""
RESULTS = ("metrics.json", "curves.json")


@pytest.fixture(scope="module")
def argv(tmp_path_factory):
    """Command line of a study of two tiny models: `argv(folder)`."""
    folder = tmp_path_factory.mktemp("study")
    for name, jets in (("train", 300), ("test", 120)):
        old = h5py.File(ROOT / "data" / "sample" / f"{name}.h5")
        with old, h5py.File(folder / f"{name}.h5", "w") as new:
            for dataset in old:
                new.create_dataset(dataset, data=old[dataset][:jets], chunks=True)
    (folder / "study.yaml").write_text(STUDY.format(root=ROOT, folder=folder))
    return lambda output_dir: [f"--config={folder / 'study.yaml'}", f"--output_dir={output_dir}"]


def runs_of(argv, folder):
    study = configuration.load(argv(folder))
    return study, plan.plan(study)


def make_default(argv, folder):
    """Trains and evaluates the first model; the command line."""
    command = [*argv(folder), "--models", "default"]
    assert script.main(["run", *command]) == 0
    return command


@pytest.fixture(scope="module")
def undisturbed(argv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    make_default(argv, folder)
    return folder


def results(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for name in RESULTS
        for path in folder.rglob(name)
    }


def files(folder):
    return sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file())


def test_what_is_finished_is_left_alone(argv, undisturbed, monkeypatch, capsys):
    folder = undisturbed / "default" / "seed_0"
    before = files(folder)
    monkeypatch.setattr(run.experiment, "train", None)
    monkeypatch.setattr(run, "measure", None)
    command = make_default(argv, undisturbed)
    assert before == files(folder)
    report = capsys.readouterr().out.splitlines()[-1]
    called = "python -m maskformer_jax study report"
    assert report == f"report: {called} {' '.join(argv(undisturbed))}"
    assert script.main(["status", *command, "--seeds", "0", "7"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["model", "seed", "0", "seed", "7"], ["default", "done", "-"]]
    (folder / ".lock").touch()  # as by a kill at the end of the training
    study, (first, _) = runs_of(argv, undisturbed)
    assert not progress.read_progress(first, study.tests).trained
    (folder / ".lock").unlink()


def test_other_test_jets_or_options_are_evaluated_anew(argv, undisturbed, monkeypatch):
    made = []
    monkeypatch.setattr(run, "measure", lambda *a, **k: made.append(a[2].parts[-4:]))
    again = [*argv(undisturbed), "--models", "default"]
    for more in (["--evaluation.batch_size=50"], ["--again"], ["--train_only"]):
        assert script.main(["run", *again, *more]) == 0
    assert len(made) == 2 and made[0][1:] == ("seed_0", "evaluation", "t")


def test_processes_share_a_study(argv, undisturbed, capfd):
    """Each evaluates one of the models, of which one is a copy of the other."""
    first, second = runs_of(argv, undisturbed)[1]
    shutil.copytree(first.folder, second.folder)
    plan.run_folder.complete(second.folder, second.config, {})
    for path in undisturbed.rglob(progress.RECORD_FILE):
        path.unlink()
    assert script.main(["run", *argv(undisturbed), "--workers", "2"]) == 0
    assert "2 of 2 runs are finished" in capfd.readouterr().out
    logs = "".join(path.read_text() for path in (undisturbed / "logs").glob("*.txt"))
    assert logs.count("evaluated on t") == 2
    one, other = (results(run.folder).values() for run in (first, second))
    assert [json.loads(x).keys() for x in one] == [json.loads(x).keys() for x in other]


def test_a_model_that_fails_does_not_stop_the_others(argv, tmp_path, monkeypatch, capsys):
    trained = []

    def train(config, resume):
        trained.append(config.weighting.name)
        if config.weighting.name == "static":
            raise FloatingPointError("the loss of mask_ce is not finite at step 3")
        return loop.Outcome(True, 0, 60)

    monkeypatch.setattr(run.experiment, "train", train)
    monkeypatch.setattr(run, "measure", lambda *a, **k: a[2].mkdir(parents=True))
    assert script.main(["run", *argv(tmp_path)]) == 1
    assert trained == ["static", "equal"]
    assert "default, seed 0: the loss of mask_ce is not finite" in capsys.readouterr().err


def test_a_signal_stops_the_study(argv, tmp_path, monkeypatch, capsys):
    def train(config, resume):
        return loop.Outcome(False, signal.SIGTERM, 3)

    monkeypatch.setattr(run.experiment, "train", train)
    assert script.main(["run", *argv(tmp_path)]) == 128 + signal.SIGTERM
    assert "run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_is_left_of_a_training_that_never_began_is_no_run(argv, tmp_path, monkeypatch):
    study, runs = runs_of(argv, tmp_path)
    for name in ("normalisation.yaml", ".config.yaml.7.partial"):
        runs[0].folder.mkdir(parents=True, exist_ok=True)
        (runs[0].folder / name).write_text("half a fi")
    seen = []

    def train(config, resume):
        seen.append(resume)
        return loop.Outcome(False, signal.SIGINT, 0)

    monkeypatch.setattr(run.experiment, "train", train)
    plan.check(runs, study.tests)
    run.make(runs, run.Todo({}))
    assert seen == [False]


def test_a_run_belongs_to_one_process(argv, tmp_path):
    study, runs = runs_of(argv, tmp_path)
    with run.claim(runs[0].folder) as mine, run.claim(runs[0].folder) as again:
        assert mine and not again
        assert run.make(runs[:1], run.Todo(study.tests)).elsewhere == ["default, seed 0"]
    with run.claim(runs[0].folder) as mine:
        assert mine


def test_places_share_the_cores():
    cores = sorted(os.sched_getaffinity(0))
    assert sorted(core for p in workers.places(len(cores)) for core in p.cores) == cores
    assert {tuple(p.cores) for p in workers.places(len(cores) + 1)} == {tuple(cores)}
    assert [p.device for p in workers.places(1, ["0", "3"])] == ["0", "3"]


def test_cost_and_time_left(argv, tmp_path):
    study, runs = runs_of(argv, tmp_path)
    lines = [
        {"step": 1, "jets_per_second": 1.0, "cpu_ms_per_jet": 500.0},
        {"step": 5, "jets_per_second": 20.0, "cpu_ms_per_jet": 2.0},
        {"step": 10, "jets_per_second": 50.0, "cpu_ms_per_jet": 3.0},
        {"step": 30, "epoch": 1},
    ]
    folder = runs[0].folder
    (folder / "checkpoints" / "last" / "30").mkdir(parents=True)
    (folder / "checkpoints" / "last" / "34.orbax-checkpoint-tmp").mkdir()
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3'
    (folder / "metrics.jsonl").write_text(text)
    # One step of 10 jets at 1 jet/s, four at 20, five at 50.
    assert progress.read_cost(folder, 10) == (10 + 2 + 1, 20.0, 3.0)
    assert all(math.isnan(x) for x in progress.read_cost(tmp_path, 10))
    states = [progress.read_progress(r, study.tests) for r in runs]
    assert states[0] == (30, 60, False, False, ()) and states[1] == (0, None, False, False, ())
    # 30 steps of the first model and 60 of the second, at half a second each.
    assert progress.time_left(runs, states) == "1 min"
    # 300 times the 15 s of the first.
    assert progress.time_left(runs[:1] * 300, states[:1] * 300) == "1 h 15 min"
    assert progress.time_left(runs[1:], states[1:]) == "unknown"
    assert "0 of 2 runs" in progress.table(runs, study.tests)


@pytest.mark.parametrize(
    "line",
    [
        *(b'{"step": ', b'{"step\xf3": 2}', b'{"stop": 2}', b"3", b'{"step": "x"}', b'{"step": 9}'),
        *(b'{"checksum": 3, "step": 2}', b'{"chebksum": 3, "step": 2}'),
    ],
)
def test_a_damaged_log_is_named(line, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n%b\n{"step": 3}\n' % line)
    with pytest.raises(InputError, match=r"metrics\.jsonl: damaged log \(.*\); remove the run"):
        progress.read_cost(tmp_path, batch_size=10)
