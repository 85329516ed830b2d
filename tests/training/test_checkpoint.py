"""Damaged, foreign and missing checkpoints."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.training.checkpoint import Checkpoints, Progress, restore_params
from maskformer_jax.training.state import TrainState


class Position:
    """Stands in for a loader: a position that is saved and restored."""

    def __init__(self, position=0):
        self.position = position

    def get_state(self):
        return {"next_index": self.position}

    def set_state(self, state):
        self.position = state["next_index"]


def make_state(step, width=3):
    values = np.random.default_rng(step).normal(size=(width, 64, 64)).astype(np.float32)
    return TrainState(
        step=jnp.int32(step),
        params={"layer": {"kernel": jnp.asarray(values), "bias": jnp.full(width, float(step))}},
        weighting_state={"weights": jnp.arange(6.0)},
        optimiser_state=(jnp.zeros(width, jnp.bfloat16),),
        losses_after=jnp.full(6, float(step)),
        finite=jnp.ones((), bool),
    )


def save(run, *steps, best=()):
    checkpoints, progress = Checkpoints(run, 3), Progress()
    for step in steps:
        if step in best:
            progress = Progress(step / 8, step)
        checkpoints.save(make_state(step), Position(step), progress, is_best=step in best)
    checkpoints.close()


def restore(run, state):
    checkpoints, loader = Checkpoints(run, 3), Position()
    try:
        return checkpoints.restore(state, loader), loader.position
    finally:
        checkpoints.close()


def assert_is(state, step):
    jax.tree.map(np.testing.assert_array_equal, state, make_state(step))


def flip_bytes(folder):
    """Flips a run of bytes in the largest array file of a checkpoint."""
    files = [path for path in folder.rglob("d/*") if path.is_file()]
    path = max(files, key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(x ^ 0xFF for x in content[middle : middle + 64])
    path.write_bytes(content)


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def truncate(folder):
    for path in folder.rglob("d/*"):
        path.write_bytes(path.read_bytes()[:10])


def lose_summary(folder):
    shutil.rmtree(folder / "summary")


DAMAGES = [flip_bytes, empty, truncate, lose_summary]


def test_state_progress_and_position_come_back_exactly(tmp_path):
    save(tmp_path, 1, 2, best=(2,))
    (restored, progress), position = restore(tmp_path, make_state(0))
    assert_is(restored, 2)
    assert progress == (0.25, 2, [])
    assert position == 2


def test_an_earlier_best_that_a_kill_left_goes(tmp_path):
    best = tmp_path / "checkpoints" / "best"
    save(tmp_path, 1, best=(1,))
    shutil.copytree(best / "1", tmp_path / "1")
    save(tmp_path, 2, best=(2,))
    (tmp_path / "1").rename(best / "1")
    restore(tmp_path, make_state(0))
    assert [path.name for path in best.iterdir()] == ["2"]


def lose(folder):
    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [flip_bytes, lose])
def test_a_best_checkpoint_that_is_lost_is_saved_again_or_forgotten(tmp_path, capsys, damage):
    best = tmp_path / "checkpoints" / "best"
    save(tmp_path, 1, 2, best=(2,))
    damage(best / "2")  # as by a kill between the two commits
    params = restore_params(tmp_path, make_state(0).params)
    jax.tree.map(np.testing.assert_array_equal, params, make_state(2).params)
    assert restore(tmp_path, make_state(0))[0].progress.best_step == 2
    assert "of step 2, is not there: it is saved again" in capsys.readouterr().err
    assert restore(tmp_path, make_state(0))[0].progress.best_step == 2
    assert capsys.readouterr().err == "" and (best / "2").is_dir()
    save(tmp_path / "other", 1, 2, 3, best=(2,))
    damage(tmp_path / "other" / "checkpoints" / "best" / "2")
    assert restore(tmp_path / "other", make_state(0))[0].progress == (None, None, [])
    assert "the best is now that of step None" in capsys.readouterr().err


def test_a_best_that_was_not_copied_yet_is_taken_from_the_last(tmp_path, capsys):
    """As left by a kill after the commit of the last and before that of the best."""
    best = tmp_path / "checkpoints" / "best"
    save(tmp_path, 1, best=(1,))
    shutil.copytree(best, tmp_path / "earlier")
    save(tmp_path, 2, best=(2,))
    shutil.rmtree(best)
    (tmp_path / "earlier").rename(best)
    params = restore_params(tmp_path, make_state(0).params)
    jax.tree.map(np.testing.assert_array_equal, params, make_state(2).params)
    assert capsys.readouterr().err == ""
    assert restore(tmp_path, make_state(0))[0].progress == (0.25, 2, [])
    assert [path.name for path in best.iterdir()] == ["2"]


def test_the_best_is_never_ahead_of_what_is_continued_from(tmp_path):
    save(tmp_path, 1, 2, best=(1, 2))
    flip_bytes(tmp_path / "checkpoints" / "last" / "2")
    (restored, progress), _ = restore(tmp_path, make_state(0))
    assert_is(restored, 1)
    assert progress == (0.125, 1, [])
    assert [path.name for path in (tmp_path / "checkpoints" / "best").iterdir()] == ["1"]


def test_the_first_checkpoint_is_read_back(tmp_path):
    """A folder with brackets, in which Orbax writes what it doesn't find again."""
    run = tmp_path / "lr[0.1]"
    with pytest.raises(InputError, match="no checkpoint could be written"):
        save(run, 1)


