"""Truth of a jet: classes, objects and the tracks that belong to them."""

from collections.abc import Mapping

import numpy as np

from maskformer_jax.config import HadronsConfig


def class_index(values: np.ndarray, classes: Mapping[str, int]) -> np.ndarray:
    """Position of each value in `classes`, -1 where it is in none.

    Args:
        values: labels of any shape.
        classes: class name -> value, in the order of the outputs.

    Returns:
        Integers in the shape of `values`.
    """
    # Counted from 1; many times as fast as an assignment to the places that equal a value.
    index = np.zeros(values.shape, np.int32)
    for number, value in enumerate(classes.values(), 1):
        np.maximum(index, (values == value) * np.int32(number), out=index)
    index -= 1
    return index


def object_class_index(hadrons: np.ndarray, layout: HadronsConfig) -> np.ndarray:
    """Class of the first `cap` hadrons of each jet.

    A hadron whose label is in no class is not one of the objects to be found, hence `none`.

    Args:
        hadrons: structured `[n, M_file]`.
        layout: names and classes.

    Returns:
        Integers `[n, cap]`; the last class, `none`, marks padding.
    """
    hadrons = hadrons[:, : layout.cap]
    none = len(layout.classes)
    index = np.full((len(hadrons), layout.cap), none, np.int32)
    found = class_index(hadrons[layout.label], layout.classes)
    index[:, : found.shape[1]] = np.where(hadrons[layout.valid] & (found >= 0), found, none)
    return index


def track_masks(
    track_link: np.ndarray, counts: np.ndarray, hadron_link: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """Which tracks belong to which object: those whose link equals that of the hadron.

    Negative links mean "no hadron" and padding never matches, so that an object none of whose
    tracks was reconstructed has an empty mask.

    Args:
        track_link: `[T]` link of each track.
        counts: `[n]` tracks of each jet.
        hadron_link: `[n, M]` link of each hadron.
        valid: `[n, M]` True for a real object.

    Returns:
        Booleans `[M, T]`.
    """
    same = np.repeat(hadron_link.T, counts, axis=1) == track_link
    return same & np.repeat(valid.T, counts, axis=1) & (track_link >= 0)
