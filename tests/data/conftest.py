"""Small files with every awkward kind of jet: one of a stream and objects, one of three streams."""

import dataclasses

import h5py
import numpy as np
import pytest

from maskformer_jax.data import JetFile
from maskformer_jax.data.config import (
    DataConfig,
    JetsConfig,
    LabelConfig,
    ObjectsConfig,
    StreamConfig,
    TransformConfig,
)
from maskformer_jax.data.schema import Needs, Targets, build

ORIGINS = ("pileup", "fake", "primary", "fromB", "fromBC", "fromC", "fromTau", "otherSecondary")
LABELS = {
    "flavour": LabelConfig("jets", "flavour_label", {"bjets": 0, "cjets": 1, "ujets": 2}),
    "origin": LabelConfig("tracks", "ftagTruthOriginLabel", {n: i for i, n in enumerate(ORIGINS)}),
    "hadron_class": LabelConfig("hadrons", "flavour", {"b": 5, "c": 4}),
}
HADRONS = ObjectsConfig("truth_hadrons", "tracks", "barcode", "ftagTruthParentBarcode")
DATA = DataConfig(
    jets=JetsConfig(inputs=["pt", "eta"]),
    streams={"tracks": StreamConfig("tracks", ["d0", "qOverP", "hits"], cap=5)},
    objects={"hadrons": HADRONS},
    labels=LABELS,
    block_size=4,
    group_blocks=3,
)
LOG, LOG1P = TransformConfig("log", 1000.0), TransformConfig("log1p", 1.0)
PROPERTIES = Targets("hadrons", {"pt": LOG, "Lxy": LOG1P})
TRACK_COLUMNS = 6
HADRON_COLUMNS = 3


def make_tables(jets=50, seed=0):
    """Structured arrays by dataset name; jet `i` has `i % 6` tracks and `i % 4` hadrons, at most 3.

    Tracks carry their own address, row + column/100, in the field `d0`. The tracks of odd columns
    come from hadron 0, whose barcode is 7.
    """
    generator = np.random.default_rng(seed)
    rows, columns = np.arange(jets), np.arange(TRACK_COLUMNS)
    jet = np.zeros(jets, [("pt", "f4"), ("eta", "f4"), ("flavour_label", "i1")])
    jet["pt"] = generator.uniform(2e4, 2e5, jets)
    jet["eta"] = generator.normal(size=jets)
    jet["flavour_label"] = rows % 3
    fields = [("d0", "f4"), ("qOverP", "f2"), ("hits", "i1"), ("valid", "?")]
    labels = [("ftagTruthOriginLabel", "i1"), ("ftagTruthParentBarcode", "i4")]
    track = np.zeros((jets, TRACK_COLUMNS), fields + labels)
    real = columns < (rows % 6)[:, None]
    track["d0"] = np.where(real, rows[:, None] + columns / 100, np.nan)
    track["qOverP"] = np.where(real, generator.normal(size=real.shape), np.nan)
    track["hits"] = np.where(real, generator.integers(0, 9, real.shape), -1)
    track["valid"] = real
    track["ftagTruthOriginLabel"] = np.where(real, columns % 8, -1)
    track["ftagTruthParentBarcode"] = np.where(real & (columns % 2 == 1), 7, -1)
    kinds = [("flavour", "i1"), ("barcode", "i4"), ("valid", "?")]
    hadron = np.zeros((jets, HADRON_COLUMNS), [("pt", "f4"), ("Lxy", "f4"), *kinds])
    true = np.arange(HADRON_COLUMNS) < (rows % 4)[:, None]
    hadron["pt"] = np.where(true, generator.uniform(5e3, 1e5, true.shape), np.nan)
    hadron["Lxy"] = np.where(true, generator.exponential(5, true.shape), np.nan)
    hadron["flavour"] = np.where(true, [5, 4, 4], -1)
    hadron["barcode"] = np.where(true, [7, 8, 9], -1)
    hadron["valid"] = true
    return {"jets": jet, "tracks": track, "truth_hadrons": hadron}


def write(path, tables, **options):
    """Writes the tables as datasets and returns the path."""
    with h5py.File(path, "w") as file:
        for name, table in tables.items():
            file.create_dataset(name, data=table, **options)
    return path


@pytest.fixture
def tables():
    return make_tables()


@pytest.fixture
def schema():
    return build(DATA, [Needs(LABELS | {"properties": PROPERTIES})])


@pytest.fixture
def change(schema):
    """A schema with other fields of its entries: `change(tracks={"cap": 2}, block_size=7)`."""

    def changed(**values):
        found = schema
        for name, value in values.items():
            if not isinstance(value, dict):
                found = found._replace(**{name: value})
                continue
            for section in ("streams", "objects", "labels"):
                entries = getattr(found, section)
                if name in entries:
                    entry = dataclasses.replace(entries[name], **value)
                    found = found._replace(**{section: entries | {name: entry}})
        return found

    return changed


@pytest.fixture
def opened(tmp_path, schema):
    """Writes tables and opens them; every file is closed at the end of the test."""
    files = []

    def open_tables(tables, chosen=schema, truth="required", **options):
        path = write(tmp_path / f"jets{len(files)}.h5", tables, **options)
        files.append(JetFile(path, chosen, truth))
        return files[-1]

    yield open_tables
    for file in files:
        file.close()
