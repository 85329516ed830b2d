"""Files: what is refused on opening, and which tracks are kept."""

import threading

import h5py
import numpy as np
import pytest
from numpy.lib import recfunctions

from maskformer_jax.data import JetFile
from maskformer_jax.data.h5 import select
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
    "unnamed": (
        lambda t: t.update(jets=np.zeros(50)),
        r"no field `pt`, `eta`, `flavour_label`; it has: no named fields",
    ),
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


def test_missing_and_foreign_files_are_refused(tmp_path, schema):
    with pytest.raises(InputError, match=r"nowhere\.h5: no such file"):
        JetFile(tmp_path / "nowhere.h5", schema)
    (tmp_path / "text.h5").write_text("not a file of jets")
    with pytest.raises(InputError, match=r"text\.h5: not a readable HDF5 file") as caught:
        JetFile(tmp_path / "text.h5", schema)
    assert "\n" not in str(caught.value)


def test_truncated_file_is_refused_with_one_line(tables, opened, tmp_path, schema):
    whole = opened(tables).path.read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half\.h5"):
        JetFile(tmp_path / "half.h5", schema)


def test_damaged_chunk_is_reported_when_it_is_read(tables, opened):
    path = opened(tables, compression="gzip", chunks=True).path
    with h5py.File(path) as raw:
        chunk = raw["tracks"].id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    file = JetFile(path, opened(tables).schema)
    with pytest.raises(InputError, match=r"rows 0 to 4 of dataset `tracks` are not readable"):
        file.read(0, 4)
    file.close()


def test_unknown_compression_is_refused_with_its_cure(tables, opened, schema, monkeypatch):
    path = opened(tables, compression="gzip", chunks=True).path
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"`jets` is compressed with `deflate`.*`hdf5plugin`"):
        JetFile(path, schema)


def renamed(table, field):
    return recfunctions.rename_fields(table, {field: f"{field}s"})


def test_all_that_is_missing_is_in_one_line(tables, opened):
    """With the nearest name that there is, and each field once, however many read it."""
    tables["track"] = tables.pop("tracks")
    tables["jets"] = renamed(renamed(tables["jets"], "eta"), "flavour_label")
    tables["truth_hadrons"] = without(without(tables["truth_hadrons"], "Lxy"), "flavour")
    more = [f"more{i}" for i in range(20)]
    hits = [np.zeros(tables["jets"].shape, "f4")] * 20
    tables["jets"] = recfunctions.append_fields(tables["jets"], more, hits, usemask=False)
    with pytest.raises(InputError) as caught:
        opened(tables)
    assert str(caught.value).partition(": ")[2] == (
        "no dataset `tracks` (nearest: `track`); it has: jets, track, truth_hadrons; "
        "dataset `jets` has no field `eta` (nearest: `etas`), "
        "`flavour_label` (nearest: `flavour_labels`); it has: pt, etas, flavour_labels, more0, "
        "more1, more2, more3, more4, more5, more6, more7, more8 and 11 more; "
        "dataset `truth_hadrons` has no field `flavour`, `Lxy`; it has: pt, barcode, valid"
    )


# What is taken out -> labels that are missing then.
TRUTH = {
    "hadrons": (lambda t: t.pop("truth_hadrons"), {"hadron_class", "properties", "hadrons"}),
    "label": (lambda t: t.update(jets=without(t["jets"], "flavour_label")), {"flavour"}),
    "origin": (
        lambda t: t.update(tracks=without(t["tracks"], "ftagTruthOriginLabel")),
        {"origin"},
    ),
    "link": (
        lambda t: t.update(tracks=without(t["tracks"], "ftagTruthParentBarcode")),
        {"hadrons"},
    ),
    "key": (
        lambda t: t.update(truth_hadrons=without(t["truth_hadrons"], "barcode")),
        {"hadrons"},
    ),
    "class": (
        lambda t: t.update(truth_hadrons=without(t["truth_hadrons"], "flavour")),
        {"hadron_class", "properties", "hadrons"},
    ),
    "target": (
        lambda t: t.update(truth_hadrons=without(t["truth_hadrons"], "Lxy")),
        {"properties"},
    ),
}


@pytest.mark.parametrize("case", TRUTH)
def test_truth_is_had_per_label_where_it_is_optional(case, tables, opened, schema):
    change, missing = TRUTH[case]
    whole = opened(tables, truth="optional")
    assert whole.labels == tuple(schema.labels) and whole.missing == {}
    change(tables)
    file = opened(tables, truth="optional")
    assert set(file.missing) == missing and {*file.labels} == {*schema.labels} - missing
    there = {"properties", "hadron_class", "hadrons"} - missing
    assert list(file.read(3, 9).objects) == (["hadrons"] if there else [])
    assert file.kept().all() and list(file.classes()) == ["flavour"] * (case != "label")
    with pytest.raises(InputError, match=r"no dataset|no field"):
        opened(tables)


