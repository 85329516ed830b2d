import dataclasses

import h5py
import numpy as np
import pytest

from maskformer_jax.data import JetFile
from maskformer_jax.data.h5 import select
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.predict import Predictions
from maskformer_jax.evaluation.prediction_file import PredictionFile, with_columns
from maskformer_jax.types import Targets

CAP, OBJECTS = 6, 4


def predictions_of(records, seed=0):
    """Numbers that tell where they belong: origin of track t of jet j is j + t/100, ..."""
    generator = np.random.default_rng(seed)
    jets = len(records.jets)
    jet, slot = np.arange(jets)[:, None, None], np.arange(CAP)
    row = np.arange(OBJECTS)
    predictions = Predictions(
        jet_log_prob=np.log(generator.dirichlet(np.ones(3), jets).astype(np.float32)),
        origin_prob=np.repeat((jet[:, 0] + slot / 100)[..., None], 8, -1).astype(np.float32),
        object_prob=generator.dirichlet(np.ones(3), (jets, OBJECTS)).astype(np.float32),
        regression=np.zeros((jets, OBJECTS, 3), np.float32),
        mask_logits=(jet + slot / 100 + row[:, None] / 10).astype(np.float32),
        mask_index=np.broadcast_to(slot % OBJECTS, (jets, CAP)),
        confusions=(),
    )
    targets = Targets(
        jet_class_index=np.zeros(jets, int),
        origin_index=np.zeros((jets, CAP), int),
        object_class_index=np.broadcast_to([0, 1, 2, 2], (jets, OBJECTS)),
        object_valid=np.broadcast_to([True, True, False, False], (jets, OBJECTS)),
        masks=np.broadcast_to(slot % OBJECTS == row[:, None], (jets, OBJECTS, CAP)),
        regression=np.zeros((jets, OBJECTS, 3), np.float32),
    )
    return targets, predictions, jet + row[:, None] * 1000.0 + np.arange(3)


@pytest.fixture
def records(write_tables, make_tables, config):
    file = JetFile(write_tables(make_tables()), config.data)
    yield file.read(0, 60)
    file.close()


@pytest.fixture
def written(tmp_path, records, config):
    """The file that two batches of 40 and 20 jets make, and what went in."""
    content = predictions_of(records)
    path = tmp_path / "new" / "predictions.h5"
    with PredictionFile(path, "Tagger", config.data, 60) as file:
        for rows in (slice(0, 40), slice(40, 60)):
            targets, predictions, regression = content
            file.write(
                select(records, np.arange(60)[rows]),
                Targets(*(x[rows] for x in targets)),
                Predictions(*(x[rows] for x in predictions[:-1]), confusions=()),
                regression[rows],
            )
    with h5py.File(path) as file:
        yield {name: file[name][:] for name in file}, content


def test_input_fields_are_copied_row_by_row(written, records):
    datasets, _ = written
    for name, table in (("jets", records.jets), ("tracks", records.tracks)):
        for field in table.dtype.names:
            np.testing.assert_array_equal(datasets[name][field], table[field])
    for field in records.hadrons.dtype.names:
        written_field = datasets["truth_hadrons"][field]
        np.testing.assert_array_equal(written_field[:, :3], records.hadrons[field])


def test_names_are_those_of_salt(written, records):
    datasets, _ = written
    assert set(datasets) == {"jets", "tracks", "truth_hadrons", "object_masks"}
    new = {
        name: [f for f in datasets[name].dtype.names if f not in (table.dtype.names or ())]
        for name, table in zip(
            ("jets", "tracks", "truth_hadrons"),
            (records.jets, records.tracks, records.hadrons),
            strict=True,
        )
    }
    tracks = ["Pileup", "Fake", "Primary", "FromB", "FromBC", "FromC", "FromTau", "OtherSecondary"]
    assert new["jets"] == ["Tagger_pb", "Tagger_pc", "Tagger_pu"]
    assert new["tracks"] == [*(f"Tagger_p{name}" for name in tracks), "Tagger_MaskIndex"]
    objects = ["pb", "pc", "pnull", "pt", "Lxy", "deta"]
    assert new["truth_hadrons"] == [*(f"Tagger_{name}" for name in objects), "class_label"]
    assert datasets["object_masks"].dtype.names == ("mask_logits", "truth_mask")


def test_jet_probabilities(written):
    datasets, (_, predictions, _) = written
    for column, flavour in enumerate("bcu"):
        np.testing.assert_allclose(
            datasets["jets"][f"Tagger_p{flavour}"], np.exp(predictions.jet_log_prob[:, column])
        )


def test_tracks_are_back_in_their_columns(written, records):
    tracks = written[0]["tracks"]
    kept = np.zeros(tracks.shape, bool)
    for jet, columns in enumerate(records.track_index):
        for slot, column in enumerate(columns[columns >= 0]):
            kept[jet, column] = True
            assert tracks["Tagger_pFromB"][jet, column] == np.float32(jet + slot / 100)
            assert tracks["Tagger_MaskIndex"][jet, column] == slot % OBJECTS
    assert (kept < tracks["valid"]).any(), "some jets have more tracks than the cap"
    assert np.isnan(tracks["Tagger_pFromB"][~kept]).all()
    assert (tracks["Tagger_MaskIndex"][~kept] == -1).all()


