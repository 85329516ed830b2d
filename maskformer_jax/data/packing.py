"""Where each jet of a batch stands: counts of tracks in, seats out.

A batch is some *parts* of the same shape, each with a number of rows of tracks, each with seats for
a few jets whose tracks stand one after the other. Nearly every batch fits into the parts that are
planned for it; one with more tracks than usual goes on into spare ones. All shapes are constant,
and a step computes only the parts that are used.
"""

from typing import NamedTuple

import numpy as np

from maskformer_jax.data.h5 import JetFile, kept_tracks

# Batches drawn to see how many rows are needed, and the fraction of them that is added.
DRAWS = 16
MARGIN = 0.02
# Tracks and queries of a part; 2 to 10 parts of 500 jets were tried with 32 and 128 features.
TOKENS_OF_A_PART = 1500
MOST_JETS_OF_A_ROW = 12
# Blocks of a file that are read to see how many tracks its jets have.
BLOCKS = 8


class Layout(NamedTuple):
    """Shape of every batch.

    Attributes:
        parts: parts of a batch that are there.
        rows: rows of a part.
        jets: seats of a row; 1: the padded layout, where every row is a jet.
        width: tracks of a row.
        spread: parts over which the jets are spread; the others take what does not fit.
        batches: independent batches of a step, whose parts come one after the other.
    """

    parts: int
    rows: int
    jets: int
    width: int
    spread: int = 1
    batches: int = 1


def padded(batch_size: int, width: int, *, parts: int = 1, batches: int = 1) -> Layout:
    """A row for each jet.

    Args:
        batch_size: jets of all parts of all batches.
        width: tracks of a row.
        parts: equal parts of each batch.
        batches: independent batches of a step.
    """
    return Layout(parts, batch_size // (parts * batches), 1, width, parts, batches)


def plan(
    counts: np.ndarray,
    batch_size: int,
    width: int,
    *,
    objects: int,
    parts: int | None = 1,
    devices: int = 1,
    batches: int = 1,
) -> Layout:
    """The layout with the least arithmetic for jets with these numbers of tracks.

    Args:
        counts: `[n]` tracks of some jets like those of the batches.
        batch_size: jets of all parts of all batches.
        width: tracks of a row, at least those of any jet.
        objects: queries of a jet, which cost as much arithmetic as tracks.
        parts: parts over which a batch is spread; none: as many as keep the activations of a part
            in the cache of a CPU.
        devices: the rows of a part are a multiple of this number.
        batches: independent batches of a step.
    """
    jets = batch_size // batches
    draws = np.sort(np.random.default_rng(0).choice(counts, (DRAWS, jets)))[:, ::-1]
    layouts = []
    for seats in range(1, MOST_JETS_OF_A_ROW + 1):
        chosen = parts
        if parts is None:
            rows = _rows_needed(draws, 1, seats, width)
            chosen = max(round(rows * (width + seats * objects) / TOKENS_OF_A_PART), 1)
        rows = _rows_needed(draws, chosen, seats, width)
        rows = -(-min(rows, -(-jets // chosen)) // devices) * devices
        # A row takes at least one jet, whatever its tracks.
        most = max(chosen, -(-jets // rows))
        layouts.append(Layout(most, rows, seats, width, chosen, batches))
    return min(layouts, key=lambda x: x.spread * x.rows * (x.width + x.jets * objects))


def plan_layout(
    file: JetFile,
    batch_size: int,
    *,
    num_jets: int | None = None,
    parts: int | None = 1,
    devices: int = 1,
    batches: int = 1,
) -> Layout:
    """The layout for the jets of a file, from the numbers of tracks of some blocks.

    Args:
        file: the file.
        batch_size: jets of a step.
        num_jets: the first jets only; none: all.
        parts: as of `plan`.
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


def _rows_needed(draws: np.ndarray, parts: int, seats: int, width: int) -> int:
    """Rows of a part that hold any of some batches, spread over the parts, and a few more.

    Args:
        draws: `[draws, jets]` tracks of the jets, the largest first.
        parts: over which each is spread.
        seats: jets of a row.
        width: tracks of a row.
    """
    spread = [counts[part::parts] for counts in draws for part in range(parts)]
    rows = max(-(-len(counts) // seats) for counts in spread)
    if seats == 1:
        return rows
    rows = max(rows, *(-(-int(counts.sum()) // width) for counts in spread))
    for counts in spread:
        while (_deal(counts.tolist(), rows, seats, width) < 0).any():
            rows += max(rows // 100, 1)
    # What doesn't fit costs a part more: the whole batch again where there is one.
    return rows + (int(np.ceil(MARGIN * rows)) if parts == 1 else 0)


def _deal(counts: list[int], rows: int, seats: int, width: int) -> np.ndarray:
    """Place of each jet, row times `seats` plus seat, or -1; the emptiest row takes the next jet.

    Args:
        counts: tracks of the jets, the largest first.
        rows: rows of a part.
        seats: jets of a row.
        width: tracks of a row.
    """
    places: list[int] = []
    # The next place of the rows that have one, by the tracks that they hold. A row that takes a jet
    # without tracks is as empty as before and is looked at again.
    free: list[list[int]] = [[] for _ in range(width + 1)]
    free[0] = list(range(0, rows * seats, seats))
    for tracks in range(width + 1):
        while free[tracks]:
            while len(places) < len(counts) and tracks + counts[len(places)] > width:
                places.append(-1)
            takers, free[tracks] = sorted(free[tracks]), []
            # The last takers may find no jet.
            for place, count in zip(takers, counts[len(places) :], strict=False):
                places.append(place)
                if (place + 1) % seats:
                    free[tracks + count].append(place + 1)
    return np.array(places + [-1] * (len(counts) - len(places)))


def seat(counts: np.ndarray, layout: Layout, generator: np.random.Generator) -> np.ndarray:
    """Which jet stands where.

    Parts and their rows come in random order, so that some of them are a fair sample of the jets.

    Args:
        counts: `[k]` tracks of each jet, at most as many jets as the layout was planned for.
        layout: shape of the batch.
        generator: draws the order of the rows.

    Returns:
        `[batches * parts, rows, jets]` positions in `counts`, -1 for an empty seat; the parts of
        each batch that hold jets come first.
    """
    shape = (layout.batches, layout.parts, layout.rows, layout.jets)
    seats, waits = np.full(shape, -1), np.ones(len(counts), bool)
    for batch, jets in enumerate(np.array_split(np.arange(len(counts)), layout.batches)):
        if layout.jets == 1:
            seats[batch].reshape(-1)[: len(jets)] = jets
            continue
        left = jets[np.argsort(-counts[jets], kind="stable")]
        deals = generator.permutation(min(layout.spread, len(left)))
        waiting = [left[first :: layout.spread] for first in deals]
        for part in range(layout.parts):
            group = waiting[part] if part < len(waiting) else left
            if not len(group):
                break
            places = _deal(counts[group].tolist(), layout.rows, layout.jets, layout.width)
            placed = places >= 0
            group, (row, column) = group[placed], np.divmod(places[placed], layout.jets)
            seats[batch, part, generator.permutation(layout.rows)[row], column] = group
            waits[group] = False
            left = left[waits[left]]
    return seats.reshape(-1, layout.rows, layout.jets)
