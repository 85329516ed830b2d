"""Records -> compact converted arrays -> the dense batches that the model sees."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.config import DataConfig
from maskformer_jax.data.h5 import Records, kept_tracks
from maskformer_jax.data.labels import class_index, object_class_index, track_masks
from maskformer_jax.data.scaling import Scaling
from maskformer_jax.types import Batch, Targets


class Samples(NamedTuple):
    """Converted jets: n jets and T tracks one after the other, then one entry of padding.

    A batch is gathered from the first axis of every array; what fills it up is the last entry.

    Attributes:
        counts: `[n + 1]` tracks of each jet; padding: 0.
        jets: `[n + 1, J]` float32, scaled; 0.
        tracks: `[T + 1, F]` float32, scaled; 0.
        jet_class_index: `[n + 1]`, also -1 for unlabelled jets; -1.
        origin_index: `[T + 1]`, also -1 for unlabelled tracks; -1.
        object_class_index: `[n + 1, M]`; the last class.
        object_valid: `[n + 1, M]`; False.
        masks: `[T + 1, M]`; False.
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


class _Truth(NamedTuple):
    """The leaves of `Samples` that come from the truth, without padding."""

    jet_class_index: np.ndarray
    origin_index: np.ndarray
    object_class_index: np.ndarray
    object_valid: np.ndarray
    masks: np.ndarray
    regression: np.ndarray


def convert(records: Records, layout: DataConfig, scaling: Scaling) -> Samples:
    """Scaled inputs and labels of the jets; padding tracks are not touched.

    Without truth, classes are -1 (objects: `none`), masks and `object_valid` False, targets 0.

    Args:
        records: rows of a file.
        layout: names and classes.
        scaling: of inputs and targets.

    Raises:
        InputError: an input of a real jet or track, or a target of a real hadron, is not finite
            or outside the domain of its transform.
    """
    tracks, counts = kept_tracks(records)
    track_rows = np.repeat(records.rows, counts)
    if records.hadrons is None:
        truth = _no_truth(len(counts), len(tracks), layout)
    else:
        truth = _truth(records, tracks, counts, layout, scaling)
    return Samples(
        counts=_padded(counts, 0),
        jets=_padded(scaling.jets.standardise(records.jets, records.rows, records.path), 0),
        tracks=_padded(scaling.tracks.standardise(tracks, track_rows, records.path), 0),
        jet_class_index=_padded(truth.jet_class_index, -1),
        origin_index=_padded(truth.origin_index, -1),
        object_class_index=_padded(truth.object_class_index, len(layout.hadrons.classes)),
        object_valid=_padded(truth.object_valid, False),
        masks=_padded(truth.masks, False),
        regression=_padded(truth.regression, 0),
    )