def test_objects_in_physical_units_and_padded_rows(written):
    datasets, (targets, predictions, regression) = written
    hadrons = datasets["truth_hadrons"]
    assert hadrons.shape == (60, OBJECTS)
    for column, name in enumerate(("pt", "Lxy", "deta")):
        np.testing.assert_allclose(hadrons[f"Tagger_{name}"], regression[..., column])
    np.testing.assert_array_equal(hadrons["Tagger_pnull"], predictions.object_prob[..., 2])
    np.testing.assert_array_equal(hadrons["class_label"], targets.object_class_index)
    # The file has three hadrons a jet, the model four objects.
    assert np.isnan(hadrons["pt"][:, 3]).all() and not hadrons["valid"][:, 3].any()
    assert (hadrons["barcode"][:, 3] == -1).all()


def test_masks_are_in_the_columns_of_the_tracks(written, records):
    masks = written[0]["object_masks"]
    assert masks.shape == (60, OBJECTS, records.tracks.shape[1])
    for jet, columns in enumerate(records.track_index):
        for slot, column in enumerate(columns[columns >= 0]):
            expected = np.float32(jet + slot / 100 + np.arange(OBJECTS) / 10)
            np.testing.assert_allclose(masks["mask_logits"][jet, :, column], expected, rtol=1e-6)
            truth = masks["truth_mask"][jet, :, column]
            np.testing.assert_array_equal(truth, slot % OBJECTS == np.arange(OBJECTS))
    assert masks["truth_mask"].sum() == (records.track_index >= 0).sum()


def test_file_is_compressed_without_plugins(tmp_path, records, config):
    with PredictionFile(tmp_path / "p.h5", "Tagger", config.data, 60) as file:
        file.write(records, *predictions_of(records))
    with h5py.File(tmp_path / "p.h5") as file:
        for dataset in file.values():
            assert dataset.compression == "gzip" and dataset.shuffle


def test_without_truth_only_predictions_are_written(tmp_path, records, config):
    with PredictionFile(tmp_path / "p.h5", "Tagger", config.data, 60) as file:
        file.write(records._replace(hadrons=None), *predictions_of(records))
    with h5py.File(tmp_path / "p.h5") as file:
        hadrons = file["truth_hadrons"][:]
    assert "pt" not in hadrons.dtype.names and hadrons.shape == (60, OBJECTS)
    assert (hadrons["class_label"] == -1).all()


def test_hadrons_beyond_the_cap_have_no_prediction(tmp_path, records, config):
    layout = dataclasses.replace(
        config.data, hadrons=dataclasses.replace(config.data.hadrons, cap=2)
    )
    targets, predictions, regression = predictions_of(records)
    targets = targets._replace(
        object_class_index=targets.object_class_index[:, :2], masks=targets.masks[:, :2]
    )
    predictions = predictions._replace(
        object_prob=predictions.object_prob[:, :2], mask_logits=predictions.mask_logits[:, :2]
    )
    with PredictionFile(tmp_path / "p.h5", "Tagger", layout, 60) as file:
        file.write(records, targets, predictions, regression[:, :2])
    with h5py.File(tmp_path / "p.h5") as file:
        hadrons, masks = file["truth_hadrons"][:], file["object_masks"][:]
    assert hadrons.shape == (60, 3) and masks.shape[1] == 2
    assert np.isnan(hadrons["Tagger_pb"][:, 2]).all() and (hadrons["class_label"][:, 2] == 2).all()
    np.testing.assert_array_equal(hadrons["Tagger_pb"][:, :2], predictions.object_prob[..., 0])


def test_field_of_the_same_name_is_replaced():
    table = np.zeros(2, [("pt", "f4"), ("Tagger_pb", "f8")])
    joined = with_columns(table, {"Tagger_pb": np.float32([1, 2])})
    assert joined.dtype.names == ("pt", "Tagger_pb")
    np.testing.assert_array_equal(joined["Tagger_pb"], [1, 2])


def test_nothing_is_left_of_an_interrupted_file(tmp_path, records, config):
    with (
        pytest.raises(KeyboardInterrupt),
        PredictionFile(tmp_path / "p.h5", "Tagger", config.data, 60) as file,
    ):
        file.write(records, *predictions_of(records))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []


def test_earlier_file_stays_until_the_new_one_is_complete(tmp_path, records, config):
    (tmp_path / "p.h5").write_text("earlier")
    with PredictionFile(tmp_path / "p.h5", "Tagger", config.data, 60) as file:
        file.write(records, *predictions_of(records))
        assert (tmp_path / "p.h5").read_text() == "earlier"
    assert h5py.is_hdf5(tmp_path / "p.h5")


def test_folder_that_is_a_file(tmp_path, config):
    (tmp_path / "taken").write_text("")
    with (
        pytest.raises(InputError, match=r"taken/p\.h5: cannot be written: .*--output_dir"),
        PredictionFile(tmp_path / "taken" / "p.h5", "Tagger", config.data, 60),
    ):
        pass


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, records, config, full_disk):
    with (
        full_disk(),
        pytest.raises(InputError, match=r"p\.h5: cannot be written") as caught,
        PredictionFile(tmp_path / "p.h5", "Tagger", config.data, 60) as file,
    ):
        file.write(records, *predictions_of(records))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []
