"""Productions by the real command line: bytes, continuation, mistakes, and what reads the files."""

import dataclasses
import errno
import json
import os
import resource
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from maskformer_jax import configuration
from maskformer_jax.data import JetFile, convert, fit_scaling
from maskformer_jax.data.config import JetsConfig, LabelConfig, ObjectsConfig, StreamConfig
from maskformer_jax.data.salt import load_class_weights, load_norm
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.simulation import inspection, production, writing
from maskformer_jax.simulation.config import (
    THESIS_INPUTS,
    JetFindingConfig,
    OutputConfig,
    PileUpConfig,
    SampleConfig,
    SimulationConfig,
)
from maskformer_jax.simulation.events import generator
from maskformer_jax.simulation.pileup import Pool
from maskformer_jax.simulation.shards import make_shard, process_events, pythia_seed
from maskformer_jax.simulation.shards import simulate as simulate_shard
from maskformer_jax.simulation.truth import ORIGINS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import simulate  # noqa: E402

CONFIGS = sorted((ROOT / "configs" / "simulation").glob("*.yaml"))
HADRONS = ObjectsConfig("truth_hadrons", "tracks", "barcode", "ftagTruthParentBarcode")
SCHEMA = Schema(
    jets=JetsConfig(inputs=["pt_btagJes", "eta_btagJes"]),
    streams={"tracks": StreamConfig("tracks", [*THESIS_INPUTS])},
    objects={"hadrons": HADRONS},
    labels={
        "hadrons": HADRONS,
        "hadron_class": LabelConfig("hadrons", "flavour", {"b": 5, "c": 4}),
        "flavour": LabelConfig("jets", "flavour_label", {"bjets": 0, "cjets": 1, "ujets": 2}),
    },
)
WRITTEN = ("train.h5", "test.h5", "norm_dict.yaml", "class_dict.yaml", "simulation.yaml")


def dies_on_the_second(task, config):
    if task.number == 1:
        os._exit(9)
    return make_shard(task, config)