def join(parts: Sequence[Samples]) -> Samples:
    """The jets of several samples, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Samples(
        *(
            np.concatenate([*(array[:-1] for array in arrays[:-1]), arrays[-1]])
            for arrays in zip(*parts, strict=True)
        )
    )


def take(samples: Samples, index: np.ndarray) -> Samples:
    """The jets at the positions `index [k]` of `samples`, in that order."""
    rows = np.append(index, len(samples.counts) - 1)
    counts = samples.counts[rows]
    shift = np.repeat(_begins(samples.counts)[rows] - _begins(counts), counts)
    source = np.append(shift + np.arange(len(shift)), len(samples.tracks) - 1)
    per_track = ("tracks", "origin_index", "masks")
    return Samples(
        *(
            array.take(source if name in per_track else rows, axis=0)
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
    num_seats, num_objects = num_rows * num_jets, samples.masks.shape[1]
    by_part = seats.reshape(-1, num_rows, num_jets)
    used = np.flatnonzero((by_part >= 0).any(axis=(1, 2)))
    padding = len(samples.counts) - 1
    jets = by_part[used].ravel()
    jets[jets < 0] = padding
    counts = samples.counts[jets]
    # Of each real track: its jet, its place in the row, and where it comes from.
    jet = np.repeat(np.arange(len(jets)), counts)
    place = np.arange(len(jet)) - np.repeat(_begins(counts)[::num_jets], _of_rows(counts, num_jets))
    origin = np.arange(len(jet)) + np.repeat(
        _begins(samples.counts)[jets] - _begins(counts), counts
    )
    source = np.full(len(jets) // num_jets * width, len(samples.tracks) - 1)
    source[jet // num_jets * width + place] = origin
    valid = np.zeros(len(jets) * width, bool)
    valid[jet * width + place] = True
    masks = np.zeros(len(jets) * num_objects * width, bool)
    belongs = np.flatnonzero(samples.masks.take(origin, axis=0))
    track, column = np.divmod(belongs, num_objects)
    masks[(jet[track] * num_objects + column) * width + place[track]] = True

    def parts(of_used: np.ndarray, fill: np.ndarray | bool, *shape: int) -> np.ndarray:
        # Memory of zeros costs nothing before it is touched; most parts are spare ones.
        whole = np.zeros((len(by_part), *shape), of_used.dtype)
        if np.any(fill):
            whole[...] = fill
        whole[used] = of_used.reshape(len(used), *shape)
        return whole.reshape(*lead, *shape)

    def of_jets(array: np.ndarray) -> np.ndarray:
        return parts(array.take(jets, axis=0), array[-1], num_seats, *array.shape[1:])

    def of_rows(array: np.ndarray) -> np.ndarray:
        return parts(array.take(source, axis=0), array[-1], num_rows, width, *array.shape[1:])

    batch = Batch(
        jets=of_jets(samples.jets),
        tracks=of_rows(samples.tracks),
        valid=parts(valid, False, num_seats, width),
        jet_valid=parts(jets < padding, False, num_seats),
    )
    targets = Targets(
        jet_class_index=of_jets(samples.jet_class_index),
        origin_index=of_rows(samples.origin_index),
        object_class_index=of_jets(samples.object_class_index),
        object_valid=of_jets(samples.object_valid),
        masks=parts(masks, False, num_seats, num_objects, width),
        regression=of_jets(samples.regression),
    )
    return batch, targets


def _truth(
    records: Records, tracks: np.ndarray, counts: np.ndarray, layout: DataConfig, scaling: Scaling
) -> _Truth:
    hadrons, objects = records.hadrons, layout.hadrons.cap
    object_class = object_class_index(hadrons, layout.hadrons)
    valid = object_class < len(layout.hadrons.classes)
    jet, column = np.nonzero(valid)
    regression = np.zeros((len(counts), objects, len(layout.hadrons.targets)), np.float32)
    regression[jet, column] = scaling.targets.standardise(
        hadrons[jet, column], records.rows[jet], records.path
    )
    link = np.zeros(valid.shape, hadrons.dtype[layout.hadrons.link])
    link[jet, column] = hadrons[layout.hadrons.link][jet, column]
    return _Truth(
        jet_class_index=class_index(records.jets[layout.jets.label], layout.jets.classes),
        origin_index=class_index(tracks[layout.tracks.origin], layout.tracks.origin_classes),
        object_class_index=object_class,
        object_valid=valid,
        masks=track_masks(tracks[layout.tracks.link], counts, link, valid),
        regression=regression,
    )


def _no_truth(jets: int, tracks: int, layout: DataConfig) -> _Truth:
    objects = layout.hadrons.cap
    return _Truth(
        jet_class_index=np.full(jets, -1, np.int32),
        origin_index=np.full(tracks, -1, np.int32),
        object_class_index=np.full((jets, objects), len(layout.hadrons.classes), np.int32),
        object_valid=np.zeros((jets, objects), bool),
        masks=np.zeros((tracks, objects), bool),
        regression=np.zeros((jets, objects, len(layout.hadrons.targets)), np.float32),
    )


def _padded(array: np.ndarray, padding: int | float) -> np.ndarray:
    entry = np.full((1, *array.shape[1:]), padding, array.dtype)
    return np.concatenate([array, entry])


def _begins(counts: np.ndarray) -> np.ndarray:
    """Where the tracks of each jet begin."""
    return np.cumsum(counts) - counts


def _of_rows(counts: np.ndarray, num_jets: int) -> np.ndarray:
    """Tracks of every `num_jets` jets together."""
    return counts.reshape(-1, num_jets).sum(1)
