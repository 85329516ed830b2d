"""Records become batches: values against a loop over jets, padding, no truth."""

import h5py
import jax
import numpy as np
import pytest

from maskformer_jax.data import assemble, convert, fit_scaling, padded
from maskformer_jax.data.samples import join, take
from maskformer_jax.errors import InputError


def converted(file, start=0, stop=None):
    scaling = fit_scaling(file)
    records = file.read(start, file.num_jets if stop is None else stop)
    return convert([records], file.schema, scaling), scaling


def seats(index, number):
    """A row for each jet, `number` of them."""
    found = np.full((number, 1), -1)
    found[: len(index), 0] = index
    return found


def expected_jet(tables, scaling, schema, row):
    """Inputs and labels of one jet, track by track."""
    jet, tracks, hadrons = (tables[n][row] for n in ("jets", "tracks", "truth_hadrons"))
    cap, objects = schema.streams["tracks"].cap, schema.objects["hadrons"].cap
    x = np.zeros((cap, 3))
    origin = np.full(cap, -1)
    masks = np.zeros((objects, cap), bool)
    for column in range(cap):
        track = tracks[column]
        if track["valid"]:
            raw = [float(track[name]) for name in schema.streams["tracks"].inputs]
            x[column] = (raw - scaling.streams["tracks"].mean) / scaling.streams["tracks"].std
            origin[column] = track["ftagTruthOriginLabel"]
            for m, hadron in enumerate(hadrons):
                masks[m, column] = hadron["valid"] and (
                    hadron["barcode"] == track["ftagTruthParentBarcode"]
                )
    classes = [{5: 0, 4: 1, -1: 2}[int(h)] for h in hadrons["flavour"]] + [2] * (objects - 3)
    regression, scaled = np.zeros((objects, 2)), scaling.targets["properties"]
    for m, hadron in enumerate(hadrons):
        if hadron["valid"]:
            raw = [np.log(hadron["pt"] / 1000), np.log1p(hadron["Lxy"])]
            regression[m] = (raw - scaled.mean) / scaled.std
    jets = ([jet["pt"], jet["eta"]] - scaling.jets.mean) / scaling.jets.std
    return jets, x, origin, masks, classes, regression, jet["flavour_label"]


