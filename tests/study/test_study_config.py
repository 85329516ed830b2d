"""Studies as YAML and overrides describe them; what is shipped; one line for every mistake."""

import sys
from pathlib import Path

import pytest

from maskformer_jax.build import build_tasks
from maskformer_jax.study import config as configuration
from maskformer_jax.study import plan

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import study as script  # noqa: E402

CONFIGS = ROOT / "configs" / "study"
STUDIES = sorted(path for path in CONFIGS.glob("*.yaml") if "\nmodels:" in path.read_text())
THESIS = {
    "Baseline": {"equal", "default"},
    "Loss-based": {"gls", "uw", "dwa", "rlw", "stch", "famo"},
    "Grad-based": {"aligned_mtl", "cagrad", "gradnorm", "nash_mtl", "pcgrad", "gradvac"},
    "PolyLoss": {"default_poly_plus", "default_poly_minus", "dwa_poly_minus", "gls_poly_minus"},
}


@pytest.fixture(scope="module")
def shipped():
    """Every shipped study with its runs, by the name of the file."""
    studies = {path.stem: configuration.load([f"--config={path}"]) for path in STUDIES}
    return {name: (study, plan.plan(study)) for name, study in studies.items()}


@pytest.mark.parametrize("name", [path.stem for path in STUDIES])
def test_shipped_studies_are_found_good_on_the_embedded_sample(shipped, name, tmp_path):
    study, runs = shipped[name]
    plan.check([run._replace(folder=tmp_path / run.model) for run in runs], study.tests)


def test_the_thesis_has_its_18_models(shipped):
    study, runs = shipped["thesis"]
    assert {
        group: {name for name, model in study.models.items() if model.group == group}
        for group in study.groups
    } == THESIS
    methods = {run.model: run.config.weighting.name for run in runs}
    alone = THESIS["Loss-based"] | THESIS["Grad-based"] | {"equal"}
    assert all(methods[name] == name for name in alone)
    epsilons = {run.model: epsilon(run.config) for run in runs}
    assert {name: value for name, value in epsilons.items() if value} == {
        "default_poly_plus": 1.0,
        "default_poly_minus": -1.0,
        "dwa_poly_minus": -1.0,
        "gls_poly_minus": -1.0,
    }
    # Nothing else differs.
    one = runs[0].config
    for run in runs:
        assert (run.config.model, run.config.data) == (one.model, one.data)
        assert run.config.training == one.training


def epsilon(config):
    return config.tasks["hadrons"].losses.mask_ce.poly_epsilon


def losses(config):
    return [loss for task in build_tasks(config) for loss in task.losses]


@pytest.mark.parametrize(
    ("study", "prefix", "learnt"), [("single_task", "", 1), ("ablations", "no_", 5)]
)
def test_losses_are_alone_or_left_out(shipped, study, prefix, learnt):
    runs = {run.model.removeprefix(prefix): run.config for run in shipped[study][1]}
    every = losses(runs.pop("all_tasks"))
    assert list(runs) == every and len(every) == 6
    for name, config in runs.items():
        used = losses(config)
        assert len(used) == learnt and (name in used) == (learnt == 1)
        assert config.weighting == shipped[study][1][0].config.weighting


POLY = "--tasks.hadrons.losses.mask_ce.poly_epsilon=-1"
MINIMAL = """
output_dir: runs/none
configs: [{quickstart}]
reference: a
tests: {{t: {sample}/test.h5}}
groups: [G]
models:
  a: {{group: G, overrides: {{training.epochs: 3, name: A}}}}
  b: {{group: G, label: Bee, overrides: {{training.epochs: 4}}}}
"""


@pytest.fixture
def minimal(tmp_path):
    path = tmp_path / "study.yaml"
    values = {"quickstart": ROOT / "configs" / "quickstart.yaml", "sample": ROOT / "data/sample"}
    path.write_text(MINIMAL.format(**values))
    return ["--config", str(path), f"--output_dir={tmp_path / 'study'}"]


def test_options_of_a_model_win_over_those_of_the_study(minimal, tmp_path):
    study = configuration.load([*minimal, "--training.epochs", "7", POLY, "--seeds=[3, 1]"])
    runs = plan.plan(study)
    assert [(run.model, run.seed) for run in runs] == [("a", 3), ("b", 3), ("a", 1), ("b", 1)]
    assert [run.config.training.epochs for run in runs] == [3, 4, 3, 4]
    assert {epsilon(run.config) for run in runs} == {-1.0}
    assert runs[0].config.name == "A" and runs[1].config.name == "MaskFormer"
    assert [run.config.training.seed for run in runs] == [3, 3, 1, 1]
    assert Path(runs[1].config.output_dir) == runs[1].folder == tmp_path / "study/b/seed_3"
    assert (study.label("a"), study.label("b")) == ("a", "Bee")


