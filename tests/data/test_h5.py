"""Files: what is refused on opening, and which tracks are kept."""

import threading

import h5py
import numpy as np
import pytest
from numpy.lib import recfunctions

from maskformer_jax.data import JetFile
from maskformer_jax.data.h5 import kept_tracks, select
from maskformer_jax.errors import InputError


def without(table, field):
    return recfunctions.drop_fields(table, field)


def retyped(table, field, kind):
    dtype = [(name, kind if name == field else table.dtype[name]) for name in table.dtype.names]
    return np.zeros(table.shape, dtype)


# Change of the tables -> what the message must say.
BROKEN = {
    "dataset": (lambda t: t.pop("tracks"), r"no dataset `tracks`; it has: jets, truth_hadrons"),
    "input": (
        lambda t: t.update(tracks=without(t["tracks"], "qOverP")),
        r"dataset `tracks` has no field `qOverP`; it has: d0, hits, valid",
    ),
    "jet input": (lambda t: t.update(jets=without(t["jets"], "eta")), r"no field `eta`"),
    "label": (
        lambda t: t.update(jets=without(t["jets"], "flavour_label")),
        r"dataset `jets` has no field `flavour_label`; it has: pt, eta",
    ),
    "target": (
        lambda t: t.update(truth_hadrons=without(t["truth_hadrons"], "Lxy")),
        r"dataset `truth_hadrons` has no field `Lxy`",
    ),
    "text": (
        lambda t: t.update(tracks=retyped(t["tracks"], "d0", "S4")),
        r"field `d0` of dataset `tracks` must be numeric; its type is \|S4",
    ),
    "valid": (
        lambda t: t.update(tracks=retyped(t["tracks"], "valid", "f4")),
        r"field `valid` of dataset `tracks` must be boolean; its type is float32",
    ),
    "float label": (
        lambda t: t.update(jets=retyped(t["jets"], "flavour_label", "f4")),
        r"field `flavour_label` of dataset `jets` must be integer; its type is float32",
    ),
    "rank": (
        lambda t: t.update(tracks=t["tracks"][:, 0]),
        r"dataset `tracks` must have 2 axes; its shape is \(50,\)",
    ),
    "unnamed": (lambda t: t.update(jets=np.zeros(50)), r"no field `pt`; it has: no named fields"),
    "lengths": (
        lambda t: t.update(jets=t["jets"][:-1]),
        r"same length; got \{'jets': 49, 'tracks': 50, 'truth_hadrons': 50\}",
    ),
    "empty": (
        lambda t: t.update({name: table[:0] for name, table in t.items()}),
        r"dataset `jets` is empty; its shape is \(0,\)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_refused_with_one_line(case, tables, opened):
    change, message = BROKEN[case]
    change(tables)
    with pytest.raises(InputError, match=message) as caught:
        opened(tables)
    assert "\n" not in str(caught.value) and "jets0.h5" in str(caught.value)


def test_missing_and_foreign_files_are_refused(tmp_path, layout):
    with pytest.raises(InputError, match=r"nowhere\.h5: no such file"):
        JetFile(tmp_path / "nowhere.h5", layout)
    (tmp_path / "text.h5").write_text("not a file of jets")
    with pytest.raises(InputError, match=r"text\.h5: not a readable HDF5 file") as caught:
        JetFile(tmp_path / "text.h5", layout)
    assert "\n" not in str(caught.value)


def test_truncated_file_is_refused_with_one_line(tables, opened, tmp_path, layout):
    whole = opened(tables).path.read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half\.h5"):
        JetFile(tmp_path / "half.h5", layout)


def test_damaged_chunk_is_reported_when_it_is_read(tables, opened):
    path = opened(tables, compression="gzip", chunks=True).path
    with h5py.File(path) as raw:
        chunk = raw["tracks"].id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    file = JetFile(path, opened(tables).layout)
    with pytest.raises(InputError, match=r"rows 0 to 4 of dataset `tracks` are not readable"):
        file.read(0, 4)
    file.close()


def test_unknown_compression_is_refused_with_its_cure(tables, opened, layout, monkeypatch):
    path = opened(tables, compression="gzip", chunks=True).path
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"`jets` is compressed with `deflate`.*`hdf5plugin`"):
        JetFile(path, layout)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("truth_hadrons"),
        lambda t: t.update(jets=without(t["jets"], "flavour_label")),
        lambda t: t.update(tracks=without(t["tracks"], "ftagTruthOriginLabel")),
        lambda t: t.update(tracks=without(t["tracks"], "ftagTruthParentBarcode")),
        lambda t: t.update(truth_hadrons=without(t["truth_hadrons"], "barcode")),
    ],
)
def test_truth_may_be_missing_where_it_is_optional(change, tables, opened):
    assert opened(tables, truth="optional").has_truth
    change(tables)
    file = opened(tables, truth="optional")
    assert not file.has_truth
    assert file.read(3, 9).hadrons is None
    np.testing.assert_array_equal(file.labels(), np.full(50, -1))


