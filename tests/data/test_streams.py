"""Three streams, two kinds of objects, numbers, targets and pairs, against a loop over jets."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.lib import recfunctions
from streams_file import STREAMS, make_streams, streams_schema

from maskformer_jax.data import (
    Layout,
    Scaling,
    TrainLoader,
    assemble,
    convert,
    fit_scaling,
    padded,
    plan_layout,
    read_sequential,
)
from maskformer_jax.data.config import DataConfig, JetsConfig
from maskformer_jax.data.schema import Needs, build
from maskformer_jax.errors import InputError


@pytest.fixture
def streams(opened):
    file = opened(make_streams(), streams_schema())
    return file, fit_scaling(file)


def kept(table, sort_by=None, cap=50):
    """The real constituents of a jet, in their order or by a field, up to the cap."""
    real = table[table["valid"]]
    if sort_by is not None:
        real = real[np.argsort(-np.abs(real[sort_by].astype(float)), kind="stable")]
    return real[:cap]


def scaled(part, columns):
    """Standardised in float64, `[n, F]`."""
    return (np.stack([np.asarray(c, float) for c in columns], -1) - part.mean) / part.std


def jet_of(tables, scaling, row):
    """Everything of one jet, entry by entry."""
    jet = tables["jets"][row]
    tracks = kept(tables["tracks"][row], cap=4)
    electrons = kept(tables["electrons"][row])
    flow = kept(tables["flow"][row], "x")
    found = {
        "jets": scaled(scaling.jets, [np.log(jet["pt"])]),
        "tracks": scaled(scaling.streams["tracks"], [tracks["x"], tracks["y"]]),
        "electrons": scaled(scaling.streams["electrons"], [np.arcsinh(electrons["x"])]),
        "flow": scaled(scaling.streams["flow"], [flow["y"]]),
        "kind": {0: 0, 1: 1, 2: 1, 15: -1}[int(jet["kind"])],
        "weight": jet["weight"],
        "mass": scaled(scaling.targets["mass"], [np.log(jet["mass"] / jet["energy"])]),
        "vertex": tracks["vertex"],
        "electron_kind": [{2: 0, 0: 1, 3: 1}.get(int(kind), -1) for kind in electrons["kind"]],
        "slope": scaled(scaling.targets["slope"], [flow["y"], np.arcsinh(flow["x"])]),
    }
    hadrons = tables["hadrons"][row]
    hadrons = hadrons[hadrons["valid"] & np.isin(hadrons["kind"], [4, 5])]
    vertices = tables["vertices"][row]
    vertices = vertices[vertices["valid"]][:2]
    found["hadron_kind"] = [{5: 0, 4: 1}[int(kind)] for kind in hadrons["kind"]]
    found["hadron_size"] = hadrons["size"]
    found["size"] = scaled(scaling.targets["size"], [np.log1p(hadrons["size"])])
    found["hadrons"] = tracks["link"] == hadrons["key"][:, None]
    found["vertices"] = flow["link"] == vertices["key"][:, None]
    return found


def check_jet(batch, labels, jet, row, expected):
    """Entry `jet` of arrays whose rows are `row`, `padding` after what is expected."""
    close = {"rtol": 2e-4, "atol": 2e-5}
    np.testing.assert_allclose(batch.jets[jet], expected["jets"], **close)
    own = {name: stream.valid[jet] for name, stream in batch.streams.items()}
    for name, stream in batch.streams.items():
        np.testing.assert_allclose(stream.values[row][own[name]], expected[name], **close)
    for name in ("kind", "weight", "mass"):
        np.testing.assert_allclose(labels[name][jet], expected[name], **close)
    for of, name in (("tracks", "vertex"), ("electrons", "electron_kind"), ("flow", "slope")):
        np.testing.assert_allclose(labels[name][row][own[of]], expected[name], **close)
    number = len(expected["hadron_kind"])
    for name, padding in (("hadron_kind", 2), ("hadron_size", 0), ("size", 0)):
        np.testing.assert_allclose(labels[name][jet][:number], expected[name], **close)
        assert (labels[name][jet][number:] == padding).all()
    for of, name in (("tracks", "hadrons"), ("flow", "vertices")):
        valid, masks = labels[name]
        assert valid[jet].sum() == len(expected[name]) and (np.diff(valid[jet] * 1) <= 0).all()
        np.testing.assert_array_equal(masks[jet][valid[jet]][:, own[of]], expected[name])
        assert not masks[jet][~valid[jet]].any() and not masks[jet][:, ~own[of]].any()
    for name, pairs in batch.pairs.items():
        places = np.flatnonzero(own[name])
        num_rows, width, _ = batch.streams[name].values.shape
        group, begin = np.divmod(row, num_rows // len(pairs.valid))
        mine = [(i, j) for i, j, ok in zip(*(x[group] for x in pairs), strict=True) if ok]
        mine = [(i - begin * width, j - begin * width) for i, j in mine]
        mine = [(i, j) for i, j in mine if i in places]
        all_pairs = [(i, j) for i in places for j in places if i < j]
        assert sorted(mine) == all_pairs


@pytest.mark.parametrize(("seats", "groups"), [(1, 20), (1, 2), (2, 10), (2, 5), (5, 4), (5, 1)])
def test_batches_agree_with_a_loop_over_jets(streams, seats, groups):
    file, scaling = streams
    tables, rows = make_streams(), np.arange(20).reshape(-1, seats)
    samples = convert([file.read(0, 9), file.read(9, 20)], file.schema, scaling)
    widths = {"tracks": 17, "electrons": 8, "flow": 13}
    pairs = {"tracks": 31 * len(rows) // groups, "flow": 19 * len(rows) // groups}
    layout = Layout(1, len(rows), seats, widths, pairs, groups)
    batch, labels = assemble(samples, rows, layout)
    assert batch.pairs["flow"].first.shape == (groups, pairs["flow"])
    for jet in range(20):
        check_jet(batch, labels, jet, jet // seats, jet_of(tables, scaling, jet))
    assert np.isnan(labels["mass"][[0, 5, 10, 15]]).all()


def test_pairs_stand_jet_after_jet_and_padding_is_zero(streams):
    file, scaling = streams
    samples = convert([file.read(0, 10)], file.schema, scaling)
    layout = Layout(1, 1, 4, {"tracks": 10, "electrons": 9, "flow": 9}, {"tracks": 12})
    batch, _ = assemble(samples, np.array([[3, 0, 2, 4]]), layout)
    first, second, valid = batch.pairs["tracks"]
    assert first.dtype == second.dtype == np.int32
    np.testing.assert_array_equal(valid[0], np.arange(12) < 3 + 1 + 6)
    np.testing.assert_array_equal(first[0], [0, 0, 1, 3, 5, 5, 6, 5, 6, 7, 0, 0])
    np.testing.assert_array_equal(second[0], [1, 2, 2, 4, 6, 7, 7, 8, 8, 8, 0, 0])


# Rows as wide as the longest jet, and wider ones; groups that their pairs limit, one of all rows.
ROWS = {
    "rows": ({"tracks": 4, "electrons": 2, "flow": 4}, {"tracks": 6, "flow": 6}, 4),
    "wide": ({"tracks": 9, "electrons": 5, "flow": 8}, {"tracks": 7, "flow": 6}, 4),
    "halves": ({"tracks": 9, "electrons": 5, "flow": 8}, {"tracks": 9, "flow": 8}, 2),
    "all": ({"tracks": 9, "electrons": 5, "flow": 8}, {"tracks": 12, "flow": 12}, 1),
}


@pytest.mark.parametrize("spread", [1, 2])
@pytest.mark.parametrize("rows", ROWS)
def test_packed_batches_hold_the_jets_of_the_padded_ones(streams, rows, spread):
    file, scaling = streams
    layout = Layout(12, 4, 3, *ROWS[rows], spread)
    padded_pass, packed_pass = (
        read_sequential(file, scaling, 12, labelled_only=True, layout=x) for x in (None, layout)
    )
    for (_, plain, expected), (_, packed, found) in zip(padded_pass, packed_pass, strict=True):
        assert packed.jet_valid.sum() == plain.jet_valid.sum()
        order = {float(x): i for i, x in enumerate(plain.jets[:, 0])}
        for part, jet in np.argwhere(packed.jet_valid):
            other, row = order.pop(float(packed.jets[part, jet, 0])), jet // layout.jets
            for name, one in plain.streams.items():
                two, own = packed.streams[name], packed.streams[name].valid[part, jet]
                assert two.values.shape[1:3] == (4, layout.widths[name])
                np.testing.assert_array_equal(
                    one.values[other][one.valid[other]], two.values[part, row][own]
                )
            for name in ("kind", "weight", "mass", "hadron_kind", "size"):
                np.testing.assert_array_equal(expected[name][other], found[name][part, jet])
        for name, pairs in packed.pairs.items():
            assert pairs.valid.shape == (12, layout.groups, layout.pairs[name])
            assert pairs.valid.sum() == plain.pairs[name].valid.sum()


def test_training_sees_the_jets_that_are_kept(streams):
    file, scaling = streams
    listed = make_streams()["jets"]["kind"] != 15
    loader = TrainLoader(file, scaling, batch_size=9, seed=0)
    assert loader.jets_per_epoch == listed.sum() and loader.skipped == (~listed).sum()
    iterator = loader.iterator()
    for _ in range(loader.steps_per_epoch):
        batch, labels = next(iterator)
        assert (labels["kind"][batch.jet_valid] >= 0).all()
        for leaf in jax.tree.leaves(batch):
            assert np.isfinite(leaf).all()


def test_jets_alone_become_batches(opened):
    data = DataConfig(jets=JetsConfig(inputs=["pt"]), labels={"kind": STREAMS.labels["kind"]})
    file = opened(make_streams(), build(data, [Needs(data.labels)]))
    layout = plan_layout(file, 8, extra=3, devices=3)
    assert layout == Layout(1, 9, 1, {}, groups=9)
    for chosen, lead in ((None, ()), (layout, (1,))):
        loader = TrainLoader(file, fit_scaling(file), batch_size=8, seed=0, layout=chosen)
        batch, labels = next(loader.iterator())
        assert batch.jets.shape == (*lead, 9 if lead else 8, 1)
        assert not batch.streams and not batch.pairs and list(labels) == ["kind"]


def test_jets_may_have_no_input_and_no_jet_any_constituent(opened):
    data = dataclasses.replace(STREAMS, jets=JetsConfig())
    tables = make_streams()
    file = opened(tables, streams_schema(data))
    scaling = fit_scaling(file)
    tables["electrons"] = tables["electrons"][:, :0]
    tables["flow"]["valid"] = False
    file = opened(tables, streams_schema(data))
    batch, labels = assemble(
        convert([file.read(0, 6)], file.schema, scaling),
        np.arange(6)[:, None],
        padded(6, file.widths, pairs=file.schema.pairs),
    )
    assert batch.jets.shape == (6, 0) and batch.jet_valid.all()
    assert batch.streams["electrons"].values.shape == (6, 1, 1)
    assert not batch.streams["flow"].valid.any() and not batch.pairs["flow"].valid.any()
    assert not labels["vertices"].masks.any() and labels["vertices"].valid.any()


# Change of the tables -> message; what is NaN by permission stays so.
WRONG = {
    "infinite target": ("jets", "mass", np.inf, r"`mass` of dataset `jets` is inf in row 7"),
    "denominator": ("jets", "energy", 0, r"`mass` .* row 7 and its denominator `energy` 0\.0"),
    "domain": ("jets", "mass", -1, r"`mass` .* is -1.0 in row 7, outside the domain .* `log`"),
    "weight": ("jets", "weight", np.nan, r"`weight` of dataset `jets` is nan in row 7"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_numbers_are_refused(streams, opened, case):
    dataset, field, value, message = WRONG[case]
    tables = make_streams()
    tables[dataset][field][7] = value
    file = opened(tables, streams_schema())
    with pytest.raises(InputError, match=message):
        convert([file.read(0, 20)], file.schema, streams[1])


@pytest.mark.parametrize("name", ["kind", "electron_kind", "hadron_kind"])
def test_values_in_no_class_are_an_error_by_option(streams, opened, name):
    label = dataclasses.replace(STREAMS.labels[name], unlisted="error")
    data = dataclasses.replace(STREAMS, labels=STREAMS.labels | {name: label})
    file = opened(make_streams(), streams_schema(data))
    with pytest.raises(InputError, match=r"`kind` of dataset `.*` is .* in no class of"):
        convert([file.read(0, 40)], file.schema, streams[1])


def test_statistics_of_targets_are_those_of_real_entries_that_are_kept(streams):
    tables, (_, scaling) = make_streams(), streams
    keep = tables["jets"]["kind"] != 15
    jets, flow, hadrons = (tables[name][keep] for name in ("jets", "flow", "hadrons"))
    mass = np.log(jets["mass"].astype(float) / jets["energy"])
    flow = flow[flow["valid"]]
    hadrons = hadrons[hadrons["valid"] & np.isin(hadrons["kind"], [4, 5])]
    for name, columns in (
        ("mass", [mass[~np.isnan(mass)]]),
        ("slope", [flow["y"].astype(float), np.arcsinh(flow["x"].astype(float))]),
        ("size", [np.log1p(hadrons["size"].astype(float))]),
    ):
        np.testing.assert_allclose(scaling.targets[name].mean, [c.mean() for c in columns], 1e-6)
        np.testing.assert_allclose(scaling.targets[name].std, [c.std() for c in columns], 1e-6)
    back = scaling.to_physical("mass", streams[1].targets["mass"].mean * 0)
    np.testing.assert_allclose(back, np.exp(scaling.targets["mass"].mean))


def test_scaling_is_saved_read_and_compared_with_the_schema(streams, tmp_path):
    file, scaling = streams
    scaling.save(tmp_path / "norm.yaml")
    found = Scaling.load(tmp_path / "norm.yaml")
    found.check(file.schema)
    for (name, before), (other, after) in zip(scaling.parts(), found.parts(), strict=True):
        assert name == other and before[:4] == after[:4] and before[6] == after[6]
    inputs = dataclasses.replace(file.schema.streams["tracks"], inputs=["y", "x"])
    other = file.schema._replace(streams=file.schema.streams | {"tracks": inputs})
    with pytest.raises(InputError, match=r"`streams.tracks` .* is of x, y; .* asks for y, x$"):
        found.check(other)
    target = file.schema.labels["mass"]._replace(denominators={})
    other = file.schema._replace(labels=file.schema.labels | {"mass": target})
    with pytest.raises(InputError, match=r"of mass/energy \(log, 1\); .* for mass \(log, 1\)$"):
        found.check(other)
    with pytest.raises(InputError, match=r"`targets.size` .* it is of nothing; .* for size"):
        found._replace(targets={}).check(
            file.schema._replace(labels={"size": file.schema.labels["size"]})
        )


@pytest.mark.parametrize("std", ["0.0", "-1.0", ".nan", ".inf"])
def test_spreads_that_nothing_can_be_divided_by_are_refused(streams, tmp_path, std):
    path = tmp_path / "norm.yaml"
    streams[1].save(path)
    before = f"std: {float(streams[1].streams['flow'].std[0])!r}"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, f"std: {std}"))
    with pytest.raises(InputError, match=r"`streams.flow.fields.y.std` must be "):
        Scaling.load(path)


def test_labels_are_had_one_by_one(opened, streams):
    tables = make_streams()
    tables["jets"] = recfunctions.drop_fields(tables["jets"], ["weight", "kind"])
    tables["flow"] = recfunctions.drop_fields(tables["flow"], "link")
    tables.pop("hadrons")
    file = opened(tables, streams_schema(), truth="optional")
    gone = {"weight", "kind", "vertices", "hadrons", "hadron_kind", "hadron_size", "size"}
    assert set(file.missing) == gone
    (_, batch, labels), *_ = read_sequential(file, streams[1], 40, labelled_only=True)
    assert set(labels) == set(file.schema.labels) - gone and batch.jet_valid.all()
