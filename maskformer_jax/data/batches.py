"""Converted jets and their seats -> the dense batches that the model sees."""

from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.data.packing import Layout
from maskformer_jax.data.samples import Samples, begins, source
from maskformer_jax.types import JETS, Batch, Labels, ObjectLabels, Pairs, Stream


class _Rows(NamedTuple):
    """Where the jets of the used parts of a batch stand.

    Attributes:
        jets: `[k]` position in the samples of the jet of each seat.
        row: `[k]` row of each seat.
        seats: of a row.
    """

    jets: np.ndarray
    row: np.ndarray
    seats: int

    def slots(self, counts: np.ndarray, width: int, rows: int = 1) -> np.ndarray:
        """Slot, in so many rows of this width together, of what each jet has, jet after jet."""
        slot, group = np.arange(counts.sum()), self.row // rows
        slot += np.repeat(group * width - begins(counts)[group * rows * self.seats], counts)
        return slot

    @property
    def number(self) -> int:
        """Rows of the used parts."""
        return len(self.jets) // self.seats


class _Places(NamedTuple):
    """Where the constituents of a stream stand.

    Attributes:
        source: `[k]` position in the samples of each real one.
        counts: of each seat.
        slot: `[k]` of each real one in the rows.
        of_slots: position in the samples of what stands in each slot.
        width: slots of a row.
    """

    source: np.ndarray
    counts: np.ndarray
    slot: np.ndarray
    of_slots: np.ndarray
    width: int


class _Parts:
    """Arrays of the used parts of a batch become those of all parts."""

    def __init__(self, seats: np.ndarray):
        *self.lead, self.num_rows, self.seats = seats.shape
        by_part = seats.reshape(-1, self.num_rows * self.seats)
        # Nothing is computed for parts without jets, the last ones of each batch.
        self.used = np.flatnonzero(by_part.max(axis=1) >= 0)
        self.number, self.jets = len(by_part), by_part[self.used].ravel()
        # Of the whole result; a slice is filled faster than a list of parts.
        used = self.used
        self._whole = slice(len(used)) if not len(used) or used[-1] == len(used) - 1 else used

    def __call__(self, of_used: np.ndarray, fill: float, *shape: int) -> np.ndarray:
        """`[*lead, *shape]`, filled where nothing is used."""
        # Memory of zeros costs nothing before it is touched; most parts are spare ones.
        whole, dtype = (self.number, *shape), of_used.dtype
        found = np.full(whole, fill, dtype) if fill else np.zeros(whole, dtype)
        found[self._whole] = of_used.reshape(len(self.used), *shape)
        return found.reshape(*self.lead, *shape)


