"""Where each jet of a batch stands: counts of constituents in, seats out.

A batch is some *parts* of the same shape, each with a number of rows, each with seats for a few
jets whose constituents stand one after the other, in a row of its own width for each stream. Nearly
every batch fits into the parts that are planned for it; one with more constituents than usual goes
on into spare ones. All shapes are constant, and a step computes only the parts that are used.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.dealing import deal, sizes
from maskformer_jax.data.h5 import JetFile

# Batches drawn to see how many rows are needed, and the fraction of them that is added.
DRAWS = 16
MARGIN = 0.02
# Constituents and queries of a part; 2 to 10 parts of 500 jets were tried with 32 and 128 features.
TOKENS_OF_A_PART = 1500
MOST_JETS_OF_A_ROW = 12
# Pairs that a group has room for, in units of the most of some batches. They vary far more than
# constituents, and room for them costs little: GN2's pairs are 20 thousand products each, its
# constituents 2 million.
PAIR_ROOM = 1.25


class Layout(NamedTuple):
    """Shape of every batch.

    Attributes:
        parts: parts of a batch that are there.
        rows: rows of a part.
        jets: seats of a row; 1: the padded layout, where every row is a jet.
        widths: by stream, constituents of a row.
        pairs: by stream whose pairs are made, pairs of a group.
        groups: of the rows of a part.
        spread: parts over which the jets are spread; the others take what does not fit.
        batches: independent batches of a step, whose parts come one after the other.
    """

    parts: int
    rows: int
    jets: int
    widths: Mapping[str, int]
    pairs: Mapping[str, int] = {}
    groups: int = 1
    spread: int = 1
    batches: int = 1


def pairs_of(counts: int | np.ndarray) -> int | np.ndarray:
    """Number of pairs of so many constituents."""
    return counts * (counts - 1) // 2


def padded(
    batch_size: int,
    widths: Mapping[str, int],
    *,
    pairs: Sequence[str] = (),
    parts: int = 1,
    batches: int = 1,
) -> Layout:
    """A row for each jet.

    Args:
        batch_size: jets of all parts of all batches.
        widths: by stream, constituents of a row.
        pairs: streams whose pairs are made.
        parts: equal parts of each batch.
        batches: independent batches of a step.
    """
    of_rows = {stream: pairs_of(widths[stream]) for stream in pairs}
    rows = batch_size // (parts * batches)
    return Layout(parts, rows, 1, widths, of_rows, rows, parts, batches)


def plan(
    counts: Mapping[str, np.ndarray],
    batch_size: int,
    widths: Mapping[str, int],
    *,
    extra: int = 0,
    pairs: Sequence[str] = (),
    parts: int | None = 1,
    devices: int = 1,
    batches: int = 1,
) -> Layout:
    """The layout with the least arithmetic for jets with these numbers of constituents.

    Without streams a row is a jet.

    Args:
        counts: by stream `[n]` constituents of some jets like those of the batches.
        batch_size: jets of all parts of all batches.
        widths: by stream, constituents of a row, at least those of any jet.
        extra: queries and registers of a jet, which cost as much arithmetic as constituents.
        pairs: streams whose pairs are made.
        parts: parts over which a batch is spread; none: as many as keep the activations of a part
            in the cache of a CPU.
        devices: the rows of a part are a multiple of this number.
        batches: independent batches of a step.
    """
    jets = batch_size // batches
    row = padded(jets, widths, pairs=pairs)
    draws = _draws(counts, jets, row)
    layouts = []
    for seats in range(1, MOST_JETS_OF_A_ROW + 1 if widths else 2):
        cost = sum(widths.values()) + seats * extra
        chosen = parts
        if parts is None:
            rows = _rows_needed(draws, 1, row._replace(jets=seats))
            chosen = max(round(rows * cost / TOKENS_OF_A_PART), 1)
        rows = _rows_needed(draws, chosen, row._replace(jets=seats))
        rows = -(-min(rows, -(-jets // chosen)) // devices) * devices
        if seats == 1:  # a row is a group
            layout = row._replace(parts=max(chosen, -(-jets // rows)), rows=rows, groups=rows)
            layouts.append((chosen * rows * cost, layout._replace(spread=chosen, batches=batches)))
            continue
        of_groups = _pairs_needed(draws, chosen * devices, row)
        # A row takes at least one jet, whatever its constituents, unless there are too many pairs.
        fewest = [rows, *(devices * (n // max(row.pairs[s], 1)) for s, n in of_groups.items())]
        most = max(chosen, *(-(-jets // number) for number in fewest))
        layout = Layout(most, rows, seats, widths, of_groups, devices, chosen, batches)
        layouts.append((chosen * rows * cost, layout))
    return min(layouts, key=lambda x: x[0])[1]


def plan_layout(
    file: JetFile,
    batch_size: int,
    *,
    extra: int = 0,
    num_jets: int | None = None,
    parts: int | None = 1,
    devices: int = 1,
    batches: int = 1,
) -> Layout:
    """The layout for the jets of a file, from the numbers of constituents of some blocks.

    Args:
        file: the file.
        batch_size: jets of a step.
        extra: queries and registers of a jet.
        num_jets: the first jets only; none: all.
        parts: as of `plan`.
        devices: that share the rows of a part.
        batches: independent batches of a step.
    """
    blocks = [records.streams for records in file.spread(num_jets)]
    return plan(
        {name: np.concatenate([x[name].kept()[1] for x in blocks]) for name in file.widths},
        batch_size,
        file.widths,
        extra=extra,
        pairs=file.schema.pairs,
        parts=parts,
        devices=devices,
        batches=batches,
    )


def _draws(counts: Mapping[str, np.ndarray], jets: int, layout: Layout) -> list[np.ndarray]:
    """Constituents of the jets `[jets, S]` of some batches, by stream, the largest first."""
    if not counts:
        return [np.zeros((jets, 0), int)]
    needs = _needs(counts, layout)
    drawn = np.random.default_rng(0).choice(len(needs), (DRAWS, jets))
    widths = list(layout.widths.values())
    ordered = (needs[index] for index in drawn)
    return [some[np.argsort(-sizes(some, widths), kind="stable")] for some in ordered]


def _needs(counts: Mapping[str, np.ndarray], layout: Layout) -> np.ndarray:
    """Constituents of each jet by stream, `[n, S]`."""
    return np.stack([counts[stream] for stream in layout.widths], axis=1)


def _pairs_needed(draws: Sequence[np.ndarray], groups: int, row: Layout) -> dict[str, int]:
    """Pairs by stream that a group has room for, at least those of any jet.

    Args:
        draws: what the jets of some batches need of each width.
        groups: over which the jets of a batch are spread.
        row: its `pairs` are those of the longest jet.
    """
    found = {}
    for stream, most in row.pairs.items():
        column = list(row.widths).index(stream)
        # Of the largest jets, and every so many after them: no group needs more on average.
        sums = [pairs_of(needs[::groups, column]).sum() for needs in draws]
        found[stream] = max(int(PAIR_ROOM * max(sums)), most)
    return found


def _rows_needed(draws: Sequence[np.ndarray], parts: int, layout: Layout) -> int:
    """Rows of a part that hold any of some batches, spread over the parts, and a few more.

    Args:
        draws: for each, what the jets need of each width, the largest first.
        parts: over which each is spread.
        layout: seats and widths of a row.
    """
    seats, widths = layout.jets, list(layout.widths.values())
    spread = [needs[part::parts] for needs in draws for part in range(parts)]
    rows = max(-(-len(needs) // seats) for needs in spread)
    if seats == 1:
        return rows
    rows = max(rows, *(int((-(-needs.sum(axis=0) // widths)).max()) for needs in spread))
    for needs in spread:
        while (deal(needs, rows, seats, widths, all_or_none=True) < 0).any():
            rows += max(rows // (100 if len(widths) == 1 else 25), 1)
    # What doesn't fit costs a part more: the whole batch again where there is one.
    return rows + (int(np.ceil(MARGIN * rows)) if parts == 1 else 0)


def seat(
    counts: Mapping[str, np.ndarray], num_jets: int, layout: Layout, generator: np.random.Generator
) -> np.ndarray:
    """Which jet stands where.

    Parts and their rows come in random order, so that some of them are a fair sample of the jets.

    Args:
        counts: by stream `[num_jets]` constituents of each jet.
        num_jets: at most as many jets as the layout was planned for.
        layout: shape of the batch.
        generator: draws the order of the rows.

    Returns:
        `[batches * parts, rows, jets]` positions in `counts`, -1 for an empty seat; the parts of
        each batch that hold jets come first.
    """
    shape = (layout.batches, layout.parts, layout.rows, layout.jets)
    seats = np.full(shape, -1)
    batches = np.array_split(np.arange(num_jets), layout.batches)
    if layout.jets == 1:
        for batch, jets in enumerate(batches):
            seats[batch].reshape(-1)[: len(jets)] = jets
        return seats.reshape(-1, layout.rows, layout.jets)
    needs, widths = _needs(counts, layout), list(layout.widths.values())
    waits = np.ones(num_jets, bool)
    order = -sizes(needs, widths)
    for batch, jets in enumerate(batches):
        left = jets[np.argsort(order[jets], kind="stable")]
        deals = generator.permutation(min(layout.spread, len(left)))
        waiting = [left[first :: layout.spread] for first in deals]
        for part in range(layout.parts):
            group = waiting[part] if part < len(waiting) else left
            if not len(group):
                break
            places = deal(needs[group], layout.rows, layout.jets, widths)
            placed = places >= 0
            row, column = np.divmod(places, layout.jets)
            row = generator.permutation(layout.rows)[row]
            if layout.pairs:
                placed &= _has_room(counts, group, np.where(placed, row, -1), layout)
            group, row, column = group[placed], row[placed], column[placed]
            seats[batch, part, row, column] = group
            waits[group] = False
            left = left[waits[left]]
    return seats.reshape(-1, layout.rows, layout.jets)


def _has_room(
    counts: Mapping[str, np.ndarray], jets: np.ndarray, row: np.ndarray, layout: Layout
) -> np.ndarray:
    """Whether the pairs of each jet have room in its group, the largest jets first.

    Args:
        counts: by stream, constituents of all jets.
        jets: `[k]` those that were dealt.
        row: `[k]` of each; -1 for none.
        layout: groups and their pairs.
    """
    group, fits = row // (layout.rows // layout.groups), row >= 0
    for stream, most in layout.pairs.items():
        pairs = np.where(row >= 0, pairs_of(counts[stream][jets]), 0)
        for number in range(layout.groups):
            own = group == number
            fits[own] &= np.cumsum(pairs[own]) <= most
    return fits
