"""Records -> compact converted arrays -> the dense batches that the model sees."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.config import DataConfig
from maskformer_jax.data.h5 import Records, kept_tracks
from maskformer_jax.data.labels import class_index, object_class_index, track_masks
from maskformer_jax.data.scaling import Scaling
from maskformer_jax.types import Batch, Targets


class Samples(NamedTuple):
    """Converted jets: n jets and T tracks one after the other, then one entry of padding.

    A batch is gathered from the axis of jets or tracks; what fills it up is the last entry.

    Attributes:
        counts: `[n + 1]` tracks of each jet; padding: 0.
        jets: `[n + 1, J]` float32, scaled; 0.
        tracks: `[T + 1, F]` float32, scaled; 0.
        jet_class_index: `[n + 1]`, also -1 for unlabelled jets; -1.
        origin_index: `[T + 1]`, also -1 for unlabelled tracks; -1.
        object_class_index: `[n + 1, M]`; the last class.
        object_valid: `[n + 1, M]`; False.
        masks: `[M, T + 1]`; False.
        regression: `[n + 1, M, R]` float32, scaled; 0.
    """

    counts: np.ndarray
    jets: np.ndarray
    tracks: np.ndarray
    jet_class_index: np.ndarray
    origin_index: np.ndarray
    object_class_index: np.ndarray
    object_valid: np.ndarray
    masks: np.ndarray
    regression: np.ndarray


class _Entries(NamedTuple):
    """Jets, tracks and hadrons of some rows of a file, as they are there, without padding tracks.

    Attributes:
        jets: structured `[n]`.
        tracks: structured `[T]`.
        counts: `[n]` tracks of each jet.
        hadrons: structured `[n, M_file]`; None: no truth.
        rows: `[n]` row in the file of each jet.
        path: the file, for messages.
    """

    jets: np.ndarray
    tracks: np.ndarray
    counts: np.ndarray
    hadrons: np.ndarray | None
    rows: np.ndarray
    path: str


class _Truth(NamedTuple):
    """The leaves of `Samples` that come from the truth, without padding."""

    jet_class_index: np.ndarray
    origin_index: np.ndarray
    object_class_index: np.ndarray
    object_valid: np.ndarray
    masks: np.ndarray
    regression: np.ndarray


def convert(blocks: Iterable[Records], layout: DataConfig, scaling: Scaling) -> Samples:
    """Scaled inputs and labels of the jets; padding tracks are not touched.

    Without truth, classes are -1 (objects: `none`), masks and `object_valid` False, targets 0.

    Args:
        blocks: rows of a file, at least one block, converted together; of each only the real tracks
            are kept.
        layout: names and classes.
        scaling: of inputs and targets.

    Raises:
        InputError: an input of a real jet or track, or a target of a real hadron, is not finite
            or outside the domain of its transform.
    """
    entries = _entries(blocks)
    track_rows = np.repeat(entries.rows, entries.counts)
    truth = (_no_truth if entries.hadrons is None else _truth)(entries, layout, scaling)
    jets = scaling.jets.standardise(entries.jets, entries.rows, entries.path)
    tracks = scaling.tracks.standardise(entries.tracks, track_rows, entries.path)
    return Samples(
        counts=_padded(entries.counts, 0),
        jets=_padded(jets, 0),
        tracks=_padded(tracks, 0),
        jet_class_index=_padded(truth.jet_class_index, -1),
        origin_index=_padded(truth.origin_index, -1),
        object_class_index=_padded(truth.object_class_index, len(layout.hadrons.classes)),
        object_valid=_padded(truth.object_valid, False),
        masks=np.pad(truth.masks, ((0, 0), (0, 1))),
        regression=_padded(truth.regression, 0),
    )


def join(parts: Sequence[Samples]) -> Samples:
    """The jets of several samples, one after the other."""
    leaves = {}
    for name, *arrays in zip(Samples._fields, *parts, strict=True):
        cut = [array[:, :-1] if _axis(name) else array[:-1] for array in arrays[:-1]]
        leaves[name] = np.concatenate([*cut, arrays[-1]], _axis(name))
    return Samples(**leaves)


def take(samples: Samples, index: np.ndarray) -> Samples:
    """The jets at the positions `index [k]` of `samples`, in that order."""
    rows = np.append(index, len(samples.counts) - 1)
    source = np.append(_source(samples, rows), len(samples.tracks) - 1)
    per_track = ("tracks", "origin_index", "masks")
    return Samples(
        *(
            array.take(source if name in per_track else rows, _axis(name))
            for name, array in samples._asdict().items()
        )
    )


def assemble(samples: Samples, seats: np.ndarray, width: int) -> tuple[Batch, Targets]:
    """Dense arrays of the jets, in rows of tracks.

    Args:
        samples: converted jets.
        seats: `[..., N, J]` positions of the jets of each row, -1 for an empty seat.
        width: L of the result, at least the tracks of the jets of any row together.

    Returns:
        Inputs and targets, with leading axes `[..., B = N J]` or `[..., N]`; padding is exactly
        zero, False, -1 or `none`.
    """
    *lead, num_rows, num_jets = seats.shape
    num_seats, num_objects = num_rows * num_jets, len(samples.masks)
    by_part = seats.reshape(-1, num_seats)
    # Nothing is computed for parts without jets, the last ones of each batch.
    used = np.flatnonzero(by_part.max(axis=1) >= 0)
    jets = by_part[used].ravel()
    jet_valid = jets >= 0
    jets[~jet_valid] = len(samples.counts) - 1
    # Of each real track: where it comes from, and its slot in the rows.
    source, counts = _source(samples, jets), samples.counts.take(jets)
    number = np.arange(len(jets))
    row = number // num_jets
    slot = np.arange(len(source))
    slot += np.repeat(row * width - _begins(counts)[row * num_jets], counts)
    of_slots = np.full(len(jets) // num_jets * width, len(samples.tracks) - 1)
    of_slots[slot] = source
    # The tracks of a jet have a row to themselves in `valid`, and one for each object in `masks`.
    in_valid = np.repeat((number - row) * width, counts) + slot
    valid = np.zeros(len(jets) * width, bool)
    valid[in_valid] = True
    in_first_mask = np.repeat((number * num_objects - row) * width, counts) + slot
    belongs = np.flatnonzero(samples.masks.take(source, axis=1))
    object_index, track = np.divmod(belongs, max(len(source), 1))
    masks = np.zeros(len(jets) * num_objects * width, bool)
    masks[in_first_mask[track] + object_index * width] = True
    # Of the whole result; a slice is filled faster than a list of parts.
    whole = slice(len(used)) if not len(used) or used[-1] == len(used) - 1 else used

    def parts(of_used: np.ndarray, fill: int, *shape: int) -> np.ndarray:
        # Memory of zeros costs nothing before it is touched; most parts are spare ones.
        shape, dtype = (len(by_part), *shape), of_used.dtype
        found = np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)
        found[whole] = of_used.reshape(len(used), *shape[1:])
        return found.reshape(*lead, *shape[1:])

    def of_jets(array: np.ndarray, fill: int = 0) -> np.ndarray:
        return parts(array.take(jets, axis=0), fill, num_seats, *array.shape[1:])

    def of_tracks(array: np.ndarray, fill: int = 0) -> np.ndarray:
        return parts(array.take(of_slots, axis=0), fill, num_rows, width, *array.shape[1:])

    batch = Batch(
        jets=of_jets(samples.jets),
        tracks=of_tracks(samples.tracks),
        valid=parts(valid, 0, num_seats, width),
        jet_valid=parts(jet_valid, 0, num_seats),
    )
    none = int(samples.object_class_index[-1, 0])
    targets = Targets(
        jet_class_index=of_jets(samples.jet_class_index, -1),
        origin_index=of_tracks(samples.origin_index, -1),
        object_class_index=of_jets(samples.object_class_index, none),
        object_valid=of_jets(samples.object_valid),
        masks=parts(masks, 0, num_seats, num_objects, width),
        regression=of_jets(samples.regression),
    )
    return batch, targets


def _axis(name: str) -> int:
    """Axis of the jets or tracks of a leaf of `Samples`."""
    return 1 if name == "masks" else 0


def _source(samples: Samples, jets: np.ndarray) -> np.ndarray:
    """Positions in `samples` of the tracks of some jets, one jet after the other."""
    counts = samples.counts.take(jets)
    shift = _begins(samples.counts).take(jets) - _begins(counts)
    return np.repeat(shift, counts) + np.arange(counts.sum())


def _entries(blocks: Iterable[Records]) -> _Entries:
    found = [
        _Entries(records.jets, *kept_tracks(records), records.hadrons, records.rows, records.path)
        for records in blocks
    ]
    if len(found) == 1:
        return found[0]
    jets, tracks, counts, hadrons, rows, paths = zip(*found, strict=True)
    return _Entries(
        jets=_concatenated(jets),
        tracks=_concatenated(tracks),
        counts=np.concatenate(counts),
        hadrons=None if hadrons[0] is None else _concatenated(hadrons),
        rows=np.concatenate(rows),
        path=paths[0],
    )


def _concatenated(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Structured arrays one after the other.

    As bytes, which is many times as fast as field by field, unless there are strings of any length.
    """
    dtype = tables[0].dtype
    if dtype.hasobject:
        return np.concatenate(tables)
    return np.concatenate([table.view(f"V{dtype.itemsize}") for table in tables]).view(dtype)


