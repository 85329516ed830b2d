"""Seats of the jets: every jet once, no row too full, few rows; whatever the numbers of tracks."""

import jax
import numpy as np
import pytest

from maskformer_jax.data import (
    Layout,
    TrainLoader,
    fit_scaling,
    padded,
    plan_layout,
    read_sequential,
)
from maskformer_jax.data.dealing import LOOKED_AT, deal, sizes
from maskformer_jax.data.packing import pairs_of, plan, seat
from maskformer_jax.types import ObjectLabels

WIDTH, OBJECTS = 40, 5
WIDTHS = {"tracks": WIDTH}


def draw(name, number, seed=0):
    generator = np.random.default_rng(seed)
    counts = {
        "as in t-tbar": generator.negative_binomial(4, 0.34, number),
        "long": generator.integers(10, WIDTH + 1, number),
        "none": np.zeros(number, int),
        "one": np.ones(number, int),
        "full": np.full(number, WIDTH),
        "empty or full": WIDTH * generator.integers(0, 2, number),
    }[name]
    return np.minimum(counts, WIDTH)


DISTRIBUTIONS = ("as in t-tbar", "long", "none", "one", "full", "empty or full")


def seated(counts, layout, seed=0):
    return seat({"tracks": counts}, len(counts), layout, np.random.default_rng(seed))


def assert_good(seats, counts, layout):
    """Every jet has one seat, and every row room for its jets."""
    assert seats.shape == (layout.batches * layout.parts, layout.rows, layout.jets)
    np.testing.assert_array_equal(np.sort(seats[seats >= 0]), np.arange(len(counts)))
    tracks = np.where(seats >= 0, counts[seats], 0).sum(-1)
    assert tracks.max() <= layout.widths["tracks"]
    used = (seats >= 0).any((1, 2)).reshape(layout.batches, layout.parts)
    assert (np.diff(used.astype(int), axis=1) <= 0).all(), "used parts come first"


@pytest.mark.parametrize("planned", DISTRIBUTIONS)
@pytest.mark.parametrize("found", DISTRIBUTIONS)
@pytest.mark.parametrize(("batches", "parts"), [(1, 1), (2, 1), (1, 3), (2, 4)])
def test_every_jet_has_a_seat_even_where_the_plan_was_for_others(planned, found, batches, parts):
    options = {"extra": OBJECTS, "batches": batches, "parts": parts}
    layout = plan({"tracks": draw(planned, 500)}, 60, WIDTHS, **options)
    for number in (60, 59, 7, 1):
        counts = draw(found, number, seed=1)
        assert_good(seated(counts, layout), counts, layout)


@pytest.mark.parametrize("name", ["as in t-tbar", "long", "one", "full"])
@pytest.mark.parametrize("seats", [1, 2, 5])
def test_the_emptiest_row_takes_the_longest_jet_that_is_left(name, seats):
    counts, rows = np.sort(np.maximum(draw(name, 100), 1))[::-1].tolist(), 25
    tracks, taken, expected = [0] * rows, [0] * rows, []
    for count in counts:
        row = min(
            (row for row in range(rows) if taken[row] < seats),
            key=lambda row: (tracks[row], row),
            default=None,
        )
        if row is None or tracks[row] + count > WIDTH:
            expected.append(-1)
            continue
        expected.append(row * seats + taken[row])
        tracks[row] += count
        taken[row] += 1
    assert deal(np.array(counts)[:, None], rows, seats, [WIDTH]).tolist() == expected


@pytest.mark.parametrize("seats", [1, 2, 5])
def test_with_several_widths_everything_must_fit(seats):
    """The rule by hand: the first of the emptiest rows that are looked at, if it fits in one."""
    generator, rows, widths = np.random.default_rng(2), 25, [40, 6, 90]
    needs = np.stack([draw("as in t-tbar", 100), generator.poisson(1, 100).clip(0, 6)], axis=1)
    needs = np.column_stack([needs, pairs_of(needs[:, 0]).clip(0, 90)])
    needs = needs[np.argsort(-sizes(needs, widths), kind="stable")]
    held, taken, expected = np.zeros((rows, 3)), [0] * rows, []
    for jet in needs:
        with_seat = [row for row in range(rows) if taken[row] < seats]
        emptiest = sorted(with_seat, key=lambda row: ((held[row] / widths).max(), row))
        fits = (r for r in emptiest[:LOOKED_AT] if (held[r] + jet <= widths).all())
        row = next(fits, None)
        expected.append(-1 if row is None else row * seats + taken[row])
        if row is not None:
            held[row] += jet
            taken[row] += 1
    found = deal(needs, rows, seats, widths)
    assert found.tolist() == expected and (found < 0).any() and (found >= 0).any()


