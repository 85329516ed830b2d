"""A tiny run folder and test file, made without training."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from maskformer_jax import config as configuration
from maskformer_jax.build import build
from maskformer_jax.data import NORMALISATION_FILE, JetFile, TrainLoader, fit_scaling
from maskformer_jax.evaluation.baseline import fit_baseline
from maskformer_jax.evaluation.section import Setting
from maskformer_jax.training import loop, run_folder
from maskformer_jax.training.checkpoint import Checkpoints, Progress

COLUMNS = 8
SIGNIFICANCES = ["IP3D_signed_d0_significance", "IP3D_signed_z0_significance"]
# A small network on the fields of `tables_of`, more queries than the file has hadrons.
CONFIG = """
base: {configs}/data/atlas.yaml
name: Tagger
data:
  train_file: {path}
  block_size: 50
  jets: {{inputs: [pt, eta]}}
  streams: {{tracks: {{inputs: [d0, {fields}], cap: 6}}}}
  objects: {{hadrons: {{cap: 4}}}}
model:
  embed_dim: 8
  num_heads: 2
  head_widths: [8]
  encoder: {{layers: 1}}
  embedding: {{positions: {{tracks: [d0]}}}}
tasks:
  jet_class: {{kind: classification, label: flavour}}
  track_origin: {{kind: classification, label: origin}}
  hadrons:
    kind: objects
    objects: hadrons
    decoder_layers: 1
    losses:
      object_class: {{label: hadron_class}}
      mask_ce: {{}}
      regression:
        targets: {{pt: {{name: log, scale: 1000.0}}, Lxy: {{name: log1p, scale: 1.0}}, deta: {{}}}}
training: {{batch_size: 20}}
evaluation: {{batch_size: 25}}
"""
# Other networks on them: two classifications of jets and vertices of edges, and jets alone.
EDGES = """
tasks:
  charm: {kind: classification, label: is_charm}
  vertexing: {kind: edges, label: vertex}
  energy: {kind: regression, of: jets, loss: gaussian, targets: {pt: {name: log, scale: 1000.0}}}
  size:
    kind: regression
    of: tracks
    nan: ignore
    targets: {d0: {}}
    denominators: {d0: IP3D_signed_d0_significance}
data:
  labels:
    vertex: {field: ftagTruthParentBarcode}
    is_charm: {of: jets, field: flavour_label, classes: {charm: 1, other: [0, 2]}}
