import h5py
import numpy as np
import pytest

from maskformer_jax.build import build
from maskformer_jax.data import JetFile
from maskformer_jax.data.h5 import select
from maskformer_jax.data.scaling import unfitted
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.prediction_file import PredictionFile, with_columns
from maskformer_jax.evaluation.section import Chunk
from maskformer_jax.evaluation.trained import Trained
from maskformer_jax.types import ObjectLabels

CAP, OBJECTS = 6, 4


def chunk_of(records, seed=0, objects=OBJECTS):
    """Numbers that tell where they belong: origin of track t of jet j is j + t/100, ..."""
    generator = np.random.default_rng(seed)
    jets = len(records.jets)
    jet, slot = np.arange(jets)[:, None, None], np.arange(CAP)
    row = np.arange(objects)
    origin = np.repeat((jet[:, 0] + slot / 100)[..., None], 8, -1).astype(np.float32)
    with np.errstate(divide="ignore"):
        log_origin = np.log(origin)
    predictions = {
        "jet_class": {"log_prob": np.log(generator.dirichlet(np.ones(3), jets)).astype("f4")},
        "track_origin": {"log_prob": log_origin},
        "hadrons": {
            "class_prob": generator.dirichlet(np.ones(3), (jets, objects)).astype(np.float32),
            "mask_logits": (jet + slot / 100 + row[:, None] / 10).astype(np.float32),
            "mask_index": np.broadcast_to(slot % OBJECTS, (jets, CAP)),
        },
    }
    labels = {
        "hadron_class": np.broadcast_to([0, 1, 2, 2], (jets, 4))[:, :objects],
        "hadrons": ObjectLabels(
            np.broadcast_to([True, True, False, False], (jets, 4))[:, :objects],
            np.broadcast_to(slot % OBJECTS == row[:, None], (jets, objects, CAP)),
        ),
    }
    regression = {"hadrons.regression": jet + row[:, None] * 1000.0 + np.arange(3)}
    return Chunk(records, labels, predictions, {}, regression, regression)


def rows_of(chunk, rows):
    """Some of the jets of a chunk."""

    def taken(tree):
        return {
            name: taken(x) if isinstance(x, dict)
            else ObjectLabels(*(y[rows] for y in x)) if isinstance(x, tuple) else x[rows]
            for name, x in tree.items()
        }  # fmt: skip

    records = select(chunk.records, np.arange(len(chunk.records.jets))[rows])
    return Chunk(records, *(taken(tree) for tree in chunk[1:]))


@pytest.fixture(scope="module")
def trained(config):
    model = build(config)
    return Trained(config, unfitted(model.schema), model, model.params, None)


@pytest.fixture
def records(write_tables, make_tables, trained):
    file = JetFile(write_tables(make_tables()), trained.model.schema)
    yield file.read(0, 60)
    file.close()


@pytest.fixture
def written(tmp_path, records, trained):
    """The file that two batches of 40 and 20 jets make, and what went in."""
    content = chunk_of(records)
    path = tmp_path / "new" / "predictions.h5"
    with PredictionFile(path, trained, 60) as file:
        for rows in (slice(0, 40), slice(40, 60)):
            file.add(rows_of(content, rows))
    with h5py.File(path) as file:
        yield {name: file[name][:] for name in file}, content


def test_input_fields_are_copied_row_by_row(written, records):
    datasets, _ = written
    for name, table in (("jets", records.jets), ("tracks", records.streams["tracks"].table)):
        for field in table.dtype.names:
            np.testing.assert_array_equal(datasets[name][field], table[field])
    for field in records.objects["hadrons"].dtype.names:
        written_field = datasets["truth_hadrons"][field]
        np.testing.assert_array_equal(written_field[:, :3], records.objects["hadrons"][field])


