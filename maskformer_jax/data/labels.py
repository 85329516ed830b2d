"""Truth of a jet: classes, numbers, objects and the constituents that belong to them."""

from collections.abc import Mapping, Sequence

import numpy as np

from maskformer_jax.data.config import LabelConfig
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError


def class_index(values: np.ndarray, classes: Mapping[str, Sequence[int]]) -> np.ndarray:
    """Position of each value in `classes`, -1 where it is in none.

    Args:
        values: labels of any shape.
        classes: class name -> its values, in the order of the outputs.

    Returns:
        Integers in the shape of `values`.
    """
    # Counted from 1; many times as fast as an assignment to the places that equal a value.
    index = np.zeros(values.shape, np.int32)
    for number, listed in enumerate(classes.values(), 1):
        for value in listed:
            np.maximum(index, (values == value) * np.int32(number), out=index)
    index -= 1
    return index


def label_values(
    table: np.ndarray, label: LabelConfig, dataset: str, rows: np.ndarray, path: str
) -> np.ndarray:
    """Class index of each entry, or its number: int32, or float32 of a field of floats.

    Args:
        table: structured `[k]`, real entries.
        label: the label.
        dataset: name of the dataset, for the message.
        rows: `[k]` row in the file of each entry, for the message.
        path: the file, for the message.

    Raises:
        InputError: a value is in no class where that is an error, or a number is not finite.
    """
    values = table[label.field]
    where = f"{path}: `{label.field}` of dataset `{dataset}` is"
    if label.classes is not None:
        index = class_index(values, label.values())
        if label.unlisted == "error" and (index < 0).any():
            bad = int(np.argmax(index < 0))
            raise InputError(
                f"{where} {values[bad]} in row {rows[bad]}, in no class of {label.classes}; list "
                "it, or set `unlisted: ignore` (of jets also `skip`) to leave such entries out"
            )
        return index
    if values.dtype.kind != "f":
        return values.astype(np.int32)
    if not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values)))
        raise InputError(f"{where} {values[bad]} in row {rows[bad]}; it must be finite")
    return values.astype(np.float32)


def real_objects(table: np.ndarray, schema: Schema, objects: str) -> np.ndarray:
    """True for the objects to be found: those that are valid and listed by every label of them.

    Args:
        table: structured, of any shape.
        schema: names and classes.
        objects: their name.
    """
    real = np.array(table[schema.objects[objects].valid])
    for label in schema.classes_of(objects).values():
        real &= class_index(table[label.field], label.values()) >= 0
    return real


def object_masks(
    links: np.ndarray, counts: np.ndarray, keys: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """Which constituents belong to which object: those whose link equals its key.

    Negative links mean "no object" and padding never matches, so that an object none of whose
    constituents was reconstructed has an empty mask.

    Args:
        links: `[T]` link of each constituent.
        counts: `[n]` constituents of each jet.
        keys: `[n, M]` key of each object.
        valid: `[n, M]` True for a real object.

    Returns:
        Booleans `[M, T]`.
    """
    same = np.repeat(keys.T, counts, axis=1) == links
    return same & np.repeat(valid.T, counts, axis=1) & (links >= 0)