def test_rows_are_those_of_the_file(tables, opened):
    file = opened(tables)
    records = file.read(7, 19)
    assert records.start == 7 and (file.num_jets, file.width) == (50, 5)
    np.testing.assert_array_equal(records.rows, np.arange(7, 19))
    for name, table in (("jets", records.jets), ("tracks", records.tracks)):
        assert table.tobytes() == tables[name][7:19].tobytes()
    assert records.hadrons.tobytes() == tables["truth_hadrons"][7:19].tobytes()
    np.testing.assert_array_equal(file.labels(), tables["jets"]["flavour_label"])


def test_a_file_is_read_in_another_thread(tables, opened):
    file, found = opened(tables), []
    thread = threading.Thread(target=lambda: found.append(file.read(0, 5)))
    thread.start()
    thread.join()
    assert found[0].jets.tobytes() == tables["jets"][:5].tobytes()


def test_labels_in_no_class_are_minus_one(tables, opened):
    tables["jets"]["flavour_label"][[2, 5]] = 15
    labels = opened(tables).labels()
    np.testing.assert_array_equal(np.flatnonzero(labels == -1), [2, 5])


def test_track_index_is_file_order_up_to_the_cap(tables, opened, change):
    records = opened(tables, change(tracks={"cap": 3})).read(0, 6)
    expected = [[-1, -1, -1], [0, -1, -1], [0, 1, -1], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    np.testing.assert_array_equal(records.track_index, expected)


def test_track_index_moves_real_tracks_to_the_front(tables, opened):
    tables["tracks"]["valid"][5] = [False, True, False, True, True, False]
    tables["tracks"]["d0"][5] = 1
    records = opened(tables).read(4, 6)
    np.testing.assert_array_equal(records.track_index[1], [1, 3, 4, -1, -1])


def test_track_index_by_decreasing_absolute_value(tables, opened, change):
    tables["tracks"]["d0"][4, :4] = [0.5, -3, 2, np.nan]
    records = opened(tables, change(tracks={"cap": 4, "sort_by": "d0"})).read(4, 5)
    np.testing.assert_array_equal(records.track_index, [[1, 2, 0, 3]])
    records = opened(tables, change(tracks={"cap": 2, "sort_by": "d0"})).read(4, 5)
    np.testing.assert_array_equal(records.track_index, [[1, 2]])


def test_padding_is_last_whatever_its_values(tables, opened, change):
    tables["tracks"]["hits"][4] = [0, -3, 2, 0, 99, 99]
    records = opened(tables, change(tracks={"sort_by": "hits"})).read(4, 5)
    np.testing.assert_array_equal(records.track_index, [[1, 2, 0, 3, -1]])


def test_rows_that_are_compressed_together_are_known(tables, tmp_path, layout, opened):
    assert opened(tables).chunk_rows == 1
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        for name, table in tables.items():
            file.create_dataset(name, data=table, chunks=(11, *table.shape[1:]))
    file = JetFile(tmp_path / "chunks.h5", layout)
    assert file.chunk_rows == 11
    file.close()


def test_kept_tracks_are_in_the_order_of_the_jets(tables, opened, change):
    records = select(opened(tables, change(tracks={"cap": 2})).read(0, 9), np.array([8, 0, 3]))
    tracks, counts = kept_tracks(records)
    np.testing.assert_array_equal(counts, [2, 0, 2])
    np.testing.assert_allclose(tracks["d0"], [8, 8.01, 3, 3.01], rtol=1e-6)
    np.testing.assert_array_equal(records.rows, [8, 0, 3])


def test_hadrons_of_a_listed_class_come_first(tables, opened):
    tables["truth_hadrons"]["valid"][3] = [False, True, True]
    tables["truth_hadrons"]["flavour"][7, 0] = 15
    hadrons = opened(tables).read(3, 8).hadrons
    np.testing.assert_array_equal(hadrons["barcode"][0], [8, 9, 7])
    np.testing.assert_array_equal(hadrons["barcode"][4], [8, 9, 7])
