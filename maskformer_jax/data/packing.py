"""Where each jet of a batch stands: counts of tracks in, seats out.

A batch is some *parts* of the same shape, each with a number of rows of tracks, each with seats for
a few jets whose tracks stand one after the other. Nearly every batch fits into the parts that are
planned for it; one with more tracks than usual goes on into spare ones. All shapes are constant,
and a step computes only the parts that are used.
"""

import heapq
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.h5 import JetFile, kept_tracks

# Batches drawn to see how many rows are needed, and the fraction of them that is added.
DRAWS = 16
MARGIN = 0.02
MOST_JETS_OF_A_ROW = 12
# Blocks of a file that are read to see how many tracks its jets have.
BLOCKS = 8


class Layout(NamedTuple):
    """Shape of every batch.

    Attributes:
        parts: parts of a batch that are there, most of them usually empty.
        rows: rows of a part.
        jets: seats of a row; 1: the padded layout, where every row is a jet.
        width: tracks of a row.
        batches: independent batches of a step, whose parts come one after the other.
    """

    parts: int
    rows: int
    jets: int
    width: int
    batches: int = 1


def padded(batch_size: int, width: int, *, parts: int = 1, batches: int = 1) -> Layout:
    """A row for each jet.

    Args:
        batch_size: jets of all parts of all batches.
        width: tracks of a row.
        parts: equal parts of each batch.
        batches: independent batches of a step.
    """
    return Layout(parts, batch_size // (parts * batches), 1, width, batches)


def plan(
    counts: np.ndarray,
    batch_size: int,
    width: int,
    *,
    objects: int,
    parts: int = 1,
    devices: int = 1,
    batches: int = 1,
) -> Layout:
    """The layout with the least arithmetic for jets with these numbers of tracks.

    Args:
        counts: `[n]` tracks of some jets like those of the batches.
        batch_size: jets of all parts of all batches.
        width: tracks of a row, at least those of any jet.
        objects: queries of a jet, which cost as much arithmetic as tracks.
        parts: usual number of parts of a batch.
        devices: the rows of a part are a multiple of this number.
        batches: independent batches of a step.
    """
    jets = batch_size // batches
    of_part = -(-jets // parts)
    draws = np.sort(np.random.default_rng(0).choice(counts, (DRAWS, of_part)))[:, ::-1].tolist()
    layouts = []
    for seats in range(1, MOST_JETS_OF_A_ROW + 1):
        rows = _rows_needed(draws, seats, width)
        rows = -(-min(rows, of_part) // devices) * devices
        # A row takes at least one jet, whatever its tracks.
        layouts.append(Layout(-(-jets // rows), rows, seats, width, batches))
    return min(layouts, key=lambda x: x.rows * (x.width + x.jets * objects))


def plan_layout(
    file: JetFile,
    batch_size: int,
    *,
    num_jets: int | None = None,
    parts: int = 1,
    devices: int = 1,
    batches: int = 1,
) -> Layout:
    """The layout for the jets of a file, from the numbers of tracks of some blocks.

    Args:
        file: the file.
        batch_size: jets of a step.
        num_jets: the first jets only; none: all.
        parts: usual number of parts of a batch.
        devices: that share the rows of a part.
        batches: independent batches of a step.
    """
    block, jets = file.layout.block_size, min(num_jets or file.num_jets, file.num_jets)
    starts = np.unique(np.linspace(0, max(jets - block, 0), BLOCKS).astype(int))
    counts = [kept_tracks(file.read(start, min(start + block, jets)))[1] for start in starts]
    return plan(
        np.concatenate(counts),
        batch_size,
        file.width,
        objects=file.layout.hadrons.cap,
        parts=parts,
        devices=devices,
        batches=batches,
    )


def _rows_needed(draws: list[list[int]], seats: int, width: int) -> int:
    """Rows that hold any of some batches, and a few more."""
    rows = -(-len(draws[0]) // seats)
    if seats == 1:
        return rows
    for counts in draws:
        rows = max(rows, -(-sum(counts) // width))
        while (_deal(counts, rows, seats, width)[0] < 0).any():
            rows += max(rows // 100, 1)
    return rows + int(np.ceil(MARGIN * rows))


def _deal(counts: list[int], rows: int, seats: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and seat of each jet, -1 where there is none; the emptiest row takes the next jet.

    Args:
        counts: tracks of the jets, the largest first.
        rows: rows of a part.
        seats: jets of a row.
        width: tracks of a row.
    """
    free = [(-width, row) for row in range(rows)]
    taken = [0] * rows
    row_of, seat_of = np.full(len(counts), -1), np.full(len(counts), -1)
    for jet, count in enumerate(counts):
        if not free:
            break
        room, row = free[0]
        if -room < count:
            continue
        row_of[jet], seat_of[jet] = row, taken[row]
        taken[row] += 1
        if taken[row] < seats:
            heapq.heapreplace(free, (room + count, row))
        else:
            heapq.heappop(free)
    return row_of, seat_of


def seat(counts: np.ndarray, layout: Layout, generator: np.random.Generator) -> np.ndarray:
    """Which jet stands where.

    The rows of a part come in random order, so that some of them are a fair sample of the jets.

    Args:
        counts: `[k]` tracks of each jet, at most as many jets as the layout was planned for.
        layout: shape of the batch.
        generator: draws the order of the rows.

    Returns:
        `[batches * parts, rows, jets]` positions in `counts`, -1 for an empty seat; the parts of
        each batch that hold jets come first.
    """
    shape = (layout.batches, layout.parts, layout.rows, layout.jets)
    seats = np.full(shape, -1)
    for batch, jets in enumerate(np.array_split(np.arange(len(counts)), layout.batches)):
        if layout.jets == 1:
            seats[batch].reshape(-1)[: len(jets)] = jets
            continue
        left = jets[np.argsort(-counts[jets], kind="stable")]
        for part in range(layout.parts):
            if not len(left):
                break
            row_of, seat_of = _deal(counts[left].tolist(), layout.rows, layout.jets, layout.width)
            placed = row_of >= 0
            order = generator.permutation(layout.rows)
            seats[batch, part, order[row_of[placed]], seat_of[placed]] = left[placed]
            left = left[~placed]
    return seats.reshape(-1, layout.rows, layout.jets)