def test_batch_agrees_with_a_loop_over_jets(tables, opened):
    file = opened(tables)
    samples, scaling = converted(file)
    index = np.array([11, 0, 5, 23])
    batch, labels = assemble(samples, seats(index, 6), padded(1, file.widths))
    for position, row in enumerate(index):
        jets, x, origin, masks, classes, regression, label = expected_jet(
            tables, scaling, file.schema, row
        )
        np.testing.assert_allclose(batch.jets[position], jets, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            batch.streams["tracks"].values[position], x, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_array_equal(batch.streams["tracks"].valid[position], origin >= 0)
        np.testing.assert_array_equal(labels["origin"][position], origin)
        np.testing.assert_array_equal(labels["hadrons"].masks[position], masks)
        np.testing.assert_array_equal(labels["hadron_class"][position], classes)
        np.testing.assert_array_equal(labels["hadrons"].valid[position], np.array(classes) < 2)
        np.testing.assert_allclose(labels["properties"][position], regression, rtol=1e-4, atol=1e-5)
        assert labels["flavour"][position] == label


def test_shapes_and_types(tables, opened):
    file = opened(tables)
    samples, _ = converted(file)
    batch, labels = assemble(samples, seats(np.arange(4), 6), padded(1, file.widths))
    found = {
        jax.tree_util.keystr(path): (array.shape, array.dtype.name)
        for path, array in jax.tree_util.tree_leaves_with_path((batch, labels))
    }
    assert found == {
        "[0].jets": ((6, 2), "float32"),
        "[0].jet_valid": ((6,), "bool"),
        "[0].streams['tracks'].values": ((6, 5, 3), "float32"),
        "[0].streams['tracks'].valid": ((6, 5), "bool"),
        "[1]['flavour']": ((6,), "int32"),
        "[1]['origin']": ((6, 5), "int32"),
        "[1]['hadron_class']": ((6, 5), "int32"),
        "[1]['hadrons'].valid": ((6, 5), "bool"),
        "[1]['hadrons'].masks": ((6, 5, 5), "bool"),
        "[1]['properties']": ((6, 5, 2), "float32"),
    }


def test_padding_is_exact(tables, opened):
    file = opened(tables)
    samples, _ = converted(file)
    batch, labels = assemble(samples, seats(np.array([6, 5]), 4), padded(1, file.widths))
    np.testing.assert_array_equal(batch.jet_valid, [True, True, False, False])
    np.testing.assert_array_equal(batch.streams["tracks"].valid.sum(axis=1), [0, 5, 0, 0])
    assert (
        not batch.streams["tracks"].values[~batch.streams["tracks"].valid].any()
        and not batch.jets[2:].any()
    )
    assert (labels["origin"][~batch.streams["tracks"].valid] == -1).all()
    np.testing.assert_array_equal(labels["flavour"], [0, 2, -1, -1])
    assert (labels["hadron_class"][~labels["hadrons"].valid] == 2).all()
    assert not labels["properties"][~labels["hadrons"].valid].any()
    assert not labels["hadrons"].masks[2:].any() and not labels["hadrons"].valid[2:].any()


def test_parts_without_jets_are_padding(tables, opened):
    """Wherever they stand among the others."""
    file = opened(tables)
    samples = convert([file.read(0, 8)], file.schema, fit_scaling(file))
    index = np.array([[6, 5], [-1, -1], [4, -1]])
    found = assemble(samples, index.reshape(3, 2, 1), padded(1, file.widths))
    for part, jets in enumerate(index):
        expected = assemble(samples, jets[:, None], padded(1, file.widths))
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x[part], y)
    batch, labels = found
    assert not batch.streams["tracks"].values[1].any() and not batch.jet_valid[1].any()
    assert (labels["flavour"][1] == -1).all() and (labels["origin"][1] == -1).all()
    assert (labels["hadron_class"][1] == len(file.schema.labels["hadron_class"].classes)).all()


def test_valid_hadron_without_tracks_stays_valid(tables, opened):
    file = opened(tables)
    samples, _ = converted(file)
    _, labels = assemble(samples, seats(np.array([3]), 1), padded(1, file.widths))
    np.testing.assert_array_equal(labels["hadrons"].valid[0], [True, True, True, False, False])
    np.testing.assert_array_equal(labels["hadrons"].masks[0].sum(axis=1), [1, 0, 0, 0, 0])


def test_hadrons_beyond_the_cap_are_dropped(tables, opened, change):
    file = opened(tables, change(hadrons={"cap": 2}))
    samples, _ = converted(file)
    _, labels = assemble(samples, seats(np.array([3]), 1), padded(1, file.widths))
    np.testing.assert_array_equal(labels["hadrons"].valid, [[True, True]])
    assert labels["hadrons"].masks.shape == (1, 2, 5) and labels["properties"].shape == (1, 2, 2)


def test_jets_at_the_cap_keep_the_first_tracks_and_their_masks(tables, opened, change):
    file = opened(tables, change(tracks={"cap": 3}))
    samples, _ = converted(file)
    batch, labels = assemble(samples, seats(np.array([5]), 1), padded(1, file.widths))
    assert batch.streams["tracks"].valid.all()
    np.testing.assert_array_equal(labels["hadrons"].masks[0, 0], [False, True, False])


def test_sorted_tracks_carry_their_labels(tables, opened, change):
    file = opened(tables, change(tracks={"sort_by": "d0", "cap": 2}))
    samples, _ = converted(file)
    _, labels = assemble(samples, seats(np.array([5]), 1), padded(1, file.widths))
    np.testing.assert_array_equal(labels["origin"], [[4, 3]])
    np.testing.assert_array_equal(labels["hadrons"].masks[0, 0], [False, True])


