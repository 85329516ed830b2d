"""Who may write to a run folder, what may be in it, and what may change when it is used again."""

import re

import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.files import held
from maskformer_jax.training import run_folder
from maskformer_jax.training.run_folder import EVALUATED, RESUMED

JETS = {"data.train_file": {"jets": 70, "labels": 5, "inputs": 6}, "data.val_file": {"jets": 30}}


@pytest.fixture
def run(tiny_config, tmp_path):
    """A folder as a training leaves it, without its checkpoints."""
    with held(tmp_path / "run", "trains in"), run_folder.making(tmp_path / "run"):
        (tmp_path / "run" / "normalisation.yaml").write_text("jets: {}\n")
        run_folder.complete(tmp_path / "run", tiny_config, JETS)
    return tmp_path / "run"


BOTH = ["evaluation.pt_edges=[1, 2]", "data.train_file=a.h5", "data.jets.dataset=all_jets"]
BOTH += ["data.labels.flavour.field=label", "data.objects.hadrons.valid=is_there"]
STEPS_ALONE = ["training.log_every=3", "training.micro_batches=1", "training.record_interactions=9"]
NEITHER = ["model.num_heads=1", "model.dropout=0.1", "model.compute_dtype=bfloat16"]
NEITHER += ["model.embed_dim=8", "model.embedding.positions.tracks=[d0]", "without=[mask_dice]"]
NEITHER += ["data.streams.tracks.inputs=[d0, deta]", "data.streams.tracks.transforms.d0.scale=3"]
NEITHER += ["data.streams.tracks.cap=9", "data.labels.flavour.classes.bjets=4"]
NEITHER += ["tasks.hadrons.matching.mask_ce=2", "data.val_jets=7", "data.train_jets=7"]
NEITHER += ["training.batch_size=10", "training.seed=9", "weighting.name=cagrad"]
MAY = {"resumed": [*BOTH, *STEPS_ALONE], "evaluated": [*BOTH, "name=other"]}
ROWS = [(option, option in may, done) for done, may in MAY.items()
        for option in (*BOTH, *STEPS_ALONE, "name=other", *NEITHER)]  # fmt: skip


@pytest.mark.parametrize(("option", "may", "done"), ROWS)
def test_what_may_change(run, tiny_with, option, may, done):
    more = ["--data.streams.tracks.transforms.d0.name=asinh"] if "scale" in option else []
    config, name = tiny_with(*more, f"--{option}"), option.partition("=")[0]
    patterns = {"resumed": RESUMED, "evaluated": EVALUATED}[done]
    if may:
        run_folder.check_unchanged(run, config, patterns, done)
        return
    with pytest.raises(InputError, match=rf"`{re.escape(name)}.*` can't change when .* {done}"):
        run_folder.check_unchanged(run, config, patterns, done)


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("data.train_file", {"jets": 71, "labels": 5, "inputs": 6}),
        ("data.train_file", {"jets": 70, "labels": 4, "inputs": 6}),
        ("data.train_file", {"jets": 70, "labels": 5, "inputs": 7}),
        ("data.val_file", {"jets": 31}),
        ("data.val_file", None),
    ],
)
def test_other_jets_are_refused(run, name, now):
    run_folder.check_jets(run, JETS, JETS)
    jets = {**JETS, name: now} if now else {k: v for k, v in JETS.items() if k != name}
    with pytest.raises(InputError, match=f"`{name}` holds other jets than when"):
        run_folder.check_jets(run, JETS, jets)


def test_two_trainings_exclude_each_other(tmp_path):
    run = tmp_path / "run"
    with held(run, "trains in"):
        with pytest.raises(InputError, match="another process"), held(run, "trains in"):
            pass
        (run / "metrics.jsonl").write_text("")
        with pytest.raises(InputError, match="another process"):
            run_folder.check_is_free(run)
    with pytest.raises(InputError, match="is not empty"):
        run_folder.check_is_free(run)
    assert [path.name for path in run.iterdir()] == ["metrics.jsonl"]


def test_a_folder_that_was_never_finished_is_taken_over_with_a_line(run, tiny_config, capsys):
    (run / "config.yaml").unlink()
    (run / ".config.yaml.7.partial").symlink_to(run.parent / "precious")
    (run.parent / "precious").write_text("thesis")
    with held(run, "trains in"), run_folder.making(run):
        assert [path.name for path in run.iterdir()] == [".lock"]
        run_folder.complete(run, tiny_config, {})
    assert capsys.readouterr().err.startswith(f"warning: {run} held what a training left")
    assert (run.parent / "precious").read_text() == "thesis"
    with pytest.raises(InputError, match=r"not empty: choose another, or .* --resume"):
        run_folder.check_is_free(run)


def test_a_disk_that_is_full_at_the_beginning_leaves_nothing(tmp_path, tiny_config, full_disk):
    run = tmp_path / "run"
    message = r"config\.yaml: cannot be written: .*large"
    with (
        full_disk(),
        pytest.raises(InputError, match=message),
        held(run, "trains in"),
        run_folder.making(run),
    ):
        run_folder.complete(run, tiny_config, {})
    assert not run.exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints/last", "evaluation", ".lock"])
def test_a_symbolic_link_in_a_run_is_not_followed(run, tiny_config, tmp_path, name):
    (tmp_path / "outside").write_text("precious")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(InputError, match="symbolic link"), held(tmp_path / "link", "trains in"):
        run_folder.check_is_continued(tmp_path / "link", tiny_config)
    assert (tmp_path / "outside").read_text() == "precious"


@pytest.mark.parametrize("name", ["lr[0.1]", "what?", "a*b"])
def test_a_path_that_orbax_takes_for_a_pattern_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="must have no `"):
        run_folder.check_is_free(tmp_path / name / "run")
