"""A batch shared by several devices gives the numbers of one device."""

import jax
import numpy as np
import pytest

from maskformer_jax.errors import InputError

STEPS = 8  # two epochs of 70 jets in batches of 20


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-5), a, b)


def test_four_devices_train_as_one_and_take_over_from_one(training, tmp_path):
    one, four, mixed = (tmp_path / name for name in ("one", "four", "mixed"))
    training.train(one, epochs=1)
    training.train(four, epochs=1, devices=4)
    close(training.final(four).state.params, training.final(one).state.params)

    training.train(one, resume=True)
    training.train(mixed, epochs=1)
    assert training.train(mixed, resume=True, devices=4) == (True, 0, STEPS)
    close(training.final(mixed).state.params, training.final(one).state.params)


def test_more_devices_than_there_are(training, tmp_path):
    with pytest.raises(InputError, match=r"at most 4.*got 5"):
        training.train(tmp_path, devices=5)
