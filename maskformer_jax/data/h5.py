"""HDF5 files in Salt's layout, opened, checked and read as contiguous rows of NumPy arrays."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np

from maskformer_jax.config import DataConfig
from maskformer_jax.data.labels import class_index
from maskformer_jax.errors import InputError

CHUNK_CACHE_BYTES = 32 * 2**20
LABEL_ROWS = 100_000
KINDS = {"numeric": "fiub", "integer": "iu", "boolean": "b"}


class Records(NamedTuple):
    """Rows of a file, as they are in the file, with the tracks that are kept of each jet.

    Attributes:
        start: row of the first jet.
        jets: structured `[n]`.
        tracks: structured `[n, L_file]`.
        hadrons: structured `[n, M_file]`, those of a listed class first; None: no truth.
        track_index: `[n, width]` column in the file of each track that is kept, -1 for padding,
            the real tracks first.
        rows: `[n]` row in the file of each jet.
        path: the file, for messages.
    """

    start: int
    jets: np.ndarray
    tracks: np.ndarray
    hadrons: np.ndarray | None
    track_index: np.ndarray
    rows: np.ndarray
    path: str = ""


def kept_tracks(records: Records) -> tuple[np.ndarray, np.ndarray]:
    """The tracks that are kept, one after the other `[T]`, and their number in each jet `[n]`."""
    kept = records.track_index >= 0
    counts = kept.sum(axis=1)
    first = np.arange(len(records.jets)) * records.tracks.shape[1]
    flat = np.repeat(first, counts) + records.track_index[kept]
    return records.tracks.reshape(-1).take(flat), counts


def select(records: Records, index: np.ndarray) -> Records:
    """The jets at the positions `index [k]` of `records`."""
    return Records(
        records.start,
        records.jets[index],
        records.tracks[index],
        None if records.hadrons is None else records.hadrons[index],
        records.track_index[index],
        records.rows[index],
        records.path,
    )


class JetFile:
    """A file of jets, tracks and truth hadrons that has been found to match a layout.

    Attributes:
        path: the file.
        layout: names of datasets, fields and classes.
        num_jets: rows of the file.
        width: most tracks that are read of a jet, min(`layout.tracks.cap`, those in the file).
        chunk_rows: rows that are compressed together; 1 where the file is not chunked.
        has_truth: whether the file has labels, origins, links and hadrons.
    """

    def __init__(
        self,
        path: str | Path,
        layout: DataConfig,
        *,
        truth: Literal["required", "optional"] = "required",
    ):
        """Opens the file and checks everything that can be checked without reading it.

        Args:
            path: HDF5 file.
            layout: names of datasets, fields and classes.
            truth: `optional`: a file that lacks a dataset or field of the truth has none.

        Raises:
            InputError: no such file, not HDF5, or a dataset or field that is missing, has the
                wrong type or rank, is empty or differs in length from the others.
        """
        self.path = Path(path)
        self.layout = layout
        self._file = _open(self.path)
        try:
            self.has_truth = truth == "required" or self._names_truth()
            self._check_fields()
            self._check_shapes()
        except BaseException:
            self._file.close()
            raise
        self._tables: dict[str, _Table] = {}
        tracks = self._file[layout.tracks.dataset]
        self.num_jets = tracks.shape[0]
        self.width = min(layout.tracks.cap, tracks.shape[1])
        self.chunk_rows = tracks.chunks[0] if tracks.chunks else 1

    def labels(self) -> np.ndarray:
        """Class of every jet `[num_jets]`, -1 where its label is in no class or there is none."""
        labels = np.full(self.num_jets, -1, np.int32)
        if self.has_truth:
            column = self._file[self.layout.jets.dataset].fields(self.layout.jets.label)
            for start in range(0, self.num_jets, LABEL_ROWS):
                values = column[start : start + LABEL_ROWS]
                labels[start : start + LABEL_ROWS] = class_index(values, self.layout.jets.classes)
        return labels

    def read(self, start: int, stop: int) -> Records:
        """The rows `[start, stop)`.

        Args:
            start: first row, from 0.
            stop: row after the last, at most `num_jets`.
        """
        layout = self.layout
        jets = self._rows(layout.jets.dataset, start, stop)
        tracks = self._rows(layout.tracks.dataset, start, stop)
        hadrons = None
        if self.has_truth:
            hadrons = self._rows(layout.hadrons.dataset, start, stop)
            listed = class_index(hadrons[layout.hadrons.label], layout.hadrons.classes) >= 0
            hadrons = _first(hadrons, hadrons[layout.hadrons.valid] & listed)
        by = None if layout.tracks.sort_by is None else tracks[layout.tracks.sort_by]
        index = _track_index(tracks[layout.tracks.valid], by, self.width)
        rows = np.arange(start, stop)
        return Records(start, jets, tracks, hadrons, index, rows, str(self.path))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _rows(self, name: str, start: int, stop: int) -> np.ndarray:
        if name not in self._tables:
            self._tables[name] = _Table(self._file[name])
        try:
            return self._tables[name].read(start, stop)
        except OSError as error:
            raise InputError(
                f"{self.path}: rows {start} to {stop} of dataset `{name}` are not readable, "
                f"the file is damaged: {' '.join(str(error).split())}"
            ) from error

    def _requirements(self) -> Iterable[tuple[str, str, str, bool]]:
        """Dataset, field, kind and whether it is truth, of everything that is read."""
        jets, tracks, hadrons = self.layout.jets, self.layout.tracks, self.layout.hadrons
        yield from ((jets.dataset, name, "numeric", False) for name in jets.inputs)
        yield jets.dataset, jets.label, "integer", True
        yield from ((tracks.dataset, name, "numeric", False) for name in tracks.inputs)
        yield tracks.dataset, tracks.valid, "boolean", False
        if tracks.sort_by is not None:
            yield tracks.dataset, tracks.sort_by, "numeric", False
        yield tracks.dataset, tracks.origin, "integer", True
        yield tracks.dataset, tracks.link, "integer", True
        yield hadrons.dataset, hadrons.valid, "boolean", True
        yield hadrons.dataset, hadrons.label, "integer", True
        yield hadrons.dataset, hadrons.link, "integer", True
        yield from ((hadrons.dataset, name, "numeric", True) for name in hadrons.targets)

    def _names_truth(self) -> bool:
        truth = [(name, field) for name, field, _, is_truth in self._requirements() if is_truth]
        return all(
            name in self._file and field in (_dataset(self._file, name).dtype.names or ())
            for name, field in truth
        )

    def _check_fields(self) -> None:
        for name, field, kind, is_truth in self._requirements():
            if is_truth and not self.has_truth:
                continue
            fields = _dataset(self._file, name).dtype.names or ()
            if field not in fields:
                raise InputError(
                    f"{self.path}: dataset `{name}` has no field `{field}`; "
                    f"it has: {', '.join(fields) or 'no named fields'}"
                )
            dtype = self._file[name].dtype[field]
            if dtype.kind not in KINDS[kind]:
                raise InputError(
                    f"{self.path}: field `{field}` of dataset `{name}` must be {kind}; "
                    f"its type is {dtype}"
                )

    def _check_shapes(self) -> None:
        layout = self.layout
        ranks = {layout.jets.dataset: 1, layout.tracks.dataset: 2}
        if self.has_truth:
            ranks[layout.hadrons.dataset] = 2
        for name, rank in ranks.items():
            shape = self._file[name].shape
            if len(shape) != rank:
                raise InputError(
                    f"{self.path}: dataset `{name}` must have {rank} axes; its shape is {shape}"
                )
            if 0 in shape:
                raise InputError(f"{self.path}: dataset `{name}` is empty; its shape is {shape}")
        lengths = {name: self._file[name].shape[0] for name in ranks}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{self.path}: datasets must have the same length; got {lengths}")


class _Table:
    """A dataset whose rows are read; to ask for its type again would take longer than a block."""

    def __init__(self, dataset: h5py.Dataset):
        self._id, self._shape, self._dtype = dataset.id, dataset.shape[1:], dataset.dtype
        self._space, self._type = dataset.id.get_space(), h5py.h5t.py_create(dataset.dtype)

    def read(self, start: int, stop: int) -> np.ndarray:
        """The rows `[start, stop)`, structured."""
        rows = np.empty((stop - start, *self._shape), self._dtype)
        space = self._space.copy()
        space.select_hyperslab((start, *(0 for _ in self._shape)), rows.shape)
        self._id.read(h5py.h5s.create_simple(rows.shape), space, rows, self._type)
        return rows


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable HDF5 file ({reason})") from error


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    datasets = [key for key, item in file.items() if isinstance(item, h5py.Dataset)]
    if name not in datasets:
        raise InputError(
            f"{file.filename}: no dataset `{name}`; it has: {', '.join(datasets) or 'none'}"
        )
    dataset = file[name]
    filters = dataset.id.get_create_plist()
    for position in range(filters.get_nfilters()):
        code, _, _, title = filters.get_filter(position)
        if not h5py.h5z.filter_avail(code) and importlib.util.find_spec("hdf5plugin"):
            importlib.import_module("hdf5plugin")
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                f"{file.filename}: dataset `{name}` is compressed with "
                f"`{title.decode() or code}`, which is not there; install `hdf5plugin`"
            )
    return dataset


def _first(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Moves the entries of `table [n, k]` that are `wanted` to the front, else in their order."""
    if not (wanted[:, 1:] > wanted[:, :-1]).any():
        return table
    return np.take_along_axis(table, np.argsort(~wanted, axis=1, kind="stable"), axis=1)


def _track_index(valid: np.ndarray, sort_by: np.ndarray | None, width: int) -> np.ndarray:
    """Columns of the kept tracks `[n, width]`, -1 for padding, from `valid [n, L]`."""
    columns, valid = np.arange(width, dtype=np.int32), np.ascontiguousarray(valid)
    if sort_by is not None:
        order = np.lexsort((-np.abs(sort_by.astype(np.float64)), ~valid), axis=1)[:, :width]
    elif (valid[:, 1:] > valid[:, :-1]).any():
        order = np.argsort(~valid, axis=1, kind="stable")[:, :width]
    else:
        order = columns
    counts = valid.sum(axis=1, dtype=np.int32)
    return np.where(columns < counts[:, None], order, np.int32(-1))
