"""Records -> compact converted arrays, whose axes are those of jets and of constituents."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.data.config import ObjectsConfig
from maskformer_jax.data.h5 import Records
from maskformer_jax.data.labels import label_values, object_masks, real_objects
from maskformer_jax.data.scaling import Scaling
from maskformer_jax.data.schema import Schema, Targets
from maskformer_jax.types import JETS, ObjectLabels


class Samples(NamedTuple):
    """Converted jets: n jets and T constituents one after the other, then one entry of padding.

    A batch is gathered from the axis of jets or constituents; what fills it up is the last entry.

    Attributes:
        counts: by stream `[n + 1]` constituents of each jet; padding: 0.
        jets: `[n + 1, I]` float32, scaled; 0.
        streams: by stream `[T + 1, F]` float32, scaled; 0.
        labels: by name: of jets `[n + 1]`, of a stream `[T + 1]`, of objects `[n + 1, M]`, each
            with R behind for regression; objects: `ObjectLabels` of `valid [n + 1, M]` and
            `masks [M, T + 1]`. Padding: as in `types.Labels`.
        of: by label the axis of its entries, `jets` or a stream (of the masks, for objects).
    """

    counts: Mapping[str, np.ndarray]
    jets: np.ndarray
    streams: Mapping[str, np.ndarray]
    labels: Mapping[str, Any]
    of: Mapping[str, str]


class _Entries(NamedTuple):
    """Jets, constituents and objects of some rows of a file, without padding.

    Attributes:
        tables: structured `[n]` jets and `[T]` constituents by stream.
        counts: by stream `[n]` constituents of each jet.
        objects: by name, structured `[n, M_file]`.
        rows: row in the file of each jet and constituent.
        path: the file, for messages.
    """

    tables: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]
    objects: Mapping[str, np.ndarray]
    rows: Mapping[str, np.ndarray]
    path: str


class _Found(NamedTuple):
    """The objects to be found: their validity `[n, M]`, places, entries and rows of the file."""

    valid: np.ndarray
    place: tuple[np.ndarray, np.ndarray]
    table: np.ndarray
    rows: np.ndarray

    def dense(self, of_found: np.ndarray, padding: float) -> np.ndarray:
        """`[n, M, ...]` of the values of what was found `[k, ...]`."""
        dense = np.full((*self.valid.shape, *of_found.shape[1:]), padding, of_found.dtype)
        dense[self.place] = of_found
        return dense


def convert(
    blocks: Iterable[Records],
    schema: Schema,
    scaling: Scaling,
    labels: Sequence[str] | None = None,
) -> Samples:
    """Scaled inputs and labels of the jets; padding constituents are not touched.

    Args:
        blocks: rows of a file, at least one block, converted together; of each only the real
            constituents are kept.
        schema: names and classes.
        scaling: of inputs and targets.
        labels: names of those that the file has (`JetFile.labels`); none: all.

    Raises:
        InputError: an input of a real jet or constituent, or a target of a real entry, is not
            finite or outside the domain of its transform; or a value is in no class where that
            is an error.
    """
    entries = _entries(blocks, schema)
    chosen = schema.labels if labels is None else labels
    objects = {name: _found(entries, schema, name) for name in entries.objects}
    scaled = {
        place: _padded(part.standardise(entries.tables[place], entries.rows[place], entries.path))
        for place, part in {JETS: scaling.jets, **scaling.streams}.items()
    }
    return Samples(
        counts={name: _padded(counts) for name, counts in entries.counts.items()},
        jets=scaled.pop(JETS),
        streams=scaled,
        labels={name: _label(name, entries, objects, schema, scaling) for name in chosen},
        of={name: _axis_of(name, schema) for name in chosen},
    )


def join(parts: Sequence[Samples]) -> Samples:
    """The jets of several samples, one after the other."""

    def joined(place: str, axis: int, *arrays: np.ndarray) -> np.ndarray:
        cut = [array[:, :-1] if axis else array[:-1] for array in arrays[:-1]]
        return np.concatenate([*cut, arrays[-1]], axis)

    return _mapped(joined, *parts)


def take(samples: Samples, index: np.ndarray) -> Samples:
    """The jets at the positions `index [k]` of `samples`, in that order."""
    of = {JETS: np.append(index, len(samples.jets) - 1)}
    for name, values in samples.streams.items():
        of[name] = np.append(source(samples.counts[name], of[JETS]), len(values) - 1)
    return _mapped(lambda place, axis, array: array.take(of[place], axis), samples)


def begins(counts: np.ndarray) -> np.ndarray:
    """Where the constituents of each jet begin."""
    return np.cumsum(counts) - counts


def source(counts: np.ndarray, jets: np.ndarray) -> np.ndarray:
    """Positions of the constituents of some jets, one jet after the other.

    Args:
        counts: `[n]` constituents of all jets.
        jets: `[k]` which of them.
    """
    chosen = counts.take(jets)
    shift = begins(counts).take(jets) - begins(chosen)
    return np.repeat(shift, chosen) + np.arange(chosen.sum())


def _mapped(function: Callable[..., np.ndarray], *parts: Samples) -> Samples:
    """Function of the place, the axis of its entries and the arrays, for every array."""
    one = parts[0]
    labels = {}
    for name, label in one.labels.items():
        arrays, of = [part.labels[name] for part in parts], one.of[name]
        if isinstance(label, ObjectLabels):
            valid, masks = zip(*arrays, strict=True)
            labels[name] = ObjectLabels(function(JETS, 0, *valid), function(of, 1, *masks))
        else:
            labels[name] = function(of, 0, *arrays)
    return Samples(
        counts={s: function(JETS, 0, *(part.counts[s] for part in parts)) for s in one.counts},
        jets=function(JETS, 0, *(part.jets for part in parts)),
        streams={s: function(s, 0, *(part.streams[s] for part in parts)) for s in one.streams},
        labels=labels,
        of=one.of,
    )


def _axis_of(name: str, schema: Schema) -> str:
    label = schema.labels[name]
    return label.of if label.of in schema.streams else JETS


def _entries(blocks: Iterable[Records], schema: Schema) -> _Entries:
    tables, counts, objects, rows, path = {}, {}, {}, [], ""
    for records in blocks:
        tables.setdefault(JETS, []).append(records.jets)
        for name, stream in records.streams.items():
            kept, number = stream.kept()
            tables.setdefault(name, []).append(kept)
            counts.setdefault(name, []).append(number)
        for name, table in records.objects.items():
            objects.setdefault(name, []).append(table)
        rows.append(records.rows)
        path = records.path
    numbers = {name: np.concatenate(found) for name, found in counts.items()}
    jets = np.concatenate(rows)
    return _Entries(
        tables={name: _concatenated(found) for name, found in tables.items()},
        counts=numbers,
        objects={name: _concatenated(found) for name, found in objects.items()},
        rows={JETS: jets} | {name: np.repeat(jets, number) for name, number in numbers.items()},
        path=path,
    )


def _concatenated(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Structured arrays one after the other.

    As bytes, which is many times as fast as field by field, unless there are strings of any length.
    """
    dtype = tables[0].dtype
    if len(tables) == 1:
        return tables[0]
    if dtype.hasobject:
        return np.concatenate(tables)
    return np.concatenate([table.view(f"V{dtype.itemsize}") for table in tables]).view(dtype)


