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
    """Converted jets without padding tracks; T tracks one after the other.

    Attributes:
        counts: `[n]` tracks of each jet.
        jets: `[n, J]` float32, scaled.
        tracks: `[T, F]` float32, scaled.
        jet_class_index: `[n]`, -1 for unlabelled jets.
        origin_index: `[T]`, -1 for unlabelled tracks.
        object_class_index: `[n, M]`, the last class for padding.
        object_valid: `[n, M]`.
        masks: `[T, M]`.
        regression: `[n, M, R]` float32, scaled; zero for padding.
        none_index: the last class of the objects.
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
    none_index: int


PER_TRACK = ("tracks", "origin_index", "masks")


def convert(records: Records, layout: DataConfig, scaling: Scaling) -> Samples:
    """Scaled inputs and labels of the jets; padding is not touched.

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
    inputs = (
        counts,
        scaling.jets.standardise(records.jets, records.rows, records.path),
        scaling.tracks.standardise(tracks, track_rows, records.path),
    )
    objects, none = layout.hadrons.cap, len(layout.hadrons.classes)
    regression = np.zeros((len(counts), objects, len(layout.hadrons.targets)), np.float32)
    if records.hadrons is None:
        return Samples(
            *inputs,
            jet_class_index=np.full(len(counts), -1, np.int32),
            origin_index=np.full(len(tracks), -1, np.int32),
            object_class_index=np.full((len(counts), objects), none, np.int32),
            object_valid=np.zeros((len(counts), objects), bool),
            masks=np.zeros((len(tracks), objects), bool),
            regression=regression,
            none_index=none,
        )
    object_class = object_class_index(records.hadrons, layout.hadrons)
    valid = object_class < none
    jet, column = np.nonzero(valid)
    regression[jet, column] = scaling.targets.standardise(
        records.hadrons[jet, column], records.rows[jet], records.path
    )
    links = np.full(valid.shape, -1, np.int64)
    links[jet, column] = records.hadrons[layout.hadrons.link][jet, column]
    track_jet = np.repeat(np.arange(len(counts)), counts)
    return Samples(
        *inputs,
        jet_class_index=class_index(records.jets[layout.jets.label], layout.jets.classes),
        origin_index=class_index(tracks[layout.tracks.origin], layout.tracks.origin_classes),
        object_class_index=object_class,
        object_valid=valid,
        masks=track_masks(tracks[layout.tracks.link], track_jet, links, valid),
        regression=regression,
        none_index=none,
    )


def join(parts: Sequence[Samples]) -> Samples:
    """The jets of several samples, one after the other."""
    if len(parts) == 1:
        return parts[0]
    arrays = zip(*(part[:-1] for part in parts), strict=True)
    return Samples(*(np.concatenate(pieces) for pieces in arrays), parts[0].none_index)


def take(samples: Samples, index: np.ndarray) -> Samples:
    """The jets at the positions `index [k]` of `samples`, in that order."""
    source, _ = _track_positions(samples.counts, index, 0)
    arrays = samples._asdict()
    none_index = arrays.pop("none_index")
    return Samples(
        *(array[source if name in PER_TRACK else index] for name, array in arrays.items()),
        none_index,
    )


def assemble(
    samples: Samples, index: np.ndarray, batch_size: int, width: int
) -> tuple[Batch, Targets]:
    """Dense arrays of the jets at the positions `index [k]`, in that order.

    Args:
        samples: converted jets.
        index: at most `batch_size` positions; the batch is filled up with jets that are not valid.
        batch_size: B of the result.
        width: L of the result, at least the tracks of any jet.

    Returns:
        Inputs and targets; padding is exactly zero, False, -1 or `none`.
    """
    source, target = _track_positions(samples.counts, index, width)

    def jets(array: np.ndarray, padding: float) -> np.ndarray:
        dense = np.full((batch_size, *array.shape[1:]), padding, array.dtype)
        dense[: len(index)] = array[index]
        return dense

    def tracks(array: np.ndarray, padding: float) -> np.ndarray:
        dense = np.full((batch_size * width, *array.shape[1:]), padding, array.dtype)
        dense[target] = array[source]
        return dense.reshape(batch_size, width, *array.shape[1:])

    batch = Batch(
        jets=jets(samples.jets, 0),
        tracks=tracks(samples.tracks, 0),
        valid=np.arange(width) < jets(samples.counts, 0)[:, None],
        jet_valid=np.arange(batch_size) < len(index),
    )
    targets = Targets(
        jet_class_index=jets(samples.jet_class_index, -1),
        origin_index=tracks(samples.origin_index, -1),
        object_class_index=jets(samples.object_class_index, samples.none_index),
        object_valid=jets(samples.object_valid, False),
        masks=np.ascontiguousarray(tracks(samples.masks, False).transpose(0, 2, 1)),
        regression=jets(samples.regression, 0),
    )
    return batch, targets


def _track_positions(
    counts: np.ndarray, index: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the tracks of the jets at `index` are in `[T]`, and where they go in `[B * width]`."""
    taken = counts[index]
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    first = np.cumsum(counts) - counts
    source = np.repeat(first[index], taken) + within
    target = np.repeat(np.arange(len(index)) * width, taken) + within
    return source, target
