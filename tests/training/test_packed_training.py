"""Packed and padded batches, on one device or two, in one part or several: the same training."""

import numpy as np
import pytest
from tampered_training import Training

from maskformer_jax import config as configuration

LONG_ROWS = "--data.streams.tracks.cap=20"
ROUTES = {
    "packed": [],
    "packed, parts, two devices": ["--training.micro_batches=2", "--training.devices=2"],
}


@pytest.fixture(scope="module")
def run(argv, tmp_path_factory):
    """`run(*options)`: the training, and its folder after one epoch."""

    def trained(*options):
        folder = tmp_path_factory.mktemp("run")
        training = Training(configuration.load(argv(folder, LONG_ROWS, *options)))
        assert training.train(folder, epochs=1).finished
        return training, folder

    return trained


@pytest.fixture(scope="module")
def padded(run):
    return run("--training.pack=false")


# The first is held by the models' tests and the recorded logs, too.
@pytest.mark.parametrize(
    "route", [pytest.param(x, marks=[pytest.mark.campaign] * (not ROUTES[x])) for x in ROUTES]
)
def test_log_is_that_of_padded_batches(run, padded, route):
    training, folder = run(*ROUTES[route])
    batch, _ = next(training.loader.iterator())
    num_jets = batch.jets.shape[1] // batch.streams["tracks"].values.shape[1]
    assert num_jets > 1
    assert (np.count_nonzero(batch.jet_valid.any(1)) > 1) == ("parts" in route)
    for line, other in zip(training.log(folder), padded[0].log(padded[1]), strict=True):
        assert line == pytest.approx(other, rel=2e-3)
