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


def make_streams(jets=40, seed=1):
    """Three streams, of which jets lack any or all, with two kinds of objects and numbers.

    Of jet `i`, `i % 5` tracks, `i % 3` electrons and `i % 4` flow constituents are real, anywhere
    among the columns; every fifth `mass` is NaN and no `energy` is zero.
    """
    generator = np.random.default_rng(seed)
    rows = np.arange(jets)
    jet = np.zeros(jets, [(n, "f4") for n in ("pt", "mass", "energy", "weight")] + [("kind", "i1")])
    for name in ("pt", "mass", "energy", "weight"):
        jet[name] = generator.uniform(1, 9, jets)
    jet["mass"][::5] = np.nan
    jet["kind"] = generator.choice([0, 1, 2, 15], jets)
    tables = {"jets": jet}
    for name, most, columns in (("tracks", 5, 6), ("electrons", 3, 2), ("flow", 4, 4)):
        fields = [(f, "f4") for f in ("x", "y")] + [(f, "i4") for f in ("link", "vertex", "kind")]
        table = np.zeros((jets, columns), [*fields, ("valid", "?")])
        real = np.arange(columns) < (rows % most)[:, None]
        table["valid"] = generator.permuted(real, axis=1)
        for field in ("x", "y"):
            table[field] = np.where(table["valid"], generator.normal(size=real.shape), np.nan)
        for field in ("link", "vertex", "kind"):
            table[field] = generator.integers(-1, 4, real.shape)
        tables[name] = table
    for name in ("hadrons", "vertices"):
        table = np.zeros((jets, 3), [("key", "i4"), ("size", "f4"), ("kind", "i4"), ("valid", "?")])
        table["valid"] = generator.random(table.shape) < 0.6
        table["key"] = generator.permuted(np.broadcast_to(np.arange(3), table.shape), axis=1)
        table["kind"] = generator.choice([4, 5, 15], table.shape)
        table["size"] = generator.exponential(size=table.shape)
        tables[name] = table
    return tables


STREAMS = DataConfig(
    jets=JetsConfig(inputs=["pt"], transforms={"pt": TransformConfig("log"), "other": LOG}),
    streams={
        "tracks": StreamConfig("tracks", ["x", "y"], cap=4),
        "electrons": StreamConfig("electrons", ["x"], {"x": TransformConfig("asinh")}),
        "flow": StreamConfig("flow", ["y"], sort_by="x"),
    },
    objects={
        "hadrons": ObjectsConfig("hadrons", "tracks", "key", "link", cap=3),
        "vertices": ObjectsConfig("vertices", "flow", "key", "link", cap=2),
    },
    labels={
        "kind": LabelConfig("jets", "kind", {"b": 0, "light": [2, 1]}),
        "weight": LabelConfig("jets", "weight"),
        "vertex": LabelConfig("tracks", "vertex"),
        "electron_kind": LabelConfig("electrons", "kind", {"two": 2, "others": [0, 3]}),
        "hadron_kind": LabelConfig("hadrons", "kind", {"b": 5, "c": 4}),
        "hadron_size": LabelConfig("hadrons", "size"),
    },
    block_size=7,
)
STREAM_TARGETS = {
    "mass": Targets("jets", {"mass": TransformConfig("log")}, {"mass": "energy"}, ignore_nan=True),
    "slope": Targets("flow", {"y": TransformConfig(), "x": TransformConfig("asinh")}),
    "size": Targets("hadrons", {"size": TransformConfig("log1p")}),
}


def streams_schema(data=STREAMS, pairs=("tracks", "flow")):
    """Everything in a file of `make_streams`."""
    return build(data, [Needs(data.labels | data.objects | STREAM_TARGETS, pairs)])


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
