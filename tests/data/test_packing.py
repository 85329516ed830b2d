"""Seats of the jets: every jet once, no row too full, few rows; whatever the numbers of tracks."""

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
from maskformer_jax.data.packing import _deal, plan, seat

WIDTH, OBJECTS = 40, 5


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


def assert_good(seats, counts, layout):
    """Every jet has one seat, and every row room for its jets."""
    assert seats.shape == (layout.batches * layout.parts, layout.rows, layout.jets)
    np.testing.assert_array_equal(np.sort(seats[seats >= 0]), np.arange(len(counts)))
    tracks = np.where(seats >= 0, counts[seats], 0).sum(-1)
    assert tracks.max() <= layout.width
    used = (seats >= 0).any((1, 2)).reshape(layout.batches, layout.parts)
    assert (np.diff(used.astype(int), axis=1) <= 0).all(), "used parts come first"


@pytest.mark.parametrize("planned", DISTRIBUTIONS)
@pytest.mark.parametrize("found", DISTRIBUTIONS)
@pytest.mark.parametrize(("batches", "parts"), [(1, 1), (2, 1), (1, 3), (2, 4)])
def test_every_jet_has_a_seat_even_where_the_plan_was_for_others(planned, found, batches, parts):
    options = {"objects": OBJECTS, "batches": batches, "parts": parts}
    layout = plan(draw(planned, 500), 60, WIDTH, **options)
    for number in (60, 59, 7, 1):
        counts = draw(found, number, seed=1)
        assert_good(seat(counts, layout, np.random.default_rng(0)), counts, layout)


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
    assert _deal(counts, rows, seats, WIDTH).tolist() == expected


@pytest.mark.parametrize("parts", [1, None])
@pytest.mark.parametrize("number", [100, 500, 2000])
@pytest.mark.parametrize("name", ["as in t-tbar", "full"])
def test_plan_wastes_little_and_holds_nearly_every_batch(name, number, parts):
    counts = draw(name, 5_000)
    layout = plan(counts, number, WIDTH, objects=OBJECTS, parts=parts)
    slots = layout.spread * layout.rows * (layout.width + layout.jets * OBJECTS)
    assert (layout.spread > 1) == (parts is None and number * (counts.mean() + OBJECTS) > 2000)
    assert slots < 1.25 * number * (counts.mean() + OBJECTS)
    generator = np.random.default_rng(1)
    spilled = [
        seat(drawn, layout, generator)[layout.spread :].max(initial=-1) >= 0
        for drawn in generator.choice(counts, (50, number))
    ]
    assert sum(spilled) <= 1


def test_plan_is_the_same_each_time_and_fits_the_devices():
    counts = draw("as in t-tbar", 1000)
    for devices in (1, 3, 4):
        layout = plan(counts, 120, WIDTH, objects=OBJECTS, devices=devices)
        assert layout == plan(counts, 120, WIDTH, objects=OBJECTS, devices=devices)
        assert layout.rows % devices == 0 and layout.jets > 1
    assert plan(draw("full", 100), 120, WIDTH, objects=OBJECTS) == padded(120, WIDTH)


def test_rows_come_in_random_order():
    """Every row holds a long jet and short ones; which row holds the longest is drawn."""
    counts, layout = draw("as in t-tbar", 200), Layout(4, 50, 5, WIDTH)
    rows = set()
    for seed in range(10):
        seats = seat(counts, layout, np.random.default_rng(seed))
        rows.add(int(np.argwhere(seats == counts.argmax())[0][1]))
        assert_good(seats, counts, layout)
    assert len(rows) > 5


@pytest.mark.parametrize("number", [1, 2, 200])
def test_the_longest_jet_stands_in_any_part_that_is_used(number):
    """Otherwise the jets of the first part would be longer than the others."""
    counts, layout = draw("as in t-tbar", number), Layout(8, 50, 5, WIDTH, 4)
    found = [seat(counts, layout, np.random.default_rng(seed)) for seed in range(40)]
    parts = {int(np.argwhere(seats == counts.argmax())[0][0]) for seats in found}
    assert parts == set(range(min(number, layout.spread)))
    for seats in found:
        assert_good(seats, counts, layout)


def test_halves_of_a_batch_are_its_first_and_second_jets():
    counts = draw("as in t-tbar", 31)
    layout = plan(draw("as in t-tbar", 500), 40, WIDTH, objects=OBJECTS, batches=2)
    seats = seat(counts, layout, np.random.default_rng(0))
    halves = seats.reshape(2, -1)
    for half, jets in zip(halves, (np.arange(16), np.arange(16, 31)), strict=True):
        np.testing.assert_array_equal(np.sort(half[half >= 0]), jets)


def real(batch, targets):
    """Jets, with their tracks and targets, in an order of their own."""
    rows, width = batch.tracks.shape[:-1], batch.tracks.shape[-2]
    num_jets = batch.valid.shape[-2] // rows[-2]
    found = []
    for part in np.ndindex(batch.jet_valid.shape):
        if not batch.jet_valid[part]:
            continue
        row = (*part[:-1], part[-1] // num_jets)
        track = batch.valid[part]
        assert len(track) == width
        values = (batch.jets, targets.jet_class_index, targets.object_class_index)
        values += (targets.object_valid, targets.regression)
        arrays = [value[part] for value in values]
        arrays += [batch.tracks[row][track], targets.origin_index[row][track]]
        arrays += [targets.masks[part][:, track]]
        found.append(np.concatenate([np.ravel(x).astype(float) for x in arrays]))
        assert not targets.masks[part][:, ~track].any()
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
        assert other.tracks.shape[:3] == (3 * batches, 3, file.width)
        assert not other.tracks[~other.valid.reshape(*other.tracks.shape[:2], 3, -1).any(2)].any()
        for a, b in zip(real(one, expected), real(other, found), strict=True):
            np.testing.assert_array_equal(a, b)


def test_packed_batches_are_resumed_and_read_in_order(tables, opened):
    file = opened(tables)
    scaling, layout = fit_scaling(file), Layout(3, 3, 3, file.width)
    iterator = TrainLoader(file, scaling, batch_size=8, seed=5, layout=layout).iterator()
    drawn = [next(iterator) for _ in range(3)]
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(6)]
    resumed = TrainLoader(file, scaling, batch_size=8, seed=5, layout=layout).iterator()
    resumed.set_state(state)
    for batch in expected:
        for a, b in zip(batch, next(resumed), strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)
    assert (drawn[0][0].jets != expected[0][0].jets).any()
    for (_, *one), (_, *other) in zip(
        read_sequential(file, scaling, 8, labelled_only=False),
        read_sequential(file, scaling, 8, labelled_only=False, layout=layout),
        strict=True,
    ):
        for a, b in zip(real(*one), real(*other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_layout_of_a_file_follows_its_first_jets(tables, opened):
    file = opened(tables)
    found = {num: plan_layout(file, 8, num_jets=num) for num in (None, 10, 10_000)}
    assert found[None] == found[10_000]
    assert all(layout.width == file.width for layout in found.values())
