"""A batch shared by several devices gives the numbers of one device."""

import shutil

import pytest
from tampered_training import Training

from maskformer_jax import config as configuration
from maskformer_jax.errors import InputError

STEPS = 8  # two epochs of 70 jets in batches of 20, the last one of 10


def assert_same_log(training, a, b):
    """Every loss, weight, norm and figure of every step; not the parameters.

    Where the gradient is zero but for rounding, as for the bias of attention keys, Adam makes steps
    of full size in any direction.
    """
    for line, other in zip(training.log(a), training.log(b), strict=True):
        assert line == pytest.approx(other, rel=2e-3)


def test_four_devices_train_as_one_and_take_over_from_one(argv, tmp_path):
    """Without the objects, which `test_packed_training.py` shares out."""
    training = Training(configuration.load(argv(tmp_path / "unused", "--without=[hadrons]")))
    one, four, mixed = (tmp_path / name for name in ("one", "four", "mixed"))
    training.train(one, epochs=1)
    training.train(four, epochs=1, devices=4)
    assert_same_log(training, four, one)

    shutil.copytree(one, mixed)
    training.train(one, resume=True)
    assert training.train(mixed, resume=True, devices=4) == (True, 0, STEPS)
    assert_same_log(training, mixed, one)


def test_more_devices_than_there_are(training, tmp_path):
    with pytest.raises(InputError, match=r"at most 4.*got 5"):
        training.train(tmp_path, devices=5)
