"""A training of a few seconds on a cut of the embedded sample."""

import h5py
import pytest
from tampered_training import SAMPLE, Training

from maskformer_jax import config as configuration

TINY = [
    "--config",
    str(SAMPLE.parents[1] / "configs" / "quickstart.yaml"),
    "--data.streams.tracks.cap=8",
    "--data.block_size=10",
    "--data.group_blocks=3",
    "--model.embed_dim=16",
    "--model.num_heads=2",
    "--model.encoder.layers=1",
    "--tasks.hadrons.decoder_layers=1",
    "--model.head_widths=[16]",
    "--training.batch_size=20",
    "--training.epochs=2",
    "--training.log_every=1",
    "--training.schedule.options.peak=0.01",
]


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """Folder with `train.h5` of 70 jets and `val.h5` of 30 jets of the embedded sample."""
    folder = tmp_path_factory.mktemp("sample")
    for name, jets in (("train", 70), ("val", 30)):
        with h5py.File(SAMPLE / f"{name}.h5") as old, h5py.File(folder / f"{name}.h5", "w") as new:
            for dataset in old:
                new.create_dataset(dataset, data=old[dataset][:jets], chunks=True)
    return folder


@pytest.fixture(scope="session")
def argv(sample):
    """Command line of the training: `argv(run, "--training.seed=1")`."""

    def arguments(run, *more):
        files = [f"--data.{name}_file={sample / name}.h5" for name in ("train", "val")]
        return [*TINY, *files, f"--output_dir={run}", *more]

    return arguments


@pytest.fixture(scope="session")
def training(argv, tmp_path_factory):
    """Compiled once for all tests of the loop."""
    return Training(configuration.load(argv(tmp_path_factory.mktemp("runs") / "unused")))