def test_a_file_of_jets_alone(tables, opened, schema):
    tables = {"jets": tables["jets"]}
    label = {"flavour": schema.labels["flavour"]}
    bare = schema._replace(streams={}, objects={}, labels=label)
    file = opened(tables, bare, chunks=(10,))
    records = file.read(3, 9)
    assert (file.num_jets, file.widths, file.chunk_rows) == (50, {}, 10)
    assert not records.streams and not records.objects
    assert records.jets.tobytes() == tables["jets"][3:9].tobytes()


def test_a_stream_without_columns_has_no_constituents(tables, opened):
    tables["tracks"] = tables["tracks"][:, :0]
    file = opened(tables)
    assert file.widths == {"tracks": 1}
    np.testing.assert_array_equal(file.read(0, 4).streams["tracks"].index, [[-1]] * 4)


def test_rows_are_those_of_the_file(tables, opened):
    file = opened(tables)
    records = file.read(7, 19)
    assert records.start == 7 and (file.num_jets, file.widths) == (50, {"tracks": 5})
    np.testing.assert_array_equal(records.rows, np.arange(7, 19))
    for name, table in (
        ("jets", records.jets),
        ("tracks", records.streams["tracks"].table),
        ("truth_hadrons", records.objects["hadrons"]),
    ):
        assert table.tobytes() == tables[name][7:19].tobytes()
    np.testing.assert_array_equal(file.classes()["flavour"], tables["jets"]["flavour_label"])


def test_a_file_is_read_in_another_thread(tables, opened):
    file, found = opened(tables), []
    thread = threading.Thread(target=lambda: found.append(file.read(0, 5)))
    thread.start()
    thread.join()
    assert found[0].jets.tobytes() == tables["jets"][:5].tobytes()


@pytest.mark.parametrize("unlisted", ["skip", "ignore"])
def test_jets_in_no_class_are_counted_and_left_out_by_option(tables, opened, change, unlisted):
    tables["jets"]["flavour_label"][[2, 5]] = 15
    file = opened(tables, change(flavour={"unlisted": unlisted}))
    np.testing.assert_array_equal(np.flatnonzero(file.classes()["flavour"] == -1), [2, 5])
    assert (file.unlisted(), file.unlisted(5)) == ({"flavour": 2}, {"flavour": 1})
    expected = [2, 5] if unlisted == "skip" else []
    np.testing.assert_array_equal(np.flatnonzero(~file.kept()), expected)


def test_track_index_is_file_order_up_to_the_cap(tables, opened, change):
    records = opened(tables, change(tracks={"cap": 3})).read(0, 6)
    expected = [[-1, -1, -1], [0, -1, -1], [0, 1, -1], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    np.testing.assert_array_equal(records.streams["tracks"].index, expected)


def test_track_index_moves_real_tracks_to_the_front(tables, opened):
    tables["tracks"]["valid"][5] = [False, True, False, True, True, False]
    tables["tracks"]["d0"][5] = 1
    records = opened(tables).read(4, 6)
    np.testing.assert_array_equal(records.streams["tracks"].index[1], [1, 3, 4, -1, -1])


def test_track_index_by_decreasing_absolute_value(tables, opened, change):
    tables["tracks"]["d0"][4, :4] = [0.5, -3, 2, np.nan]
    records = opened(tables, change(tracks={"cap": 4, "sort_by": "d0"})).read(4, 5)
    np.testing.assert_array_equal(records.streams["tracks"].index, [[1, 2, 0, 3]])
    records = opened(tables, change(tracks={"cap": 2, "sort_by": "d0"})).read(4, 5)
    np.testing.assert_array_equal(records.streams["tracks"].index, [[1, 2]])


def test_padding_is_last_whatever_its_values(tables, opened, change):
    tables["tracks"]["hits"][4] = [0, -3, 2, 0, 99, 99]
    records = opened(tables, change(tracks={"sort_by": "hits"})).read(4, 5)
    np.testing.assert_array_equal(records.streams["tracks"].index, [[1, 2, 0, 3, -1]])


def test_rows_that_are_compressed_together_are_known(tables, tmp_path, schema, opened):
    assert opened(tables).chunk_rows == 1
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        for name, table in tables.items():
            file.create_dataset(name, data=table, chunks=(11, *table.shape[1:]))
    file = JetFile(tmp_path / "chunks.h5", schema)
    assert file.chunk_rows == 11
    file.close()


def test_kept_tracks_are_in_the_order_of_the_jets(tables, opened, change):
    records = select(opened(tables, change(tracks={"cap": 2})).read(0, 9), np.array([8, 0, 3]))
    tracks, counts = records.streams["tracks"].kept()
    np.testing.assert_array_equal(counts, [2, 0, 2])
    np.testing.assert_allclose(tracks["d0"], [8, 8.01, 3, 3.01], rtol=1e-6)
    np.testing.assert_array_equal(records.rows, [8, 0, 3])


def test_hadrons_of_a_listed_class_come_first(tables, opened):
    tables["truth_hadrons"]["valid"][3] = [False, True, True]
    tables["truth_hadrons"]["flavour"][7, 0] = 15
    hadrons = opened(tables).read(3, 8).objects["hadrons"]
    np.testing.assert_array_equal(hadrons["barcode"][0], [8, 9, 7])
    np.testing.assert_array_equal(hadrons["barcode"][4], [8, 9, 7])