@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("parts", [1, 3, None])
def test_every_jet_of_several_streams_has_a_seat(batches, parts):
    widths = {"tracks": WIDTH, "electrons": 6, "flow": 30}
    options = {"extra": 1, "pairs": ["tracks"], "batches": batches, "parts": parts}

    def draw_all(number, seed):
        found = {
            "tracks": draw("as in t-tbar", number, seed),
            "electrons": np.random.default_rng(seed).poisson(0.3, number).clip(0, 6),
            "flow": draw("as in t-tbar", number, seed + 1).clip(0, 30),
        }
        return found

    layout = plan(draw_all(1000, 0), 400, widths, **options)
    assert layout.jets > 1 and layout.pairs["tracks"] >= pairs_of(WIDTH)
    for number in (400, 31, 1):
        counts = draw_all(number, 5)
        seats = seat(counts, number, layout, np.random.default_rng(0))
        for name, width in widths.items():
            one = layout._replace(widths={"tracks": width})
            assert_good(seats, counts[name], one)
        pairs = np.append(pairs_of(counts["tracks"]), 0)[seats].sum((1, 2))
        assert (pairs <= layout.pairs["tracks"]).all()
    assert (seat(draw_all(400, 5), 400, layout, np.random.default_rng(0)) >= 0).any(
        (1, 2)
    ).sum() == (layout.spread * batches)


@pytest.mark.parametrize("parts", [1, None])
@pytest.mark.parametrize("number", [100, 500, 2000])
@pytest.mark.parametrize("name", ["as in t-tbar", "full"])
def test_plan_wastes_little_and_holds_nearly_every_batch(name, number, parts):
    counts = draw(name, 5_000)
    layout = plan({"tracks": counts}, number, WIDTHS, extra=OBJECTS, parts=parts)
    slots = layout.spread * layout.rows * (WIDTH + layout.jets * OBJECTS)
    assert (layout.spread > 1) == (parts is None and number * (counts.mean() + OBJECTS) > 2000)
    assert slots < 1.25 * number * (counts.mean() + OBJECTS)
    generator = np.random.default_rng(1)
    spilled = [
        seat({"tracks": drawn}, number, layout, generator)[layout.spread :].max(initial=-1) >= 0
        for drawn in generator.choice(counts, (50, number))
    ]
    assert sum(spilled) <= 1


def test_plan_is_the_same_each_time_and_fits_the_devices():
    counts = draw("as in t-tbar", 1000)
    for devices in (1, 3, 4):
        layout = plan({"tracks": counts}, 120, WIDTHS, extra=OBJECTS, devices=devices)
        assert layout == plan({"tracks": counts}, 120, WIDTHS, extra=OBJECTS, devices=devices)
        assert layout.rows % devices == 0 and layout.jets > 1
    assert plan({"tracks": draw("full", 100)}, 120, WIDTHS, extra=OBJECTS) == padded(120, WIDTHS)


def test_rows_come_in_random_order():
    """Every row holds a long jet and short ones; which row holds the longest is drawn."""
    counts, layout = draw("as in t-tbar", 200), Layout(4, 50, 5, WIDTHS)
    rows = set()
    for seed in range(10):
        seats = seated(counts, layout, seed)
        rows.add(int(np.argwhere(seats == counts.argmax())[0][1]))
        assert_good(seats, counts, layout)
    assert len(rows) > 5


@pytest.mark.parametrize("number", [1, 2, 200])
def test_the_longest_jet_stands_in_any_part_that_is_used(number):
    """Otherwise the jets of the first part would be longer than the others."""
    counts, layout = draw("as in t-tbar", number), Layout(8, 50, 5, WIDTHS, spread=4)
    found = [seated(counts, layout, seed) for seed in range(40)]
    parts = {int(np.argwhere(seats == counts.argmax())[0][0]) for seats in found}
    assert parts == set(range(min(number, layout.spread)))
    for seats in found:
        assert_good(seats, counts, layout)


