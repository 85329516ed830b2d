"""The shipped models train as they are, but for their size, with nothing but two files."""

import h5py
import numpy as np
import pytest
import yaml
from network_gradients import CONFIGS
from numpy.lib import recfunctions

from maskformer_jax import config as configuration
from maskformer_jax.experiment import train
from maskformer_jax.training.logging import read_log

SAMPLE = CONFIGS.parent / "data" / "sample"
TINY = {
    "model": {"embed_dim": 8, "num_heads": 2, "head_widths": [8], "embedding": {"widths": [8]}},
    "training": {"epochs": 1, "batch_size": 20, "log_every": 1, "seed": 1},
}
NARROW = {"model": {"encoder": {"layers": 1, "output_dim": 6}}}
ONE_LAYER = {"model": {"encoder": {"layers": 1}}}
# Model -> what makes it small.
MODELS = {
    "gn2": NARROW,
    "gn2x": NARROW,
    "dips": {},
    "dl1": {},
    "maskformer": ONE_LAYER | {"tasks": {"hadrons": {"decoder_layers": 1}}},
    "examples/three_streams": ONE_LAYER,
}
FLOW = ("flow_pt", "flow_energy", "flow_deta", "flow_dphi")


def constituents(generator, jets, columns, fields):
    """Up to so many of each jet, none of some; all numbers positive."""
    table = np.zeros((jets, columns), [*((name, "f4") for name in fields), ("valid", "?")])
    table["valid"] = np.arange(columns) < generator.integers(0, columns + 1, jets)[:, None]
    for name in fields:
        table[name] = generator.uniform(0.1, 9, table.shape)
    return table


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The first jets of the sample, with streams and fields that it has not."""
    folder, generator = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for name, jets in (("train", 40), ("val", 20)):
        with h5py.File(SAMPLE / f"{name}.h5") as old, h5py.File(folder / f"{name}.h5", "w") as new:
            table = old["jets"][:jets]
            pt, eta = table["pt_btagJes"], table["eta_btagJes"]
            new["jets"] = recfunctions.append_fields(table, ("pt", "eta"), (pt, eta), usemask=False)
            tracks, lepton = old["tracks"][:jets], generator.integers(0, 2, (jets, 40))
            wide = np.zeros(tracks.shape, [*tracks.dtype.descr, ("leptonID", "i1")])
            for field in tracks.dtype.names:
                wide[field] = tracks[field]
            wide["leptonID"] = lepton
            new["tracks"], new["truth_hadrons"] = wide, old["truth_hadrons"][:jets]
            new["electrons"] = constituents(
                generator, jets, 3, ("pt", "deta", "dphi", "qOverP", "d0")
            )
            new["flow"] = constituents(generator, jets, 6, FLOW)
    return folder


def merged(first, second):
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return {
        k: merged(first[k], second[k]) if k in first and k in second else {**first, **second}[k]
        for k in {**first, **second}
    }


@pytest.mark.parametrize("model", MODELS)
def test_model_trains(model, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(merged(TINY, MODELS[model])))
    argv = [f"--config={CONFIGS / model}.yaml", f"--config={tmp_path / 'tiny.yaml'}"]
    argv += [f"--data.{name}_file={files / name}.h5" for name in ("train", "val")]
    config = configuration.load([*argv, f"--output_dir={tmp_path / 'run'}"])
    assert train(config).finished
    log = read_log(tmp_path / "run")
    losses = [name for name in log[0] if name.startswith("loss/") and name != "loss/total"]
    assert len(log) == 3 and losses
    for name in losses:
        assert log[0][name] > 0 and f"val/{name}" in log[-1], name
    assert log[0]["gradient_norm"] > 0
