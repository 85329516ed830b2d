"""HDF5 files in Salt's layout, opened, checked and read as contiguous rows of NumPy arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np

from maskformer_jax.data.config import LabelConfig, StreamConfig
from maskformer_jax.data.contents import (
    check_class_order,
    check_fields,
    check_shapes,
    has_classes,
    labels_missing,
)
from maskformer_jax.data.labels import class_index, real_objects
from maskformer_jax.data.schema import Schema
from maskformer_jax.data.sources import damaged, datasets, other_files
from maskformer_jax.errors import InputError
from maskformer_jax.types import JETS

CHUNK_CACHE_BYTES = 32 * 2**20
LABEL_ROWS = 100_000
# Blocks that are read to see what the jets of a file are like.
BLOCKS = 8


class StreamRecords(NamedTuple):
    """Constituents of some rows of a file, and which of them are kept.

    Attributes:
        table: structured `[n, L_file]`.
        index: `[n, width]` column of the table of each one that is kept, -1 for padding, the real
            ones first.
    """

    table: np.ndarray
    index: np.ndarray

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Those that are kept, one after the other `[T]`, and their number in each jet `[n]`."""
        kept = self.index >= 0
        counts = kept.sum(axis=1)
        first = np.arange(len(self.table)) * self.table.shape[1]
        flat = np.repeat(first, counts) + self.index[kept]
        return self.table.reshape(-1).take(flat), counts


class Records(NamedTuple):
    """Rows of a file, as they are in the file.

    Attributes:
        start: row of the first jet.
        jets: structured `[n]`.
        streams: constituents by the name of their stream.
        objects: name -> structured `[n, M_file]`, those to be found first; without those that the
            file lacks.
        rows: `[n]` row in the file of each jet.
        path: the file, for messages.
    """

    start: int
    jets: np.ndarray
    streams: Mapping[str, StreamRecords]
    objects: Mapping[str, np.ndarray]
    rows: np.ndarray
    path: str = ""


def select(records: Records, index: np.ndarray) -> Records:
    """The jets at the positions `index [k]` of `records`."""
    return records._replace(
        jets=records.jets[index],
        streams={
            name: StreamRecords(stream.table[index], stream.index[index])
            for name, stream in records.streams.items()
        },
        objects={name: table[index] for name, table in records.objects.items()},
        rows=records.rows[index],
    )


