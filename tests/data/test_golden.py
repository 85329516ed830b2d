"""Batches of jets, tracks and hadrons are the same bytes as those that were recorded."""

import pytest
from golden import golden

from maskformer_jax.data import JetFile, Layout, TrainLoader, fit_scaling
from maskformer_jax.data.config import (
    JetsConfig,
    LabelConfig,
    ObjectsConfig,
    StreamConfig,
    TransformConfig,
)
from maskformer_jax.data.schema import Schema, Targets

FACTS = golden.facts()


def transforms(section):
    return {name: TransformConfig(**entry) for name, entry in section["transforms"].items()}


@pytest.fixture(scope="module")
def schema():
    """What is in the recorded configuration, whose sections are of one application."""
    data = FACTS["config"]["data"]
    jets, tracks, hadrons = data["jets"], data["tracks"], data["hadrons"]
    objects = ObjectsConfig("truth_hadrons", "tracks", hadrons["link"], tracks["link"])
    chosen = transforms(hadrons)
    targets = {name: chosen.get(name, TransformConfig()) for name in hadrons["targets"]}
    stream = StreamConfig("tracks", tracks["inputs"], transforms(tracks), cap=tracks["cap"])
    return Schema(
        jets=JetsConfig("jets", jets["inputs"], transforms(jets)),
        streams={"tracks": stream},
        objects={"hadrons": objects},
        labels={
            "flavour": LabelConfig("jets", jets["label"], jets["classes"]),
            "origin": LabelConfig("tracks", tracks["origin"], tracks["origin_classes"]),
            "hadron_class": LabelConfig("hadrons", hadrons["label"], hadrons["classes"]),
            "regression": Targets("hadrons", targets),
            "hadrons": objects,
        },
        block_size=data["block_size"],
        group_blocks=data["group_blocks"],
    )


@pytest.fixture(scope="module")
def files(schema, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    golden.write_sample(folder)
    opened = {name: JetFile(folder / f"{name}.h5", schema) for name in golden.JETS}
    yield opened
    for file in opened.values():
        file.close()


def leaves(batch, labels):
    """By the names of the record."""
    return {
        "jets": batch.jets,
        "tracks": batch.streams["tracks"].values,
        "valid": batch.streams["tracks"].valid,
        "jet_valid": batch.jet_valid,
        "jet_class_index": labels["flavour"],
        "origin_index": labels["origin"],
        "object_class_index": labels["hadron_class"],
        "object_valid": labels["hadrons"].valid,
        "masks": labels["hadrons"].masks,
        "regression": labels["regression"],
    }


@pytest.mark.parametrize("name", FACTS["batches"])
def test_batches_are_the_recorded_ones(name, files):
    record, training = FACTS["batches"][name], FACTS["config"]["training"]
    widths, shape = files["train"].widths, dict(record["layout"])
    assert shape.pop("width") == widths["tracks"]
    layout = Layout(**shape, widths=widths)
    scaling, size = fit_scaling(files["train"]), training["batch_size"]
    options = {"batch_size": size, "seed": training["seed"], "layout": layout}
    iterator = TrainLoader(files["train"], scaling, **options).iterator()
    for expected in record["train"]:
        assert golden.checksums(leaves(*next(iterator))) == expected
