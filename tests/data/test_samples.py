"""Records become batches: values against a loop over jets, padding, no truth."""

import h5py
import numpy as np
import pytest

from maskformer_jax.data import assemble, convert, fit_scaling
from maskformer_jax.data.samples import join, take
from maskformer_jax.errors import InputError


def converted(file, start=0, stop=None):
    scaling = fit_scaling(file)
    records = file.read(start, file.num_jets if stop is None else stop)
    return convert([records], file.layout, scaling), scaling


def seats(index, number):
    """A row for each jet, `number` of them."""
    found = np.full((number, 1), -1)
    found[: len(index), 0] = index
    return found


def expected_jet(tables, scaling, layout, row):
    """Inputs and targets of one jet, track by track."""
    jet, tracks, hadrons = (tables[n][row] for n in ("jets", "tracks", "truth_hadrons"))
    cap, objects = layout.tracks.cap, layout.hadrons.cap
    x = np.zeros((cap, 3))
    origin = np.full(cap, -1)
    masks = np.zeros((objects, cap), bool)
    for column in range(cap):
        track = tracks[column]
        if track["valid"]:
            raw = [float(track[name]) for name in layout.tracks.inputs]
            x[column] = (raw - scaling.tracks.mean) / scaling.tracks.std
            origin[column] = track["ftagTruthOriginLabel"]
            for m, hadron in enumerate(hadrons):
                masks[m, column] = hadron["valid"] and (
                    hadron["barcode"] == track["ftagTruthParentBarcode"]
                )
    classes = [{5: 0, 4: 1, -1: 2}[int(h)] for h in hadrons["flavour"]] + [2] * (objects - 3)
    regression = np.zeros((objects, 2))
    for m, hadron in enumerate(hadrons):
        if hadron["valid"]:
            raw = [np.log(hadron["pt"] / 1000), np.log1p(hadron["Lxy"])]
            regression[m] = (raw - scaling.targets.mean) / scaling.targets.std
    jets = ([jet["pt"], jet["eta"]] - scaling.jets.mean) / scaling.jets.std
    return jets, x, origin, masks, classes, regression, jet["flavour_label"]