without: [hadrons]
"""


def tables_of(jets=60, seed=0):
    """Datasets of jets with 0 to 7 tracks: b, c and light in turn, two hadrons, one, none.

    The even tracks of a b or c jet come from its first hadron and are displaced; of two jets, one
    has its padding before its tracks, so that columns of the file and of the model differ.
    """
    generator = np.random.default_rng(seed)
    rows = np.arange(jets)
    flavour = rows % 3
    jet = np.zeros(jets, [("pt", "f4"), ("eta", "f4"), ("flavour_label", "i1"), ("number", "i4")])
    jet["pt"], jet["eta"] = generator.uniform(2e4, 2e5, jets), generator.normal(size=jets)
    jet["flavour_label"], jet["number"] = flavour, rows
    dtype = [("d0", "f4"), *((name, "f2") for name in SIGNIFICANCES), ("valid", "?")]
    dtype += [("ftagTruthOriginLabel", "i1"), ("ftagTruthParentBarcode", "i4")]
    track = np.zeros((jets, COLUMNS), dtype)
    real = np.arange(COLUMNS) < generator.integers(0, COLUMNS, jets)[:, None]
    real[::2] = real[::2, ::-1]
    of_hadron = real & (np.arange(COLUMNS) % 2 == 0) & (flavour < 2)[:, None]
    for name in ("d0", *SIGNIFICANCES):
        values = generator.normal(size=real.shape) + 4 * of_hadron * (2 - flavour)[:, None]
        track[name] = np.where(real, values, np.nan)
    track["valid"] = real
    track["ftagTruthOriginLabel"] = np.where(real, np.where(of_hadron, 3, 2), -1)
    track["ftagTruthParentBarcode"] = np.where(of_hadron, 7, -1)
    kinds = [("flavour", "i1"), ("barcode", "i4"), ("valid", "?")]
    hadron = np.zeros((jets, 3), [("pt", "f4"), ("Lxy", "f4"), ("deta", "f4"), *kinds])
    true = np.arange(3) < (2 - flavour)[:, None]
    for name, values in (("pt", generator.uniform(5e3, 1e5, true.shape)), ("deta", 0.1)):
        hadron[name] = np.where(true, values * generator.uniform(0.5, 1, true.shape), np.nan)
    hadron["Lxy"] = np.where(true, generator.exponential(5, true.shape), np.nan)
    first = np.where(flavour == 0, 5, 4)[:, None]
    hadron["flavour"] = np.where(true, np.where(np.arange(3) == 0, first, 4), -1)
    hadron["barcode"] = np.where(true, np.arange(7, 10), -1)
    hadron["valid"] = true
    return {"jets": jet, "tracks": track, "truth_hadrons": hadron}


def write(path, tables):
    """Writes the tables as datasets and returns the path."""
    with h5py.File(path, "w") as file:
        for name, table in tables.items():
            file.create_dataset(name, data=table)
    return path


def make_config(path, folder, *overlays, alone=False):
    """The configuration above with others over it, which are texts; or they alone."""
    configs = Path(__file__).parents[2] / "configs"
    first = CONFIG.format(configs=configs, path=path, fields=", ".join(SIGNIFICANCES))
    arguments = [f"--data.train_file={path}"]
    for number, text in enumerate(overlays if alone else [first, *overlays]):
        (folder / f"{number}.yaml").write_text(text)
        arguments += ["--config", str(folder / f"{number}.yaml")]
    return configuration.load(arguments)


def run_of(folder, config):
    """A run folder as training leaves it, with the parameters it begins with."""
    folder.mkdir()
    model = build(config)
    file = JetFile(config.data.train_file, model.schema)
    scaling = fit_scaling(file)
    scaling.save(folder / NORMALISATION_FILE)
    if config.data.streams:
        fit_baseline(file, config.evaluation.baseline).save(folder / run_folder.BASELINE_FILE)
    run_folder.complete(folder, config, {})
    loader = TrainLoader(file, scaling, batch_size=20, seed=0).iterator()
    next(loader)
    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(loop.build(config, model, 1).state, loader, Progress(), is_best=True)
    checkpoints.close()
    loader.close()
    file.close()
    return folder


@pytest.fixture(scope="session")
def train_path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("files") / "train.h5", tables_of(200, seed=1))


@pytest.fixture(scope="session")
def make_configs(train_path, tmp_path_factory):
    """`make_configs(*overlays)`, texts over the configuration of the small network."""

    def make(*overlays, alone=False):
        return make_config(train_path, tmp_path_factory.mktemp("config"), *overlays, alone=alone)

    return make


@pytest.fixture(scope="session")
def config(make_configs):
    return make_configs()


@pytest.fixture(scope="session")
def edges_config(make_configs):
    return make_configs(EDGES)


@pytest.fixture(scope="session")
def make_setting():
    """`make_setting(config, labels=None, baseline=None)`; a file has all labels unless named."""

    def make(config, labels=None, baseline=None):
        model = build(config)
        there = tuple(model.schema.labels) if labels is None else labels
        return Setting(config, model.tasks, model.schema, there, baseline)

    return make


@pytest.fixture(scope="session")
def setting(config, make_setting):
    return make_setting(config)


@pytest.fixture(scope="session")
def run(make_run, config):
    return make_run(config)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    return lambda config: run_of(tmp_path_factory.mktemp("runs") / "run", config)


@pytest.fixture(scope="session")
def edges_run(make_run, edges_config):
    return make_run(edges_config)


@pytest.fixture(scope="session")
def test_path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("files") / "test.h5", tables_of())


@pytest.fixture
def make_tables():
    return tables_of


@pytest.fixture
def write_tables(tmp_path):
    """Writes tables as a file in a folder of its own."""

    def write_new(tables):
        folder = tmp_path / f"files{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return write(folder / "jets.h5", tables)

    return write_new
