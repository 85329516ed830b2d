"""Order of the jets, resumption, and what happens to unlabelled ones."""

import threading

import jax
import numpy as np
import pytest

from maskformer_jax.data import TrainLoader, fit_scaling, read_sequential
from maskformer_jax.errors import InputError


def leaves(batch):
    return jax.tree.leaves(batch)


def assert_same(one, two):
    for before, after in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_array_equal(before, after)


def rows_of(file, scaling, batch):
    """Rows in the file of the real jets of a batch, found by their pT."""
    pt = file.read(0, file.num_jets).jets["pt"]
    scaled = ((pt - scaling.jets.mean[0]) / scaling.jets.std[0]).astype(np.float32)
    found = batch[0].jets[batch[0].jet_valid][:, 0]
    return np.abs(found[:, None] - scaled).argmin(axis=1)


@pytest.fixture
def prepared(tables, opened):
    file = opened(tables)
    return file, fit_scaling(file)


def drawn(loader, count, iterator=None):
    iterator = loader.iterator() if iterator is None else iterator
    return [next(iterator) for _ in range(count)]


@pytest.mark.parametrize("batch_size", [1, 5, 7, 13, 50, 64])
def test_every_jet_once_per_epoch_and_a_new_order_in_the_next(prepared, batch_size):
    file, scaling = prepared
    loader = TrainLoader(file, scaling, batch_size=batch_size, seed=3)
    assert (loader.jets_per_epoch, loader.skipped) == (50, 0)
    assert loader.steps_per_epoch == -(-50 // batch_size)
    batches = drawn(loader, 2 * loader.steps_per_epoch)
    assert all(len(batch[0].jets) == batch_size for batch in batches)
    rows = [rows_of(file, scaling, batch) for batch in batches]
    epochs = [np.concatenate(rows[: len(rows) // 2]), np.concatenate(rows[len(rows) // 2 :])]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(50))
        assert (epoch != np.arange(50)).any()
    assert (epochs[0] != epochs[1]).any()


def test_jets_of_a_group_of_blocks_stay_together(prepared):
    file, scaling = prepared
    loader = TrainLoader(file, scaling, batch_size=50, seed=0)
    rows = rows_of(file, scaling, drawn(loader, 1)[0])
    begin = 0
    groups = []
    while begin < 50:
        # Blocks hold 4 jets, the last one 2, and a group is of 3 blocks or what is left.
        blocks = {int(row) // 4 for row in rows[begin : begin + 10]}
        jets = sum(2 if block == 12 else 4 for block in blocks)
        groups.append(len(blocks))
        assert {int(row) // 4 for row in rows[begin : begin + jets]} == blocks
        begin += jets
    assert groups == [3, 3, 3, 3, 1]


def test_batches_hold_what_a_sequential_pass_finds(prepared):
    file, scaling = prepared
    (_, *whole), *_ = read_sequential(file, scaling, 50, labelled_only=True)
    for batch in drawn(TrainLoader(file, scaling, batch_size=7, seed=1), 8):
        rows, real = rows_of(file, scaling, batch), batch[0].jet_valid
        for found, expected in zip(leaves(batch), leaves(whole), strict=True):
            np.testing.assert_array_equal(found[real], expected[rows])


def test_same_seed_same_batches(prepared):
    one, two = (drawn(TrainLoader(*prepared, batch_size=8, seed=5), 9) for _ in range(2))
    for before, after in zip(one, two, strict=True):
        assert_same(before, after)


@pytest.mark.parametrize("block_size", [1, 50])
def test_blocks_and_jets_are_shuffled_by_seed_and_epoch(tables, opened, change, block_size):
    # Blocks of one jet: the order of the blocks. One block: the order of the jets inside it.
    file = opened(tables, change(block_size=block_size, group_blocks=1))
    scaling = fit_scaling(file)
    orders = [np.arange(50)]
    for seed in (5, 6):
        loader = TrainLoader(file, scaling, batch_size=50, seed=seed)
        orders += [rows_of(file, scaling, batch) for batch in drawn(loader, 2)]
    assert len({tuple(order) for order in orders}) == 5


@pytest.mark.parametrize("stop", [0, 3, 7, 11])
def test_restored_position_continues_with_the_same_batches(prepared, stop):
    file, scaling = prepared
    iterator = TrainLoader(file, scaling, batch_size=8, seed=5).iterator()
    drawn(None, stop, iterator)
    state = iterator.get_state()
    expected = drawn(None, 12, iterator)
    resumed = TrainLoader(file, scaling, batch_size=8, seed=5).iterator()
    next(resumed)
    resumed.set_state(state)
    for before, after in zip(expected, drawn(None, 12, resumed), strict=True):
        assert_same(before, after)


def test_position_survives_an_orbax_checkpoint(prepared, tmp_path):
    import grain.checkpoint
    import orbax.checkpoint as ocp

    file, scaling = prepared
    iterator = TrainLoader(file, scaling, batch_size=8, seed=5).iterator()
    drawn(None, 10, iterator)
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        save = grain.checkpoint.CheckpointSave(iterator)
        manager.save(10, args=ocp.args.Composite(loader=save))
        manager.wait_until_finished()
        expected = drawn(None, 3, iterator)
        resumed = TrainLoader(file, scaling, batch_size=8, seed=5).iterator()
        restore = grain.checkpoint.CheckpointRestore(resumed)
        manager.restore(10, args=ocp.args.Composite(loader=restore))
    for before, after in zip(expected, drawn(None, 3, resumed), strict=True):
        assert_same(before, after)


def test_only_the_first_jets_are_used(prepared):
    file, scaling = prepared
    loader = TrainLoader(file, scaling, batch_size=6, seed=0, num_jets=17)
    rows = [rows_of(file, scaling, batch) for batch in drawn(loader, loader.steps_per_epoch)]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(17))


def test_blocks_are_whole_chunks_of_the_file(tables, opened, change):
    file = opened(tables, change(group_blocks=1))
    file.chunk_rows = 25
    loader = TrainLoader(file, fit_scaling(file), batch_size=25, seed=0)
    halves = [rows_of(file, loader._scaling, batch) // 25 for batch in drawn(loader, 2)]
    assert {frozenset(half) for half in halves} == {frozenset({0}), frozenset({1})}


def test_unlabelled_jets_are_skipped_and_counted(tables, opened):
    tables["jets"]["flavour_label"][[0, 13, 49]] = 15
    tables["jets"]["flavour_label"][8:12] = -1
    file = opened(tables)
    scaling = fit_scaling(file)
    loader = TrainLoader(file, scaling, batch_size=9, seed=0)
    assert (loader.skipped, loader.jets_per_epoch) == (7, 43)
    rows = [rows_of(file, scaling, batch) for batch in drawn(loader, loader.steps_per_epoch)]
    expected = np.setdiff1d(np.arange(50), [0, 8, 9, 10, 11, 13, 49])
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), expected)


def test_unlabelled_jets_are_an_error_by_option(tables, opened, change):
    tables["jets"]["flavour_label"][[13, 20]] = 15
    file = opened(tables, change(flavour={"unlisted": "error"}))
    with pytest.raises(InputError, match=r"`flavour_label` .* is 15 in row 13, in no class"):
        TrainLoader(file, fit_scaling(file), batch_size=9, seed=0)


def test_error_of_the_reading_thread_reaches_the_caller(tables, opened):
    scaling = fit_scaling(opened(tables))
    tables["tracks"]["d0"][23, 0] = np.inf
    file = opened(tables)
    loader = TrainLoader(file, scaling, batch_size=10, seed=0)
    with pytest.raises(InputError, match=r"field `d0` of dataset `tracks` is inf in row 23"):
        drawn(loader, loader.steps_per_epoch)
    with pytest.raises(InputError, match=r"is inf in row 23"):
        list(read_sequential(file, scaling, 10, labelled_only=False))


def test_batches_are_made_in_another_thread(prepared, monkeypatch):
    file, scaling = prepared
    threads, read = set(), file.read
    monkeypatch.setattr(
        file, "read", lambda *rows: threads.add(threading.current_thread()) or read(*rows)
    )
    next(read_sequential(file, scaling, 10, labelled_only=False))
    next(TrainLoader(file, scaling, batch_size=10, seed=0).iterator())
    assert threads and threading.main_thread() not in threads


def test_sequential_pass_keeps_every_row_in_order(tables, opened):
    tables["jets"]["flavour_label"][[0, 13]] = 15
    file = opened(tables)
    scaling = fit_scaling(file)
    passed = list(read_sequential(file, scaling, 8, labelled_only=False))
    assert [records.start for records, _, _ in passed] == list(range(0, 50, 8))
    rows = np.concatenate([records.rows for records, _, _ in passed])
    np.testing.assert_array_equal(rows, np.arange(50))
    valid = np.concatenate([batch.jet_valid for _, batch, _ in passed])
    np.testing.assert_array_equal(valid, np.arange(56) < 50)
    classes = np.concatenate([labels["flavour"] for _, _, labels in passed])
    expected = np.arange(50) % 3
    expected[[0, 13]] = -1
    np.testing.assert_array_equal(classes[:50], expected)
    np.testing.assert_array_equal(classes[50:], -1)


def test_sequential_pass_over_labelled_jets_only(tables, opened):
    tables["jets"]["flavour_label"][[0, 13, 14, 15]] = 15
    tables["jets"]["pt"][14] = np.nan
    file = opened(tables)
    passed = list(read_sequential(file, fit_scaling(file), 8, labelled_only=True))
    rows = np.concatenate([records.rows for records, _, _ in passed])
    np.testing.assert_array_equal(rows, np.setdiff1d(np.arange(50), [0, 13, 14, 15]))
    assert sum(batch.jet_valid.sum() for _, batch, _ in passed) == 46
    for records, batch, labels in passed:
        count = len(records.jets)
        np.testing.assert_array_equal(labels["flavour"][:count], records.rows % 3)
        assert (labels["flavour"][count:] == -1).all()
        assert (
            batch.streams["tracks"].valid.sum(axis=1)[:count] == np.minimum(records.rows % 6, 5)
        ).all()
