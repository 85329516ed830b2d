"""The shipped configuration reads a file with the names of the public dataset."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from maskformer_jax import config
from maskformer_jax.build import build_tasks
from maskformer_jax.data import JetFile, fit_scaling, read_sequential
from maskformer_jax.data.schema import build

CONFIG = Path(__file__).parents[2] / "configs" / "public_dataset.yaml"
TRACKS = [
    *((name, "f4") for name in ("d0", "z0", "phi_rel", "eta_rel", "dr", "pt_frac")),
    *((name, "f4") for name in ("signed_2d_ip", "signed_3d_ip")),
    *((name, "i4") for name in ("charge", "truth_origin_label", "truth_vertex_idx")),
    ("truth_hadron_idx", "i4"),
    ("valid", "?"),
]
HADRONS = [
    *((name, "f4") for name in ("pt", "Lxy", "mass", "dr")),
    *((name, "i4") for name in ("flavour", "hadron_idx", "hadron_parent_idx")),
    ("valid", "?"),
]
JETS = [("pt", "f4"), ("eta", "f4"), ("mass", "f4"), ("flavour", "i4"), ("flavour_label", "i4")]


@pytest.fixture
def public_file(tmp_path):
    """Twelve jets, each with three tracks, the second of them from the only hadron."""
    generator = np.random.default_rng(0)
    tables = {
        "jets": np.zeros(12, JETS),
        "consts": np.zeros((12, 50), TRACKS),
        "hadrons": np.zeros((12, 5), HADRONS),
    }
    for table in tables.values():
        for name in table.dtype.names:
            if table.dtype[name].kind == "f":
                table[name] = generator.exponential(size=table.shape)
    tables["jets"]["flavour"] = [5, 4, 0] * 4
    consts, hadrons = tables["consts"], tables["hadrons"]
    consts["charge"] = generator.choice([-1, 1], consts.shape)
    consts["valid"] = np.arange(50) < 3
    consts["truth_hadron_idx"] = -1
    consts["truth_hadron_idx"][:, 1] = 0
    consts["truth_origin_label"] = 7
    hadrons["valid"] = np.arange(5) < 1
    hadrons["hadron_idx"] = np.where(hadrons["valid"], 0, -1)
    hadrons["flavour"] = np.where(hadrons["valid"], 4, -1)
    path = tmp_path / "public.h5"
    with h5py.File(path, "w") as file:
        for name, table in tables.items():
            file.create_dataset(name, data=table, compression="lzf", chunks=True)
    return path


def test_the_configuration_reads_the_public_layout(public_file):
    chosen = config.load(["--config", str(CONFIG)])
    schema = build(chosen.data, [task.needs for task in build_tasks(chosen)])
    file = JetFile(public_file, schema)
    (_, batch, labels), *rest = read_sequential(file, fit_scaling(file), 12, labelled_only=True)
    assert not rest and batch.jet_valid.all()
    assert batch.streams["tracks"].values.shape == (12, 50, 9)
    assert labels["hadrons.regression"].shape == (12, 5, 4)
    np.testing.assert_array_equal(labels["flavour"], [0, 1, 2] * 4)
    np.testing.assert_array_equal(labels["origin"][:, :4], [[7, 7, 7, -1]] * 12)
    np.testing.assert_array_equal(labels["hadron_class"], [[1, 2, 2, 2, 2]] * 12)
    expected = np.zeros((12, 5, 50), bool)
    expected[:, 0, 1] = True
    np.testing.assert_array_equal(labels["hadrons"].masks, expected)
    file.close()
