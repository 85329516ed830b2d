"""Damaged, foreign and missing checkpoints."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.training.checkpoint import Checkpoints, restore_params
from maskformer_jax.training.state import TrainState


class Position:
    """Stands in for a loader: a position that is saved and restored."""

    def __init__(self, position=0):
        self.position = position

    def get_state(self):
        return str(self.position).encode()

    def set_state(self, state):
        self.position = int(state)

    def start_prefetch(self):
        pass


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
    checkpoints = Checkpoints(run, 3)
    for step in steps:
        checkpoints.save(make_state(step), Position(step), {"best": step}, is_best=step in best)
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
    assert progress == {"best": 2}
    assert position == 2


def test_without_a_best_checkpoint_there_is_no_value_to_beat(tmp_path):
    save(tmp_path, 1, 2, best=(2,))
    flip_bytes(tmp_path / "checkpoints" / "last" / "2")
    (restored, progress), _ = restore(tmp_path, make_state(0))
    assert_is(restored, 1)
    assert progress == {"best": None}


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