def finds_the_disk_full(task, config):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def yaml_file(small, tmp_path_factory):
    """The small production as a file for the command line."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    configuration.save(small(), path)
    return path


@pytest.fixture(scope="module")
def made(yaml_file, tmp_path_factory):
    """The folder of a production by one worker, from the command line."""
    folder = tmp_path_factory.mktemp("made") / "one"
    assert simulate.main(["--config", str(yaml_file), f"--output_dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def interrupted(small, tmp_path_factory):
    """The folder of a production whose worker died; continued by two workers it is finished."""
    folder = tmp_path_factory.mktemp("made") / "two"
    output = OutputConfig(chunk_jets=16, keep_shards=True)
    config = small(output_dir=str(folder), workers=2, output=output)
    with pytest.raises(InputError, match=r"worker died.*run the same command again"):
        production.produce(config, dies_on_the_second)
    kept = {path: path.stat().st_mtime_ns for path in (folder / "shards").glob("*.npz")}
    (folder / "shards" / "train_000001.unfinished").write_bytes(b"half of a shard")
    production.produce(config)
    return folder, kept


def test_bytes_depend_on_neither_workers_nor_interruptions(made, interrupted):
    folder, kept = interrupted
    assert kept
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    for name in WRITTEN:
        assert (made / name).read_bytes() == (folder / name).read_bytes(), name
    assert sorted(path.name for path in made.iterdir()) == sorted(WRITTEN)


def test_a_finished_production_is_left_as_it_is(made, yaml_file, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    assert simulate.main(["--config", str(yaml_file), f"--output_dir={made}", "--workers=2"]) == 0
    assert "train.h5" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_training_reads_the_files(made):
    for name, jets in (("train", 60), ("test", 60)):
        file = JetFile(made / f"{name}.h5", SCHEMA)
        assert file.num_jets == jets
        assert file.widths == {"tracks": 50}
        records = file.read(0, jets)
        samples = convert([records], SCHEMA, fit_scaling(file))
        counts = samples.counts["tracks"][:-1]
        assert (counts == records.jets["n_tracks"]).all() and counts.min() >= 1
        assert np.isfinite(samples.streams["tracks"]).all()
        hadrons, labels = records.objects["hadrons"], samples.labels["hadrons"]
        linked = hadrons["n_tracks"][hadrons["valid"]].sum()
        assert labels.masks.sum() == linked > 0
        assert (labels.valid[:-1].sum(axis=1) == records.jets["n_truth_hadrons"]).all()
        file.close()


def test_balanced_and_natural_flavours(made):
    with h5py.File(made / "train.h5") as file:
        assert np.bincount(file["jets"]["flavour_label"]).tolist() == [20, 20, 20]
    with h5py.File(made / "test.h5") as file:
        mix = np.bincount(file["jets"]["flavour_label"], minlength=3)
        assert mix.sum() == 60 and mix[1] < mix[0] < 60


def test_samples_share_no_event(made):
    energies = []
    for name in ("train", "test"):
        with h5py.File(made / f"{name}.h5") as file:
            energies.append(set(file["truth_hadrons"]["pt"][file["truth_hadrons"]["valid"]]))
    assert energies[0] and not energies[0] & energies[1]
    config = SimulationConfig()
    seeds = [pythia_seed(config, s, n) for s in (None, *config.samples) for n in range(50)]
    assert len(set(seeds)) == len(seeds) and min(seeds) >= 1


def test_padding_is_that_of_the_layout(made):
    with h5py.File(made / "test.h5") as file:
        for name in ("tracks", "truth_hadrons"):
            table = file[name][:]
            padding = table[~table["valid"]]
            for field in table.dtype.names:
                kind = table.dtype[field].kind
                if kind == "f":
                    assert (
                        np.isnan(padding[field]).all()
                        and np.isfinite(table[field][table["valid"]]).all()
                    )
                elif kind == "i":
                    expected = -2 if field == "ftagTruthVertexIndex" else -1
                    assert (padding[field] == expected).all()
            assert (np.diff(table["valid"].astype(int), axis=1) <= 0).all()
        assert file["jets"].attrs["flavour_label"].tolist() == ["bjets", "cjets", "ujets"]


def test_dictionaries_are_those_of_the_training_file(made):
    norm = load_norm(made / "norm_dict.yaml")
    with h5py.File(made / "train.h5") as file:
        tracks = file["tracks"][:]
        tracks, pt = tracks[tracks["valid"]], file["jets"]["pt_btagJes"]
        hadrons = file["truth_hadrons"]["flavour"]
    for name in THESIS_INPUTS:
        values = tracks[name].astype(float)
        found = dataclasses.astuple(norm["tracks"][name])
        assert found == pytest.approx((values.mean(), values.std() or 1.0), rel=1e-5)
    found = dataclasses.astuple(norm["jets"]["pt_btagJes"])
    assert found == pytest.approx((pt.mean(), pt.std()), rel=1e-4)
    path = made / "class_dict.yaml"
    of_origins = load_class_weights(path, "tracks", "ftagTruthOriginLabel", [*ORIGINS])
    counts = np.bincount(tracks["ftagTruthOriginLabel"], minlength=8)
    np.testing.assert_allclose(of_origins * np.maximum(counts, 1),
                               np.where(counts, counts.max(), 1), rtol=1e-5)  # fmt: skip
    of_objects = [(hadrons == code).sum() for code in (5, 4, -1)]
    np.testing.assert_allclose(
        load_class_weights(path, "truth_hadrons", "flavour", ["b", "c", "none"]),
        max(of_objects) / np.array(of_objects),
        rtol=1e-5,
    )


def test_a_file_says_what_it_was_made_with(made):
    with h5py.File(made / "train.h5") as file:
        record = json.loads(file.attrs["provenance"])
    assert record["versions"]["pythia8mc"] and record["versions"]["fastjet"]
    assert record["jets_written"] == {"bjets": 20, "cjets": 20, "ujets": 20}
    assert record["events"] == record["shards"] * 60
    assert record["config"]["seed"] == 0 and record["config"]["pileup"]["mean"] == 20.0
    assert yaml.safe_load((made / "simulation.yaml").read_text()) == record["config"]


def test_inspection_says_and_draws_what_is_there(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inspection, "THESIS_INPUTS", ("d0", "numberOfPixelHits"))
    arguments = [str(made / "test.h5"), "--compare", str(made / "train.h5")]
    assert simulate.main(["inspect", *arguments, "--output_dir", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "60 jets: " in text and "20 cjets (33.3%)" in text and "median Lxy" in text
    for name in ("inputs.png", "hits.png", "vertices.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_a_full_disk_is_one_line(small, tmp_path):
    config = small(output_dir=str(tmp_path / "full"))
    with pytest.raises(InputError, match=r"can't be written to: No space left.*same command again"):
        production.produce(config, finds_the_disk_full)


@pytest.mark.parametrize("limit", [1000, 20_000, 40_000])
def test_a_file_that_can_not_be_written_is_one_error_and_is_not_there(
    small, interrupted, tmp_path, capfd, limit
):
    with h5py.File(interrupted[0] / "train.h5") as file:
        number = json.loads(file.attrs["provenance"])["shards"]
    # Workers may have made more shards than were needed in the end.
    shards = sorted((interrupted[0] / "shards").glob("train_*.npz"))[:number]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writing.write(tmp_path / "train.h5", "train", shards, small())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [*tmp_path.iterdir()] and capfd.readouterr().err == ""
    writing.write(tmp_path / "train.h5", "train", shards, small())
    assert (tmp_path / "train.h5").read_bytes() == (interrupted[0] / "train.h5").read_bytes()


def test_a_production_that_finds_nothing_stops(small):
    tally = production.Tally(small(), "train")
    only_b = np.zeros(5, [("pt_btagJes", "f4"), ("eta_btagJes", "f4"), ("flavour_label", "i1")])
    only_b["pt_btagJes"] = 50_000.0
    for _ in range(production.PATIENCE - 1):
        assert tally.add(only_b).tolist() == [5, 0, 0]
    assert tally.usable() == 0 and not tally.enough()
    with pytest.raises(InputError, match=r"`train`: 20 shards .*'bjets': 100, 'cjets': 0"):
        tally.add(only_b)


def test_events_without_jets_make_an_empty_shard(small):
    few = small(shard_events=3, jet_finding=JetFindingConfig(min_pt=6000.0))
    made = simulate_shard(few, "test", 0, Pool(np.zeros(2, int), np.zeros((0, 6), np.float32)))
    assert [len(table) for table in made] == [0, 0, 0]


MISTAKES = [
    (["--jets=0"], "`jets` must say how many"),
    (["--jets=-1"], "`jets`"),
    (["--workers=0"], "`workers`"),
    (["--seed=-1"], "`seed`"),
    (["--pileup.mean=-1"], "`pileup.mean`"),
    (["--pileup.mean=1e5"], "`pileup.mean`"),
    (["--workers=1000000"], "`workers` must be at most 10000"),
    (
        ["--processes={a: {settings: ['Init:plugins = {x.so::y}']}}"],
        "`processes.a.settings`",
    ),
    (["--samples={../train: {}}"], "`samples`"),
    (["--tracker.speed=1"], "speed"),
    (["--tracker.pixel_radii=[50, 40]"], "`tracker.pixel_radii`"),
    (["--tracker.efficiency=1.5"], "`tracker.efficiency`"),
    (["--resolution.first_layer=[1, 2]"], "`resolution.first_layer`"),
    (["--material.thickness=[0.1]"], "`material.thickness`"),
    (["--balance.pt_edges=[20]"], "`balance.pt_edges`"),
    (["--samples={train: {processes: [magic]}}"], "`samples.train.processes`"),
    (["--samples={train: {flavours: sweet}}"], "flavours"),
    (["--output.track_fields=[charm]"], "`output.track_fields`"),
    (["--output.keep_by=luck"], "`output.keep_by`"),
    (["--output.tracks=200"], "`output.tracks`"),
    (["--config={0}/nothing.yaml"], "nothing.yaml"),
    (["--output_dir={0}/occupied"], "occupied is not empty"),
    (["--output_dir={0}/text/new"], "text/new"),
    (["--output_dir={1}", "--seed=4"], "holds a production with other options"),
    (["inspect", "{0}/nothing.h5"], "nothing.h5: no such file"),
    (["inspect", "{0}/text"], "text"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    yaml_file, made, tmp_path, capsys, arguments, message
):
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "thesis.tex").write_text("precious")
    (tmp_path / "text").write_text("this is not HDF5")
    before = sorted(tmp_path.rglob("*"))
    arguments = [a.replace("{0}", str(tmp_path)).replace("{1}", str(made)) for a in arguments]
    if arguments[0] != "inspect":
        arguments = ["--config", str(yaml_file), f"--output_dir={tmp_path / 'new'}", *arguments]
    assert simulate.main(arguments) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("error: ") and message in errors[0]
    assert sorted(tmp_path.rglob("*")) == before


SETTINGS = [
    ("Top:gg2everything = on", "Pythia does not know the setting, or its value: 'Top:gg2every"),
    ("PhaseSpace:pTHatMin = -x", "Pythia does not know the setting, or its value: 'PhaseSpace"),
    ("Top:gg2ttbar = maybe not", "Pythia can't start with the settings"),
]


@pytest.mark.parametrize(("setting", "message"), SETTINGS)
def test_a_setting_that_means_nothing_to_pythia_is_named(setting, message, capfd):
    with pytest.raises(InputError, match=message):
        generator([setting], 13000.0, seed=1)
    assert capfd.readouterr() == ("", "")


def test_an_error_in_a_worker_is_that_of_the_production(small, tmp_path):
    pileup = PileUpConfig(mean=5.0, pool_events=5, settings=["Top:gg2everything = on"])
    with pytest.raises(InputError, match="gg2everything"):
        production.produce(small(output_dir=str(tmp_path / "new"), pileup=pileup))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_load(path):
    config = configuration.load(["--config", str(path)], SimulationConfig)
    for sample in config.samples:
        assert sum(process_events(config, sample).values()) == config.shard_events


def test_events_are_shared_among_processes(small):
    names = {"a": 1.0, "b": 2.0, "c": 1.0}
    one = next(iter(small().processes.values()))
    processes = {name: one.__class__(one.settings, share) for name, share in names.items()}
    samples = {"train": SampleConfig(), "test": SampleConfig(processes=["a", "c"])}
    config = small(processes=processes, samples=samples, shard_events=61)
    assert process_events(config, "train") == {"a": 15, "b": 31, "c": 15}
    assert sum(process_events(config, "test").values()) == 61


@pytest.mark.parametrize("bits", [5, 12, 23])
def test_rounding_keeps_so_many_bits(bits):
    values = np.array([1.0, -3.3, 1e-5, 6.02e5, np.nan, 0.0], np.float32)
    found = writing.rounded(values, bits)
    np.testing.assert_allclose(found, values, rtol=2.0 ** -(bits + 1))
    kept = np.uint32(0xFFFFFFFF) << np.uint32(23 - bits)
    finite = np.isfinite(values)
    assert (found.view(np.uint32)[finite] & ~kept == 0).all()


def test_salts_own_reader_accepts_the_file(made):
    salt = pytest.importorskip("salt.data", reason="Salt is not installed: requirements-peers.txt")
    from salt.data import SaltDataset
    from salt.utils.configs import MaskformerConfig

    text = (Path(salt.__file__).parent / "configs" / "MaskFormer.yaml").read_text()
    truth = yaml.safe_load(text)["data"]["mf_config"]
    dataset = SaltDataset(
        str(made / "train.h5"),
        norm_dict=str(made / "norm_dict.yaml"),
        variables={"jets": ["pt_btagJes", "eta_btagJes"], "tracks": [*THESIS_INPUTS]},
        stage="fit",
        labels={
            "jets": ["flavour_label"],
            "tracks": ["ftagTruthOriginLabel", "ftagTruthVertexIndex", "ftagTruthParentBarcode"],
            "objects": ["pt", "Lxy", "deta", "dphi", "mass", "barcode", "flavour"],
        },
        mf_config=MaskformerConfig(**truth),
    )
    assert len(dataset) == 60
    inputs, padding, labels = dataset[0:60]
    with h5py.File(made / "train.h5") as file:
        assert (~padding["tracks"].numpy() == file["tracks"]["valid"]).all()
        masks = labels["objects"]["masks"].numpy()
        assert (
            masks.sum() == file["truth_hadrons"]["n_tracks"][file["truth_hadrons"]["valid"]].sum()
        )
    assert np.isfinite(inputs["tracks"].numpy()).all()
