"""A file of jets with three streams, two kinds of objects, numbers, targets and pairs."""

import numpy as np

from maskformer_jax.data.config import (
    DataConfig,
    JetsConfig,
    LabelConfig,
    ObjectsConfig,
    StreamConfig,
    TransformConfig,
)
from maskformer_jax.data.schema import Needs, Targets, build


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
    jets=JetsConfig(
        inputs=["pt"],
        transforms={"pt": TransformConfig("log"), "other": TransformConfig("log", 1000.0)},
    ),
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