class JetFile:
    """A file of jets, their constituents and truth that has been found to match a schema.

    Attributes:
        path: the file.
        schema: what is read of it.
        num_jets: rows of the file.
        widths: most constituents of each stream that are read of a jet: the cap or the columns of
            the file, at least 1.
        chunk_rows: rows that are compressed together; 1 where the file is not chunked.
        labels: names of the labels that the file has.
        missing: those that it lacks -> what of it is not there.
        others: files that its datasets are linked to.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Schema,
        truth: Literal["required", "optional"] = "required",
    ):
        """Opens the file and checks everything that can be checked without reading it.

        Args:
            path: HDF5 file.
            schema: what is read.
            truth: `optional`: labels whose datasets or fields are missing are left out.

        Raises:
            InputError: no such file, not HDF5, or datasets or fields that are missing (all are
                named), have the wrong type or rank, are empty, differ in length or claim rows that
                are not there; or the file says itself that its classes have another order.
        """
        self.path, self.schema = Path(path), schema
        self._file = _open(self.path)
        try:
            with damaged(f"{self.path}: not a readable HDF5 file"):
                self._look(truth)
        except BaseException:
            self._file.close()
            raise
        self._tables: dict[str, _Table] = {}
        self._classes: dict[str, np.ndarray] | None = None

    def _look(self, truth: str) -> None:
        """Compares the file with the schema."""
        schema, file = self.schema, self._file
        self.missing = labels_missing(file, schema) if truth == "optional" else {}
        self.labels = tuple(name for name in schema.labels if name not in self.missing)
        check_fields(file, schema, self.labels)
        places = {*self.labels, *(schema.labels[name].of for name in self.labels)}
        self._objects = [name for name in schema.objects if name in places]
        check_shapes(file, schema, self._objects)
        check_class_order(file, schema, self.labels)
        self.num_jets = file[schema.jets.dataset].shape[0]
        columns = {name: file[x.dataset].shape[1] for name, x in schema.streams.items()}
        self.widths = {
            name: max(min(stream.cap, columns[name]), 1) for name, stream in schema.streams.items()
        }
        read = [file[schema.dataset(name)] for name in schema.streams or [JETS]]
        found = (other_files(file, data) for data in datasets(file).values())
        self.others = tuple(sorted(set().union(*found)))
        self.chunk_rows = max(data.chunks[0] if data.chunks else 1 for data in read)

    def dtype(self, of: str) -> np.dtype:
        """Type of an entry of jets, a stream or objects: its fields are `names`."""
        return self._file[self.schema.dataset(of)].dtype

    def classes(self) -> dict[str, np.ndarray]:
        """Class of every jet `[num_jets]` by label of jets, -1 where it is in no class.

        They are read once; a training asks its validation file in every epoch.
        """
        if self._classes is None:
            labels = {name: self.schema.labels[name] for name in self.labels}
            self._classes = {
                name: self._read_classes(label)
                for name, label in labels.items()
                if label.of == JETS and has_classes(label)
            }
        return self._classes

    def _read_classes(self, label: LabelConfig) -> np.ndarray:
        column = self._file[self.schema.jets.dataset].fields(label.field)
        found = np.empty(self.num_jets, np.int32)
        with damaged(f"{self.path}: `{label.field}` is not readable, the file is damaged"):
            for start in range(0, self.num_jets, LABEL_ROWS):
                rows = slice(start, start + LABEL_ROWS)
                found[rows] = class_index(column[rows], label.values())
        return found

    def kept(self) -> np.ndarray:
        """False `[num_jets]` for jets that a label leaves out: none of its classes has them."""
        kept = np.ones(self.num_jets, bool)
        for name, index in self.classes().items():
            if self.schema.labels[name].skips():
                kept &= index >= 0
        return kept

    def unlisted(self, num_jets: int | None = None) -> dict[str, int]:
        """Number of jets in no class, of the first `num_jets`, by label of jets."""
        return {name: int((i[:num_jets] < 0).sum()) for name, i in self.classes().items()}

    def read(self, start: int, stop: int) -> Records:
        """The rows `[start, stop)`.

        Args:
            start: first row, from 0.
            stop: row after the last, at most `num_jets`.
        """
        jets = self._rows(self.schema.jets.dataset, start, stop)
        streams = {}
        for name, stream in self.schema.streams.items():
            table = self._rows(stream.dataset, start, stop)
            streams[name] = StreamRecords(table, _kept_index(table, stream, self.widths[name]))
        objects = {}
        for name in self._objects:
            table = self._rows(self.schema.objects[name].dataset, start, stop)
            objects[name] = _first(table, real_objects(table, self.schema, name))
        return Records(start, jets, streams, objects, np.arange(start, stop), str(self.path))

    def spread(self, num_jets: int | None = None) -> list[Records]:
        """The rows of some blocks, spread over the first jets; none: over all."""
        block, jets = self.schema.block_size, min(num_jets or self.num_jets, self.num_jets)
        starts = np.unique(np.linspace(0, max(jets - block, 0), BLOCKS).astype(int))
        return [self.read(start, min(start + block, jets)) for start in starts.tolist()]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _rows(self, name: str, start: int, stop: int) -> np.ndarray:
        rows = f"rows {start} to {stop} of dataset `{name}`"
        with damaged(f"{self.path}: {rows} are not readable, the file is damaged"):
            if name not in self._tables:
                self._tables[name] = _Table(self._file[name])
            return self._tables[name].read(start, stop)


class _Table:
    """A dataset whose rows are read; to ask for its type again would take longer than a block."""

    def __init__(self, dataset: h5py.Dataset):
        self._id, self._shape, self._dtype = dataset.id, dataset.shape[1:], dataset.dtype
        self._space, self._type = dataset.id.get_space(), h5py.h5t.py_create(dataset.dtype)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The rows `[start, stop)`, structured."""
        rows = np.empty((stop - start, *self._shape), self._dtype)
        if not rows.size:
            return rows
        space = self._space.copy()
        space.select_hyperslab((start, *(0 for _ in self._shape)), rows.shape)
        self._id.read(h5py.h5s.create_simple(rows.shape), space, rows, self._type)
        return rows


def _open(path: Path) -> h5py.File:
    if path.is_dir():
        raise InputError(f"{path}: a folder, not an HDF5 file")
    if not path.is_file():
        # Shipped configurations name these.
        sample = path.parts[:2] == ("data", "sample")
        hint = "; the sample comes with a clone only: name files of your own" if sample else ""
        raise InputError(f"{path}: no such file{hint}")
    with damaged(f"{path}: not a readable HDF5 file"):
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)


def _first(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Moves the entries of `table [n, k]` that are `wanted` to the front, else in their order."""
    if not (wanted[:, 1:] > wanted[:, :-1]).any():
        return table
    return np.take_along_axis(table, np.argsort(~wanted, axis=1, kind="stable"), axis=1)


def _kept_index(table: np.ndarray, stream: StreamConfig, width: int) -> np.ndarray:
    """Columns of `table [n, L_file]` that are kept `[n, width]`, -1 for padding."""
    valid = np.ascontiguousarray(table[stream.valid])
    if not valid.shape[1]:
        return np.full((len(table), width), -1, np.int32)
    columns = np.arange(width, dtype=np.int32)
    if stream.sort_by is not None:
        values = np.abs(table[stream.sort_by].astype(np.float64))
        order = np.lexsort((-values, ~valid), axis=1)[:, :width]
    elif (valid[:, 1:] > valid[:, :-1]).any():
        order = np.argsort(~valid, axis=1, kind="stable")[:, :width]
    else:
        order = columns
    counts = valid.sum(axis=1, dtype=np.int32)
    return np.where(columns < counts[:, None], order, np.int32(-1))
