"""The prediction file: the fields of the test file and, beside them, what the model says.

Dataset and field names are those of Salt, so that scripts written for it read the file. With the
prefix `MaskFormer` and the default classes:

    jets           all fields, MaskFormer_pb, _pc, _pu
    tracks         all fields, MaskFormer_pPileup ... _pOtherSecondary, _MaskIndex (see `mask_index`
                   in predict.py: a row of truth_hadrons, -1 for none)
    truth_hadrons  all fields, MaskFormer_pb, _pc, _pnull, then _pt, _Lxy, _deta, _dphi, _mass in
                   the units of the file, and class_label: index of the true class, the last one
                   for no hadron, -1 where the file has no truth
    object_masks   mask_logits and truth_mask of each object, in the rows of truth_hadrons, and of
                   each track

Row m of truth_hadrons and object_masks is the object that is matched to hadron m; where the file
has no truth, the query m. Tracks are in the columns of the test file. Entries without a prediction
(padding tracks, tracks and hadrons beyond the caps) are NaN, -1 or False, as is padding in the
input. A field of the test file that has the name of a predicted one is replaced by it.
"""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from maskformer_jax.config import DataConfig
from maskformer_jax.data import Records
from maskformer_jax.evaluation.discriminants import flavour_name
from maskformer_jax.evaluation.output import not_writable, partial_path
from maskformer_jax.evaluation.predict import Predictions
from maskformer_jax.types import Targets

FILE_NAME = "predictions.h5"
OBJECT_MASKS = "object_masks"
NONE_NAME = "null"

# Rows that are compressed together. The cache holds a chunk until all its rows are written.
CHUNK_ROWS = 200
CACHE_BYTES = 64 * 2**20
GZIP_LEVEL = 1

Columns = dict[str, np.ndarray]


class PredictionFile:
    """Writes predictions batch by batch; the file appears, whole, when the context ends well.

    Args:
        path: where the file will be; one that is there is replaced.
        prefix: of the predicted fields.
        layout: names of datasets and classes.
        num_jets: rows of the file.

    Raises:
        InputError: the folder is not writable, or the disk is full.
    """

    def __init__(self, path: Path, prefix: str, layout: DataConfig, num_jets: int):
        self.path = path
        self.prefix = prefix
        self.layout = layout
        self.num_jets = num_jets
        self._partial = partial_path(path)
        self._rows = 0

    def __enter__(self) -> "PredictionFile":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = _Stream(self._partial, "w+")
        except OSError as error:
            raise not_writable(self.path, error) from error
        self._file = h5py.File(self._stream, "w", rdcc_nbytes=CACHE_BYTES)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self._file.close()
            self._stream.close()
            if kind is None:
                self._check()
                os.replace(self._partial, self.path)
        except OSError as failure:
            raise not_writable(self.path, failure) from failure
        finally:
            self._partial.unlink(missing_ok=True)

    def write(
        self,
        records: Records,
        targets: Targets,
        predictions: Predictions,
        regression: Float[np.ndarray, "N M R"],
    ) -> None:
        """Appends the jets of `records`.

        Args:
            records: n rows of the test file.
            targets: of the same jets, on the host.
            predictions: of the same jets, on the host.
            regression: hadron properties in the units of the file.
        """
        jets, tracks, hadrons = self.layout.jets, self.layout.tracks, self.layout.hadrons
        tables = {
            jets.dataset: with_columns(records.jets, self._jet_columns(predictions)),
            tracks.dataset: with_columns(records.tracks, self._track_columns(records, predictions)),
            hadrons.dataset: with_columns(
                records.hadrons, self._object_columns(records, targets, predictions, regression)
            ),
            OBJECT_MASKS: with_columns(None, _mask_columns(records, targets, predictions)),
        }
        stop = self._rows + len(records.jets)
        for name, table in tables.items():
            dataset = self._file.get(name) or self._create(name, table)
            dataset[self._rows : stop] = table
        self._rows = stop
        self._check()

    def _check(self) -> None:
        if self._stream.failure is not None:
            raise not_writable(self.path, self._stream.failure) from self._stream.failure

    def _create(self, name: str, table: np.ndarray) -> h5py.Dataset:
        return self._file.create_dataset(
            name,
            shape=(self.num_jets, *table.shape[1:]),
            dtype=table.dtype,
            chunks=(min(CHUNK_ROWS, self.num_jets), *table.shape[1:]),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            shuffle=True,
        )

    def _jet_columns(self, predictions: Predictions) -> Columns:
        prob = np.exp(predictions.jet_log_prob)
        return {
            f"{self.prefix}_p{flavour_name(name)}": prob[:, column]
            for column, name in enumerate(self.layout.jets.classes)
        }

    def _track_columns(self, records: Records, predictions: Predictions) -> Columns:
        columns = {
            f"{self.prefix}_p{name[:1].upper()}{name[1:]}": _to_file_columns(
                records, predictions.origin_prob[..., column], np.nan
            )
            for column, name in enumerate(self.layout.tracks.origin_classes)
        }
        index = predictions.mask_index.astype(np.int16)
        columns[f"{self.prefix}_MaskIndex"] = _to_file_columns(records, index, -1)
        return columns

    def _object_columns(
        self, records: Records, targets: Targets, predictions: Predictions, regression: np.ndarray
    ) -> Columns:
        names = [f"p{name}" for name in (*self.layout.hadrons.classes, NONE_NAME)]
        names += self.layout.hadrons.targets
        with np.errstate(over="ignore"):
            values = np.concatenate(
                [predictions.object_prob, regression.astype(np.float32)], axis=-1
            )
        columns = {f"{self.prefix}_{n}": values[..., i] for i, n in enumerate(names)}
        label = targets.object_class_index.astype(np.int8)
        if records.hadrons is None:
            return columns | {"class_label": np.full_like(label, -1)}
        rows = max(records.hadrons.shape[1], label.shape[1])
        columns = {name: _resized(x, rows, np.nan) for name, x in columns.items()}
        none = len(self.layout.hadrons.classes)
        return columns | {"class_label": _resized(label, rows, none)}