def test_halves_of_a_batch_are_its_first_and_second_jets():
    counts = draw("as in t-tbar", 31)
    layout = plan({"tracks": draw("as in t-tbar", 500)}, 40, WIDTHS, extra=OBJECTS, batches=2)
    seats = seated(counts, layout)
    halves = seats.reshape(2, -1)
    for half, jets in zip(halves, (np.arange(16), np.arange(16, 31)), strict=True):
        np.testing.assert_array_equal(np.sort(half[half >= 0]), jets)


def real(batch, labels, schema):
    """Jets, with what belongs to them, in an order of their own."""
    seats = {n: x.valid.shape[-2] // x.values.shape[-3] for n, x in batch.streams.items()}
    found = []
    for part in np.ndindex(batch.jet_valid.shape):
        if not batch.jet_valid[part]:
            continue
        row = {name: (*part[:-1], part[-1] // number) for name, number in seats.items()}
        own = {name: stream.valid[part] for name, stream in batch.streams.items()}
        arrays = [batch.jets[part]]
        arrays += [x.values[row[name]][own[name]] for name, x in batch.streams.items()]
        for name, label in labels.items():
            of = schema.labels[name].of
            if isinstance(label, ObjectLabels):
                arrays += [label.valid[part], label.masks[part][:, own[of]]]
                assert not label.masks[part][:, ~own[of]].any()
            else:
                arrays.append(label[row[of]][own[of]] if of in own else label[part])
        for name, pairs in batch.pairs.items():
            places = np.flatnonzero(own[name])
            num_rows, width = batch.streams[name].values.shape[1:3]
            group, begin = np.divmod(row[name][-1], num_rows // pairs.valid.shape[1])
            there = (part[0], group, pairs.valid[part[0], group])
            first, second = (x[there] - begin * width for x in pairs[:2])
            mine = np.isin(first, places)
            np.testing.assert_array_equal(np.isin(second, places), mine)
            arrays += [np.searchsorted(places, first[mine]), np.searchsorted(places, second[mine])]
        found.append(np.concatenate([np.ravel(x).astype(float) for x in arrays]))
    return sorted(found, key=lambda x: tuple(x))


@pytest.mark.parametrize("batches", [1, 2])
def test_packed_batches_hold_the_jets_of_the_padded_ones(tables, opened, batches):
    file = opened(tables)
    scaling = fit_scaling(file)
    layout = plan_layout(file, 8, batches=batches)._replace(rows=3, jets=3, parts=3)
    options = {"batch_size": 8, "seed": 5}
    plain = TrainLoader(file, scaling, **options).iterator()
    packed = TrainLoader(file, scaling, layout=layout, **options).iterator()
    for _ in range(9):
        (one, expected), (other, found) = next(plain), next(packed)
        tracks = other.streams["tracks"]
        assert tracks.values.shape[:3] == (3 * batches, 3, file.widths["tracks"])
        in_rows = tracks.valid.reshape(*tracks.values.shape[:2], 3, -1)
        assert not tracks.values[~in_rows.any(2)].any()
        for a, b in zip(
            real(one, expected, file.schema), real(other, found, file.schema), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_packed_batches_are_resumed_and_read_in_order(tables, opened):
    file = opened(tables)
    scaling, layout = fit_scaling(file), Layout(3, 3, 3, file.widths)
    iterator = TrainLoader(file, scaling, batch_size=8, seed=5, layout=layout).iterator()
    drawn = [next(iterator) for _ in range(3)]
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(6)]
    resumed = TrainLoader(file, scaling, batch_size=8, seed=5, layout=layout).iterator()
    resumed.set_state(state)
    for batch in expected:
        jax.tree.map(np.testing.assert_array_equal, batch, next(resumed))
    assert (drawn[0][0].jets != expected[0][0].jets).any()
    for (_, *one), (_, *other) in zip(
        read_sequential(file, scaling, 8, labelled_only=False),
        read_sequential(file, scaling, 8, labelled_only=False, layout=layout),
        strict=True,
    ):
        for a, b in zip(real(*one, file.schema), real(*other, file.schema), strict=True):
            np.testing.assert_array_equal(a, b)


def test_layout_of_a_file_follows_its_first_jets(tables, opened):
    file = opened(tables)
    found = {num: plan_layout(file, 8, num_jets=num) for num in (None, 10, 10_000)}
    assert found[None] == found[10_000]
    assert all(layout.widths == file.widths for layout in found.values())