def test_origin_in_no_class_is_minus_one_on_a_real_track(tables, opened):
    tables["tracks"]["ftagTruthOriginLabel"][5, 1] = 77
    file = opened(tables)
    samples, _ = converted(file)
    batch, labels = assemble(samples, seats(np.array([5]), 1), padded(1, file.widths))
    np.testing.assert_array_equal(labels["origin"], [[0, -1, 2, 3, 4]])
    assert batch.streams["tracks"].valid.all()


def test_file_without_truth_has_the_same_inputs_and_no_labels(tables, opened):
    file = opened(tables)
    samples, scaling = converted(file)
    layout = padded(50, file.widths)
    with_truth, _ = assemble(samples, seats(np.arange(50), 50), layout)
    tables.pop("truth_hadrons")
    file = opened(tables, truth="optional")
    samples = convert([file.read(0, 50)], file.schema, scaling, file.labels)
    batch, labels = assemble(samples, seats(np.arange(50), 50), layout)
    for before, after in zip(jax.tree.leaves(with_truth), jax.tree.leaves(batch), strict=True):
        np.testing.assert_array_equal(before, after)
    assert set(labels) == {"flavour", "origin"}


@pytest.mark.parametrize("index", [[], [4], [7, 1, 0]])
def test_taking_and_joining_change_nothing(index, tables, opened):
    file = opened(tables)
    samples, scaling = converted(file)
    halves = [
        convert([file.read(a, b)], file.schema, scaling) for a, b in ((0, 5), (5, 6), (6, 50))
    ]
    index = np.array(index, int)
    expected = assemble(samples, seats(index, 4), padded(1, file.widths))
    for other, at in ((join(halves), index), (take(samples, index), np.arange(len(index)))):
        found = assemble(other, seats(at, 4), padded(1, file.widths))
        jax.tree.map(np.testing.assert_array_equal, expected, found)


def big_endian(dtype):
    return dtype.newbyteorder(">")


def aligned(dtype):
    return np.dtype(dtype.descr, align=True)


def with_string(dtype):
    return np.dtype([("comment", h5py.string_dtype()), *dtype.descr])


@pytest.mark.parametrize("change_type", [np.dtype, big_endian, aligned, with_string])
@pytest.mark.parametrize("truth", ["required", "optional"])
def test_blocks_are_converted_as_if_they_had_been_read_at_once(truth, change_type, tables, opened):
    scaling = fit_scaling(opened(tables))
    if truth == "optional":
        tables.pop("truth_hadrons")
    for name, table in tables.items():
        tables[name] = np.zeros(table.shape, change_type(table.dtype))
        for field in table.dtype.names:
            tables[name][field] = table[field]
        if change_type is with_string:
            tables[name]["comment"] = "of any length"
    file = opened(tables, truth=truth)
    whole = convert([file.read(0, 50)], file.schema, scaling, file.labels)
    blocks = (file.read(start, stop) for start, stop in ((0, 5), (5, 6), (6, 50)))
    found = convert(blocks, file.schema, scaling, file.labels)
    for before, after in zip(jax.tree.leaves(whole), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(before, after)
        assert isinstance(before, str) or before.dtype == after.dtype


def test_the_row_of_a_bad_value_is_that_of_its_block(tables, opened):
    scaling = fit_scaling(opened(tables))
    tables["truth_hadrons"]["pt"][31, 0] = np.inf
    file = opened(tables)
    blocks = [file.read(40, 50), file.read(30, 40)]
    with pytest.raises(InputError, match="field `pt` of dataset `truth_hadrons` is inf in row 31"):
        convert(blocks, file.schema, scaling)


def test_values_that_are_not_finite_are_refused_in_any_file(tables, opened):
    _, scaling = converted(opened(tables))
    tables["tracks"]["d0"][17, 0] = np.nan
    file = opened(tables)
    with pytest.raises(InputError, match=r"jets1\.h5: field `d0` of .* is nan in row 17"):
        convert([file.read(12, 30)], file.schema, scaling)