def assemble(samples: Samples, seats: np.ndarray, layout: Layout) -> tuple[Batch, Labels]:
    """Dense arrays of the jets, in rows of constituents.

    Args:
        samples: converted jets.
        seats: `[..., N, J]` positions of the jets of each row, -1 for an empty seat.
        layout: `widths` and `pairs` of a row, at least those of the jets of any row together.

    Returns:
        Inputs and labels, with leading axes `[..., B = N J]` or `[..., N]`; padding is exactly
        that of `types`.
    """
    parts = _Parts(seats)
    jet_valid = parts.jets >= 0
    jets = np.where(jet_valid, parts.jets, len(samples.jets) - 1)
    rows = _Rows(jets, np.arange(len(jets)) // parts.seats, parts.seats)
    places = {name: _places(samples, name, rows, layout.widths[name]) for name in samples.streams}
    batch = Batch(
        jets=_of_jets(samples.jets, rows, parts),
        jet_valid=parts(jet_valid, 0, parts.num_rows * parts.seats),
        streams={
            name: Stream(
                _of_stream(samples.streams[name], place, parts), _valid(place, rows, parts)
            )
            for name, place in places.items()
        },
        pairs={
            name: _pairs(places[name], rows, width, layout.groups, parts)
            for name, width in layout.pairs.items()
        },
    )
    labels: dict[str, Any] = {}
    for name, label in samples.labels.items():
        of = samples.of[name]
        if isinstance(label, ObjectLabels):
            masks = _masks(label.masks, places[of], rows, parts)
            labels[name] = ObjectLabels(_of_jets(label.valid, rows, parts), masks)
        elif of == JETS:
            labels[name] = _of_jets(label, rows, parts)
        else:
            labels[name] = _of_stream(label, places[of], parts)
    return batch, labels


def _places(samples: Samples, stream: str, rows: _Rows, width: int) -> _Places:
    counts = samples.counts[stream].take(rows.jets)
    from_samples = source(samples.counts[stream], rows.jets)
    slot = rows.slots(counts, width)
    of_slots = np.full(rows.number * width, len(samples.streams[stream]) - 1)
    of_slots[slot] = from_samples
    return _Places(from_samples, counts, slot, of_slots, width)


def _padding(array: np.ndarray) -> float:
    """What the last entry, that of padding, holds."""
    return array[-1].flat[0] if array[-1].size else 0


def _of_jets(array: np.ndarray, rows: _Rows, parts: _Parts) -> np.ndarray:
    shape = (parts.num_rows * parts.seats, *array.shape[1:])
    return parts(array.take(rows.jets, axis=0), _padding(array), *shape)


def _of_stream(array: np.ndarray, place: _Places, parts: _Parts) -> np.ndarray:
    shape = (parts.num_rows, place.width, *array.shape[1:])
    return parts(array.take(place.of_slots, axis=0), _padding(array), *shape)


def _valid(place: _Places, rows: _Rows, parts: _Parts) -> np.ndarray:
    """The constituents of a jet have a row to themselves in `valid`."""
    number, width = np.arange(len(rows.jets)), place.width
    valid = np.zeros(len(number) * width, bool)
    valid[np.repeat((number - rows.row) * width, place.counts) + place.slot] = True
    return parts(valid, 0, parts.num_rows * parts.seats, width)


def _masks(masks: np.ndarray, place: _Places, rows: _Rows, parts: _Parts) -> np.ndarray:
    """The constituents of a jet have a row for each object in `masks`."""
    number, width, num_objects = np.arange(len(rows.jets)), place.width, len(masks)
    in_first = np.repeat((number * num_objects - rows.row) * width, place.counts) + place.slot
    belongs = np.flatnonzero(masks.take(place.source, axis=1))
    object_index, constituent = np.divmod(belongs, max(len(place.source), 1))
    dense = np.zeros(len(number) * num_objects * width, bool)
    dense[in_first[constituent] + object_index * width] = True
    return parts(dense, 0, parts.num_rows * parts.seats, num_objects, width)


def _pairs(place: _Places, rows: _Rows, width: int, groups: int, parts: _Parts) -> Pairs:
    """All pairs of the constituents of a jet, jet after jet, in the groups of a part."""
    of_group = parts.num_rows // groups
    counts = place.counts * (place.counts - 1) // 2
    # By the second of a pair: the pairs of a jet with fewer constituents come first.
    second, first = np.tril_indices(place.counts.max(initial=0), -1)
    number = np.arange(counts.sum()) - np.repeat(begins(counts), counts)
    begin = begins(place.counts) - begins(place.counts)[rows.row * rows.seats]
    begin += rows.row % of_group * place.width
    begin, slot = np.repeat(begin.astype(np.int32), counts), rows.slots(counts, width, of_group)

    def dense(values: np.ndarray) -> np.ndarray:
        found = np.zeros(rows.number // of_group * width, values.dtype)
        found[slot] = values
        return parts(found, 0, groups, width)

    return Pairs(
        dense(first.astype(np.int32)[number] + begin),
        dense(second.astype(np.int32)[number] + begin),
        dense(np.ones(len(slot), bool)),
    )