def test_a_disk_that_is_full_twice_is_one_error(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, 1)
    closed = []

    def fail(manager, *rest):
        closed.append(manager)
        raise ValueError(f"'{tmp_path}/checkpoints/last/1/d' failed: No space left on device")

    for name in ("wait_until_finished", "close"):
        monkeypatch.setattr(ocp.CheckpointManager, name, fail)
    with pytest.raises(InputError, match=r"last/1/d: no checkpoint .* kept: No space left on dev"):
        checkpoints.close()
    assert len(closed) == 4


def test_a_changed_position_of_the_loader_is_damage(tmp_path, capsys):
    save(tmp_path, 1, 2)
    path = tmp_path / "checkpoints" / "last" / "2" / "summary" / "metadata"
    text = path.read_text()
    path.write_text(text.replace('"next_index":2', '"next_index":3').replace(": 2}", ": 3}"))
    assert path.read_text() != text
    assert_is(restore(tmp_path, make_state(0))[0].state, 1)
    assert "last/2 is damaged" in capsys.readouterr().err


def test_a_wrong_shape_in_a_damaged_summary_does_not_end_the_search(tmp_path, capsys):
    save(tmp_path, 1, 2)
    path = tmp_path / "checkpoints" / "last" / "2" / "summary" / "metadata"
    path.write_text(path.read_text().replace("64", "65"))
    assert_is(restore(tmp_path, make_state(0))[0].state, 1)
    assert "last/2 is damaged" in capsys.readouterr().err


def test_only_the_last_ones_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, best=(2, 4))
    kept = {p.name for p in (tmp_path / "checkpoints" / "last").iterdir()}
    assert kept == {"3", "4", "5"}
    assert {p.name for p in (tmp_path / "checkpoints" / "best").iterdir()} == {"4"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_and_replaced(tmp_path, capsys, damage):
    save(tmp_path, 1, 2)
    damage(tmp_path / "checkpoints" / "last" / "2")
    (restored, _), position = restore(tmp_path, make_state(0))
    assert_is(restored, 1)
    assert position == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "last/2 is damaged" in lines[0]
    assert "last/1" in lines[1]
    save(tmp_path, 2, best=(2,))
    assert_is(restore(tmp_path, make_state(0))[0].state, 2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_evaluation_falls_back_from_the_best_to_the_last(tmp_path, capsys, damage):
    save(tmp_path, 1, 2, best=(1,))
    like = make_state(0).params
    jax.tree.map(
        np.testing.assert_array_equal, restore_params(tmp_path, like), make_state(1).params
    )
    damage(tmp_path / "checkpoints" / "best" / "1")
    jax.tree.map(
        np.testing.assert_array_equal, restore_params(tmp_path, like), make_state(2).params
    )
    assert "best/1 is damaged" in capsys.readouterr().err


def test_when_all_are_damaged_the_error_lists_them(tmp_path):
    save(tmp_path, 1, 2)
    for step in "12":
        flip_bytes(tmp_path / "checkpoints" / "last" / step)
    with pytest.raises(InputError, match=r"every checkpoint .* damaged: .*last/2, .*last/1"):
        restore(tmp_path, make_state(0))


def test_another_model_is_refused_by_the_name_of_the_parameter(tmp_path):
    save(tmp_path, 1, best=(1,))
    other = make_state(0, width=4)
    message = r"another model: `layer.bias` has shape \(3,\) in the checkpoint and \(4,\)"
    with pytest.raises(InputError, match=message):
        restore(tmp_path, other)
    with pytest.raises(InputError, match=message):
        restore_params(tmp_path, other.params)


def test_a_run_without_checkpoint(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        restore_params(tmp_path, make_state(0).params)
    with pytest.raises(InputError, match="no checkpoint"):
        restore(tmp_path, make_state(0))
