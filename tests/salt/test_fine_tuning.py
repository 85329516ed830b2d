"""A converted run is evaluated, and trained further with what stays and what does not."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.trained import load_run
from maskformer_jax.training.restoring import flatten
from maskformer_jax.training.warm_start import frozen, warm_start

RECORDED = Path(__file__).with_name("recorded")
SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """GN2 of Salt, from a folder like that of a training with Salt."""
    folder = tmp_path_factory.mktemp("fine_tuning")
    salt = folder / "salt"
    (salt / "ckpts").mkdir(parents=True)
    (salt / "config.yaml").write_bytes((RECORDED / "gn2.yaml").read_bytes())
    for name, content in (
        ("epoch=001-val_loss=0.70", b"not the best"),
        ("epoch=002-val_loss=0.65", (RECORDED / "gn2.ckpt").read_bytes()),
    ):
        (salt / "ckpts" / f"{name}.ckpt").write_bytes(content)
    assert main(["convert-salt", f"--run={salt}", f"--output_dir={folder / 'run'}"]) == 0
    return folder / "run"


def test_a_converted_run_is_evaluated(run):
    words = [f"--run={run}", f"--test_file={SAMPLE / 'test.h5'}", "--evaluation.max_jets=20"]
    assert main(["evaluate", *words, "--predict_only"]) == 0
    assert list(run.rglob("*.h5"))


def test_a_training_begins_with_its_parameters(run, capsys):
    files = [f"--data.{name}_file={SAMPLE / name}.h5" for name in ("train", "val")]
    small = ["--data.train_jets=60", "--data.val_jets=30", "--training.batch_size=20"]
    further = run.with_name("further")
    words = [f"--config={run / 'config.yaml'}", *files, *small, f"--output_dir={further}"]
    words += ["--training.epochs=1", "--training.freeze=[encoder, embedding.tracks]"]
    assert main(["train", *words, "--init_from", str(run)]) == 0
    said = capsys.readouterr().out
    before, after = (load_run(x) for x in (run, further))
    a, b = flatten(before.params), flatten(after.params)
    assert f"in {len(a)} arrays are those of {run}" in said
    for name in a:
        same = np.array_equal(a[name], b[name])
        assert same == name.startswith(("encoder.", "embedding.")), name
    for name, part in after.scaling.parts():
        np.testing.assert_array_equal(part.mean, dict(before.scaling.parts())[name].mean)


def test_parts_that_do_not_fit_are_drawn_and_said(run):
    params = load_run(run).params
    head = params["heads"]["track_origin"]
    other = {**params["heads"], "track_origin": jax.tree.map(lambda x: jnp.zeros((3,)), head)}
    other["new"] = {"kernel": jnp.zeros(2)}
    gone = other.pop("jets_classification")
    found, account = warm_start(run, {**params, "heads": other})
    assert found["heads"]["new"]["kernel"].shape == (2,)
    assert any("not in" in x and x.endswith("heads.new.kernel") for x in account)
    assert sum("of another shape" in x for x in account) == len(jax.tree.leaves(head))
    assert sum("alone: heads.jets_classification" in x for x in account) == len(
        jax.tree.leaves(gone)
    )


def test_a_path_that_is_not_there_is_refused():
    params = {"encoder": {"a": jnp.ones(2)}, "heads": {"b": jnp.ones(2)}}
    update = frozen(optax.sgd(1.0), params, ["encoder"])
    found, _ = update.update(params, update.init(params), params)
    assert not found["encoder"]["a"].any() and (found["heads"]["b"] == -1).all()
    with pytest.raises(InputError, match=r"'encodr'; did you mean `encoder`"):
        frozen(optax.sgd(1.0), params, ["encodr"])