def test_batch_agrees_with_a_loop_over_jets(tables, opened):
    file = opened(tables)
    samples, scaling = converted(file)
    index = np.array([11, 0, 5, 23])
    batch, targets = assemble(samples, seats(index, 6), file.width)
    for position, row in enumerate(index):
        jets, x, origin, masks, classes, regression, label = expected_jet(
            tables, scaling, file.layout, row
        )
        np.testing.assert_allclose(batch.jets[position], jets, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(batch.tracks[position], x, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(batch.valid[position], origin >= 0)
        np.testing.assert_array_equal(targets.origin_index[position], origin)
        np.testing.assert_array_equal(targets.masks[position], masks)
        np.testing.assert_array_equal(targets.object_class_index[position], classes)
        np.testing.assert_array_equal(targets.object_valid[position], np.array(classes) < 2)
        np.testing.assert_allclose(targets.regression[position], regression, rtol=1e-4, atol=1e-5)
        assert targets.jet_class_index[position] == label


def test_shapes_and_types(tables, opened):
    file = opened(tables)
    samples, _ = converted(file)
    batch, targets = assemble(samples, seats(np.arange(4), 6), file.width)
    found = {
        name: (a.shape, a.dtype.name) for t in (batch, targets) for name, a in t._asdict().items()
    }
    assert found == {
        "jets": ((6, 2), "float32"),
        "tracks": ((6, 5, 3), "float32"),
        "valid": ((6, 5), "bool"),
        "jet_valid": ((6,), "bool"),
        "jet_class_index": ((6,), "int32"),
        "origin_index": ((6, 5), "int32"),
        "object_class_index": ((6, 5), "int32"),
        "object_valid": ((6, 5), "bool"),
        "masks": ((6, 5, 5), "bool"),
        "regression": ((6, 5, 2), "float32"),
    }


def test_padding_is_exact(tables, opened):
    file = opened(tables)
    samples, _ = converted(file)
    batch, targets = assemble(samples, seats(np.array([6, 5]), 4), file.width)
    np.testing.assert_array_equal(batch.jet_valid, [True, True, False, False])
    np.testing.assert_array_equal(batch.valid.sum(axis=1), [0, 5, 0, 0])
    assert not batch.tracks[~batch.valid].any() and not batch.jets[2:].any()
    assert (targets.origin_index[~batch.valid] == -1).all()
    np.testing.assert_array_equal(targets.jet_class_index, [0, 2, -1, -1])
    assert (targets.object_class_index[~targets.object_valid] == 2).all()
    assert not targets.regression[~targets.object_valid].any()
    assert not targets.masks[2:].any() and not targets.object_valid[2:].any()


def test_parts_without_jets_are_padding(tables, opened):
    """Wherever they stand among the others."""
    file = opened(tables)
    samples = convert([file.read(0, 8)], file.layout, fit_scaling(file))
    index = np.array([[6, 5], [-1, -1], [4, -1]])
    found = assemble(samples, index.reshape(3, 2, 1), file.width)
    for part, jets in enumerate(index):
        expected = assemble(samples, jets[:, None], file.width)
        for one, other in zip(found, expected, strict=True):
            for x, y in zip(one, other, strict=True):
                assert x.dtype == y.dtype
                np.testing.assert_array_equal(x[part], y)
    batch, targets = found
    assert not batch.tracks[1].any() and not batch.jet_valid[1].any()
    assert (targets.jet_class_index[1] == -1).all() and (targets.origin_index[1] == -1).all()
    assert (targets.object_class_index[1] == len(file.layout.hadrons.classes)).all()


def test_valid_hadron_without_tracks_stays_valid(tables, opened):
    file = opened(tables)
    samples, _ = converted(file)
    _, targets = assemble(samples, seats(np.array([3]), 1), file.width)
    np.testing.assert_array_equal(targets.object_valid[0], [True, True, True, False, False])
    np.testing.assert_array_equal(targets.masks[0].sum(axis=1), [1, 0, 0, 0, 0])


def test_hadrons_beyond_the_cap_are_dropped(tables, opened, change):
    file = opened(tables, change(hadrons={"cap": 2}))
    samples, _ = converted(file)
    _, targets = assemble(samples, seats(np.array([3]), 1), file.width)
    np.testing.assert_array_equal(targets.object_valid, [[True, True]])
    assert targets.masks.shape == (1, 2, 5) and targets.regression.shape == (1, 2, 2)


def test_jets_at_the_cap_keep_the_first_tracks_and_their_masks(tables, opened, change):
    file = opened(tables, change(tracks={"cap": 3}))
    samples, _ = converted(file)
    batch, targets = assemble(samples, seats(np.array([5]), 1), file.width)
    assert batch.valid.all()
    np.testing.assert_array_equal(targets.masks[0, 0], [False, True, False])


def test_sorted_tracks_carry_their_labels(tables, opened, change):
    file = opened(tables, change(tracks={"sort_by": "d0", "cap": 2}))
    samples, _ = converted(file)
    _, targets = assemble(samples, seats(np.array([5]), 1), file.width)
    np.testing.assert_array_equal(targets.origin_index, [[4, 3]])
    np.testing.assert_array_equal(targets.masks[0, 0], [False, True])


def test_origin_in_no_class_is_minus_one_on_a_real_track(tables, opened):
    tables["tracks"]["ftagTruthOriginLabel"][5, 1] = 77
    file = opened(tables)
    samples, _ = converted(file)
    batch, targets = assemble(samples, seats(np.array([5]), 1), file.width)
    np.testing.assert_array_equal(targets.origin_index, [[0, -1, 2, 3, 4]])
    assert batch.valid.all()


def test_file_without_truth_has_the_same_inputs_and_empty_targets(tables, opened):
    file = opened(tables)
    samples, scaling = converted(file)
    with_truth, _ = assemble(samples, seats(np.arange(50), 50), file.width)
    tables.pop("truth_hadrons")
    file = opened(tables, truth="optional")
    samples = convert([file.read(0, 50)], file.layout, scaling)
    batch, targets = assemble(samples, seats(np.arange(50), 50), file.width)
    for before, after in zip(with_truth, batch, strict=True):
        np.testing.assert_array_equal(before, after)
    assert (targets.jet_class_index == -1).all() and (targets.origin_index == -1).all()
    assert (targets.object_class_index == 2).all() and not targets.object_valid.any()
    assert not targets.masks.any() and not targets.regression.any()


@pytest.mark.parametrize("index", [[], [4], [7, 1, 0]])
def test_taking_and_joining_change_nothing(index, tables, opened):
    file = opened(tables)
    samples, scaling = converted(file)
    halves = [
        convert([file.read(a, b)], file.layout, scaling) for a, b in ((0, 5), (5, 6), (6, 50))
    ]
    index = np.array(index, int)
    expected = assemble(samples, seats(index, 4), file.width)
    for other, at in ((join(halves), index), (take(samples, index), np.arange(len(index)))):
        for before, after in zip(expected, assemble(other, seats(at, 4), file.width), strict=True):
            for one, two in zip(before, after, strict=True):
                np.testing.assert_array_equal(one, two)


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
    whole = convert([file.read(0, 50)], file.layout, scaling)
    blocks = (file.read(start, stop) for start, stop in ((0, 5), (5, 6), (6, 50)))
    for name, before, after in zip(
        whole._fields, whole, convert(blocks, file.layout, scaling), strict=True
    ):
        assert before.dtype == after.dtype, name
        np.testing.assert_array_equal(before, after, err_msg=name)


def test_the_row_of_a_bad_value_is_that_of_its_block(tables, opened):
    scaling = fit_scaling(opened(tables))
    tables["truth_hadrons"]["pt"][31, 0] = np.inf
    file = opened(tables)
    blocks = [file.read(40, 50), file.read(30, 40)]
    with pytest.raises(InputError, match="field `pt` of dataset `truth_hadrons` is inf in row 31"):
        convert(blocks, file.layout, scaling)


def test_values_that_are_not_finite_are_refused_in_any_file(tables, opened):
    _, scaling = converted(opened(tables))
    tables["tracks"]["d0"][17, 0] = np.nan
    file = opened(tables)
    with pytest.raises(InputError, match=r"jets1\.h5: field `d0` of .* is nan in row 17"):
        convert([file.read(12, 30)], file.layout, scaling)