def test_names_are_those_of_salt(written, records):
    datasets, _ = written
    assert set(datasets) == {"jets", "tracks", "truth_hadrons", "object_masks"}
    new = {
        name: [f for f in datasets[name].dtype.names if f not in (table.dtype.names or ())]
        for name, table in zip(
            ("jets", "tracks", "truth_hadrons"),
            (records.jets, records.streams["tracks"].table, records.objects["hadrons"]),
            strict=True,
        )
    }
    tracks = ["Pileup", "Fake", "Primary", "FromB", "FromBC", "FromC", "FromTau", "OtherSecondary"]
    assert new["jets"] == ["Tagger_pb", "Tagger_pc", "Tagger_pu"]
    of_tracks = [*(f"Tagger_p{name}" for name in tracks), "Tagger_aux_TrackOrigin"]
    assert new["tracks"] == [*of_tracks, "Tagger_MaskIndex"]
    objects = ["pb", "pc", "pnull", "pt", "Lxy", "deta"]
    assert new["truth_hadrons"] == [*(f"Tagger_{name}" for name in objects), "class_label"]
    assert datasets["object_masks"].dtype.names == ("mask_logits", "truth_mask")


def test_jet_probabilities(written):
    datasets, chunk = written
    for column, flavour in enumerate("bcu"):
        np.testing.assert_allclose(
            datasets["jets"][f"Tagger_p{flavour}"],
            np.exp(chunk.predictions["jet_class"]["log_prob"][:, column]),
        )


def test_tracks_are_back_in_their_columns(written, records):
    tracks = written[0]["tracks"]
    kept = np.zeros(tracks.shape, bool)
    for jet, columns in enumerate(records.streams["tracks"].index):
        for slot, column in enumerate(columns[columns >= 0]):
            kept[jet, column] = True
            assert tracks["Tagger_pFromB"][jet, column] == pytest.approx(jet + slot / 100)
            assert tracks["Tagger_MaskIndex"][jet, column] == slot % OBJECTS
    assert (kept < tracks["valid"]).any(), "some jets have more tracks than the cap"
    assert np.isnan(tracks["Tagger_pFromB"][~kept]).all()
    assert (tracks["Tagger_MaskIndex"][~kept] == -1).all()


def test_objects_in_physical_units_and_padded_rows(written):
    datasets, chunk = written
    prob, regression = (
        chunk.predictions["hadrons"]["class_prob"],
        chunk.predicted["hadrons.regression"],
    )
    hadrons = datasets["truth_hadrons"]
    assert hadrons.shape == (60, OBJECTS)
    for column, name in enumerate(("pt", "Lxy", "deta")):
        np.testing.assert_allclose(hadrons[f"Tagger_{name}"], regression[..., column])
    np.testing.assert_array_equal(hadrons["Tagger_pnull"], prob[..., 2])
    np.testing.assert_array_equal(hadrons["class_label"], chunk.labels["hadron_class"])
    # The file has three hadrons a jet, the model four objects.
    assert np.isnan(hadrons["pt"][:, 3]).all() and not hadrons["valid"][:, 3].any()
    assert (hadrons["barcode"][:, 3] == -1).all()


def test_masks_are_in_the_columns_of_the_tracks(written, records):
    masks = written[0]["object_masks"]
    assert masks.shape == (60, OBJECTS, records.streams["tracks"].table.shape[1])
    for jet, columns in enumerate(records.streams["tracks"].index):
        for slot, column in enumerate(columns[columns >= 0]):
            expected = np.float32(jet + slot / 100 + np.arange(OBJECTS) / 10)
            np.testing.assert_allclose(masks["mask_logits"][jet, :, column], expected, rtol=1e-6)
            truth = masks["truth_mask"][jet, :, column]
            np.testing.assert_array_equal(truth, slot % OBJECTS == np.arange(OBJECTS))
    assert masks["truth_mask"].sum() == (records.streams["tracks"].index >= 0).sum()


def test_file_is_compressed_without_plugins(tmp_path, records, trained):
    with PredictionFile(tmp_path / "p.h5", trained, 60) as file:
        file.add(chunk_of(records))
    with h5py.File(tmp_path / "p.h5") as file:
        for dataset in file.values():
            assert dataset.compression == "gzip" and dataset.shuffle