def test_files_of_the_study_and_of_its_trainings_are_told_apart(minimal):
    study = configuration.load(
        [*minimal, "--tests.other", "other.h5", "--data.train_file", "jets.h5"]
    )
    assert study.tests["other"] == "other.h5" and len(study.tests) == 2
    assert {run.config.data.train_file for run in plan.plan(study)} == {"jets.h5"}


MISTAKES = [
    (["--reference=c"], "no model (`reference`) is called 'c'; there are: a, b"),
    (["--groups=[H]"], "no group (`models.a.group`) is called 'G'; there are: H"),
    (["--models", "a", "c"], "no model (`--models`) is called 'c'; there are: a, b"),
    (["--seeds", "1", "1"], "`seeds` must be different and at least 0; got [1, 1]"),
    (["--seeds", "-1"], "`seeds` must be different and at least 0; got [-1]"),
    (["--workers", "0"], "`--workers` must be at least 1; got 0"),
    (["--claims={c: {text: X, source: Y, predicate: alike, apart: [bb]}}"], "is called 'bb'; did"),
    (["--claims={c: {text: X, source: Y, predicate: lowest}}"], "`claims.c.of` must name one"),
    (["--tests={}"], "`tests` must name at least one"),
    (["--tests.t=nothing.h5"], "nothing.h5: no such file"),
    (["--tests.a/b=x.h5"], "`tests` must have names of"),
    (["--training.speed=9"], "model `a`: "),
    (["--training.epochs", "1", "2"], "`2` belongs to no option"),
    (["--training.epochs"], "`training.epochs` must be followed by a value"),
    (["--config", "nothing.yaml"], "nothing.yaml"),
    (["--configs=[nothing.yaml]"], "model `a`: "),
    (["--colour=red"], "colour"),
    (["--data.train_file=nothing.h5"], "model `a`: nothing.h5: no such file"),
    (["--data.train_file=null"], "model `a`: `data.train_file` must name an HDF5 file"),
    (["--data.train_jets=30001"], "30000 jets, fewer than the 30001 of `data.train_jets`"),
    (["--weighting.name=magic"], "model `a`: `weighting.name` must be one of equal"),
    (["--weighting.options.c=1"], "model `a`: no option `weighting.options.c`; known: weights"),
    (["--training.monitor=val/loss/luck"], "no quantity (`training.monitor`) is called"),
]


@pytest.mark.parametrize(("more", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(minimal, tmp_path, capsys, more, message):
    assert script.main(["run", *minimal, *more]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith("error: ")
    assert message in errors[0]
    assert not (tmp_path / "study").exists()


def test_a_study_has_a_file(capsys):
    assert script.main(["status", "--seeds", "1"]) == 2
    assert capsys.readouterr().err.startswith("error: `--config` must name the file of a study")


def test_a_folder_with_something_else_is_refused(minimal, tmp_path, capsys):
    folder = tmp_path / "study" / "b" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("precious")
    assert script.main(["run", *minimal]) == 2
    assert "b/seed_0 is not empty" in capsys.readouterr().err
    assert (folder / "thesis.tex").read_text() == "precious"


OTHERS = [
    ({"training": {"batch_size": 20}}, "`training.batch_size` 20, not 250"),
    ({"model": {"embed_dim": 64}}, "`model.embed_dim` 64, not 32"),
    ({"data": {"train_file": "other.h5"}}, "`data.train_file` 'other.h5', not 'data/sample"),
    ({"data": {"train_file": "moved/train.h5"}, "training": {"log_every": 3}}, None),
]


@pytest.mark.parametrize(("changed", "message"), OTHERS)
def test_a_run_with_other_options_is_refused(minimal, changed, message):
    study = configuration.load(minimal)
    run = plan.plan(study)[1]
    argv = [f"--{k}.{name}={v}" for k, part in changed.items() for name, v in part.items()]
    [other] = plan.plan(configuration.load([*minimal, *argv]), ["b"])
    run.folder.mkdir(parents=True)
    plan.run_folder.complete(run.folder, other.config, {})
    if message is None:
        plan.check([run], study.tests)
        return
    with pytest.raises(plan.InputError, match="was made with") as caught:
        plan.check([run], study.tests)
    assert message in str(caught.value)