class _Stream(io.FileIO):
    """A file that takes note of a refused write and pretends that all is well from then on.

    HDF5 cannot close a file whose writes fail, and complains about it until the process ends.
    """

    failure: OSError | None = None

    def write(self, data) -> int:
        left = memoryview(data)
        while len(left) and self.failure is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        if self.failure is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.failure = error
        return size or 0


def padding(array: np.ndarray) -> float | int:
    """The value of an entry that is not there: NaN, -1 or False, by the type of `array`."""
    return {"f": np.nan, "b": False}.get(array.dtype.kind, -1)


def with_columns(table: np.ndarray | None, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """A structured array with the fields of `table` and `columns`, which win where both have one.

    Args:
        table: structured, with at most as many entries along the second axis as the columns;
            missing ones are padded. None: there are only the columns.
        columns: field name -> values.
    """
    shape = next(iter(columns.values())).shape
    kept = [] if table is None else [n for n in table.dtype.names if n not in columns]
    dtype = [(n, table.dtype[n]) for n in kept] + [(n, x.dtype) for n, x in columns.items()]
    joined = np.empty(shape, dtype)
    for name in kept:
        values = table[name]
        if values.shape != shape:
            values = _resized(values, shape[1], padding(values))
        joined[name] = values
    for name, values in columns.items():
        joined[name] = values
    return joined


def _resized(array: np.ndarray, length: int, fill: float | int) -> np.ndarray:
    resized = np.full((len(array), length, *array.shape[2:]), fill, array.dtype)
    kept = min(length, array.shape[1])
    resized[:, :kept] = array[:, :kept]
    return resized


def _to_file_columns(records: Records, values: np.ndarray, fill: float | int) -> np.ndarray:
    """Puts values `[n, width]` of the kept tracks into the columns of the file `[n, L_file]`."""
    jet, slot = np.nonzero(records.track_index >= 0)
    placed = np.full(records.tracks.shape, fill, values.dtype)
    placed[jet, records.track_index[jet, slot]] = values[jet, slot]
    return placed


def _mask_columns(records: Records, targets: Targets, predictions: Predictions) -> Columns:
    jet, slot = np.nonzero(records.track_index >= 0)
    column = records.track_index[jet, slot]
    shape = (len(records.jets), targets.masks.shape[1], records.tracks.shape[1])
    logits, truth = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    logits[jet, :, column] = predictions.mask_logits[jet, :, slot]
    truth[jet, :, column] = targets.masks[jet, :, slot]
    return {"mask_logits": logits, "truth_mask": truth}