def _truth(entries: _Entries, layout: DataConfig, scaling: Scaling) -> _Truth:
    hadrons, tracks = entries.hadrons, entries.tracks
    object_class = object_class_index(hadrons, layout.hadrons)
    valid = object_class < len(layout.hadrons.classes)
    jet, column = np.nonzero(valid)
    found = hadrons.reshape(-1).take(jet * hadrons.shape[1] + column)
    regression = np.zeros((*valid.shape, len(layout.hadrons.targets)), np.float32)
    regression[jet, column] = scaling.targets.standardise(found, entries.rows[jet], entries.path)
    link = np.zeros(valid.shape, hadrons.dtype[layout.hadrons.link])
    link[jet, column] = found[layout.hadrons.link]
    return _Truth(
        jet_class_index=class_index(entries.jets[layout.jets.label], layout.jets.classes),
        origin_index=class_index(tracks[layout.tracks.origin], layout.tracks.origin_classes),
        object_class_index=object_class,
        object_valid=valid,
        masks=track_masks(tracks[layout.tracks.link], entries.counts, link, valid),
        regression=regression,
    )


def _no_truth(entries: _Entries, layout: DataConfig, scaling: Scaling) -> _Truth:
    jets, tracks, objects = len(entries.jets), len(entries.tracks), layout.hadrons.cap
    return _Truth(
        jet_class_index=np.full(jets, -1, np.int32),
        origin_index=np.full(tracks, -1, np.int32),
        object_class_index=np.full((jets, objects), len(layout.hadrons.classes), np.int32),
        object_valid=np.zeros((jets, objects), bool),
        masks=np.zeros((objects, tracks), bool),
        regression=np.zeros((jets, objects, len(layout.hadrons.targets)), np.float32),
    )


def _padded(array: np.ndarray, padding: int | float) -> np.ndarray:
    entry = np.full((1, *array.shape[1:]), padding, array.dtype)
    return np.concatenate([array, entry])


def _begins(counts: np.ndarray) -> np.ndarray:
    """Where the tracks of each jet begin."""
    return np.cumsum(counts) - counts