def _found(entries: _Entries, schema: Schema, name: str) -> _Found:
    config, table = schema.objects[name], entries.objects[name]
    seen = table[:, : config.cap]
    valid = np.zeros((len(table), config.cap), bool)
    valid[:, : seen.shape[1]] = real_objects(seen, schema, name)
    place = np.nonzero(valid)
    flat = table.reshape(-1).take(place[0] * table.shape[1] + place[1])
    return _Found(valid, place, flat, entries.rows[JETS][place[0]])


def _label(
    name: str,
    entries: _Entries,
    objects: Mapping[str, _Found],
    schema: Schema,
    scaling: Scaling,
) -> Any:
    """A label of the entries, with its entry of padding."""
    label = schema.labels[name]
    if isinstance(label, ObjectsConfig):
        return _object_labels(objects[name], label, entries)
    if label.of not in objects:
        table, rows = entries.tables[label.of], entries.rows[label.of]
        values, padding = _values(name, table, rows, entries.path, schema, scaling)
        return _padded(values, padding)
    found = objects[label.of]
    if not isinstance(label, Targets) and label.unlisted == "error":
        table, valid = entries.objects[label.of], schema.objects[label.of].valid
        jet, _ = np.nonzero(table[valid])
        _values(name, table[table[valid]], entries.rows[JETS][jet], entries.path, schema, scaling)
    values, padding = _values(name, found.table, found.rows, entries.path, schema, scaling)
    none = getattr(label, "classes", None)
    padding = padding if none is None else len(none)
    return _padded(found.dense(values, padding), padding)


def _values(
    name: str, table: np.ndarray, rows: np.ndarray, path: str, schema: Schema, scaling: Scaling
) -> tuple[np.ndarray, int]:
    """A label of the real entries of a table, and what stands for padding."""
    label = schema.labels[name]
    if isinstance(label, Targets):
        return scaling.targets[name].standardise(table, rows, path), 0
    values = label_values(table, label, schema.dataset(label.of), rows, path)
    return values, 0 if values.dtype.kind == "f" else -1


def _object_labels(found: _Found, objects: ObjectsConfig, entries: _Entries) -> ObjectLabels:
    links = entries.tables[objects.of][objects.link]
    keys = found.dense(found.table[objects.key], 0)
    masks = object_masks(links, entries.counts[objects.of], keys, found.valid)
    return ObjectLabels(_padded(found.valid), np.pad(masks, ((0, 0), (0, 1))))


def _padded(array: np.ndarray, padding: float = 0) -> np.ndarray:
    entry = np.full((1, *array.shape[1:]), padding, array.dtype)
    return np.concatenate([array, entry])