def test_without_truth_only_predictions_are_written(tmp_path, records, trained):
    with PredictionFile(tmp_path / "p.h5", trained, 60) as file:
        file.add(chunk_of(records._replace(objects={}))._replace(labels={}))
    with h5py.File(tmp_path / "p.h5") as file:
        hadrons = file["truth_hadrons"][:]
    assert "pt" not in hadrons.dtype.names and hadrons.shape == (60, OBJECTS)
    assert (hadrons["class_label"] == -1).all()


def test_hadrons_beyond_the_queries_have_no_prediction(tmp_path, records, trained):
    chunk = chunk_of(records, objects=2)
    with PredictionFile(tmp_path / "p.h5", trained, 60) as file:
        file.add(chunk)
    with h5py.File(tmp_path / "p.h5") as file:
        hadrons, masks = file["truth_hadrons"][:], file["object_masks"][:]
    assert hadrons.shape == (60, 3) and masks.shape[1] == 2
    assert np.isnan(hadrons["Tagger_pb"][:, 2]).all() and (hadrons["class_label"][:, 2] == 2).all()
    prob = chunk.predictions["hadrons"]["class_prob"][..., 0]
    np.testing.assert_array_equal(hadrons["Tagger_pb"][:, :2], prob)


def test_classes_are_attributes_in_their_order(tmp_path, records, trained):
    with PredictionFile(tmp_path / "p.h5", trained, 60) as file:
        file.add(chunk_of(records))
    with h5py.File(tmp_path / "p.h5") as file:
        assert list(file["jets"].attrs["jet_class_classes"]) == ["bjets", "cjets", "ujets"]
        assert file["tracks"].attrs["track_origin_classes"][0] == "pileup"
        assert list(file["truth_hadrons"].attrs["hadrons_classes"]) == ["b", "c", "null"]


def test_two_predictions_of_one_name_are_refused(tmp_path, make_configs):
    """A regression `Tagger` of a field `pb`, and the class bjets."""
    overlay = "tasks: {Tagger: {kind: regression, of: jets, targets: {pb: {}}}}"
    config = make_configs(overlay)
    model = build(config)
    trained = Trained(config, unfitted(model.schema), model, model.params, None)
    with pytest.raises(InputError, match="two tasks predict the field `Tagger_pb` of jets"):
        PredictionFile(tmp_path / "p.h5", trained, 60)


def test_field_of_the_same_name_is_replaced():
    table = np.zeros(2, [("pt", "f4"), ("Tagger_pb", "f8")])
    joined = with_columns(table, {"Tagger_pb": np.float32([1, 2])})
    assert joined.dtype.names == ("pt", "Tagger_pb")
    np.testing.assert_array_equal(joined["Tagger_pb"], [1, 2])


def test_nothing_is_left_of_an_interrupted_file(tmp_path, records, trained):
    with (
        pytest.raises(KeyboardInterrupt),
        PredictionFile(tmp_path / "p.h5", trained, 60) as file,
    ):
        file.add(chunk_of(records))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []


def test_earlier_file_stays_until_the_new_one_is_complete(tmp_path, records, trained):
    (tmp_path / "p.h5").write_text("earlier")
    with PredictionFile(tmp_path / "p.h5", trained, 60) as file:
        file.add(chunk_of(records))
        assert (tmp_path / "p.h5").read_text() == "earlier"
    assert h5py.is_hdf5(tmp_path / "p.h5")


def test_folder_that_is_a_file(tmp_path, trained):
    (tmp_path / "taken").write_text("")
    with (
        pytest.raises(InputError, match=r"taken/p\.h5: cannot be written: .*another place"),
        PredictionFile(tmp_path / "taken" / "p.h5", trained, 60),
    ):
        pass


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, records, trained, full_disk):
    with (
        full_disk(),
        pytest.raises(InputError, match=r"p\.h5: cannot be written") as caught,
        PredictionFile(tmp_path / "p.h5", trained, 60) as file,
    ):
        file.add(chunk_of(records))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []
