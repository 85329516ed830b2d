"""The prediction file: the fields of the test file and, beside them, what the model says.

Dataset and field names are those of Salt, so that scripts written for it read the file. With the
prefix `MaskFormer` and the default tasks:

    jets           all fields, MaskFormer_pb, _pc, _pu
    tracks         all fields, MaskFormer_pPileup ... _pOtherSecondary, _aux_TrackOrigin (the
                   likeliest, by its value in the file), _MaskIndex (see `mask_index` in
                   tasks/objects.py: a row of truth_hadrons, -1 for none); of edges
                   _aux_VertexIndex, with `evaluation.salt_names` also `VertexIndex`
    truth_hadrons  all fields, MaskFormer_pb, _pc, _pnull, then _pt, _Lxy, _deta, _dphi, _mass in
                   the units of the file, and class_label: index of the true class, the last one
                   for no hadron, -1 where the file has no truth
    object_masks   mask_logits and truth_mask of each object, in the rows of truth_hadrons, and of
                   each track

A regression of jets or constituents is `MaskFormer_target`, the predicted standard deviation
`MaskFormer_target_stddev`. Where two tasks of a kind are of one dataset their names follow the
prefix: `MaskFormer_TASK_pb`. Attributes of the datasets hold the classes of each task in their
order.

Row m of truth_hadrons and object_masks is the object that is matched to hadron m, those that are
left come after; where the file lacks a part of the truth, the query m. Tracks are in the columns of
the test file. Entries without a prediction (padding tracks, tracks and hadrons beyond the caps) are
NaN, -1 or False, as is padding in the input. A field of the test file that has the name of a
predicted one is replaced by it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from maskformer_jax.data.disk import Disk
from maskformer_jax.evaluation.outputs import OBJECT_MASKS, outputs_of, padding
from maskformer_jax.evaluation.section import Chunk
from maskformer_jax.evaluation.trained import Trained
from maskformer_jax.files import partial_path, writing
from maskformer_jax.types import JETS

FILE_NAME = "predictions.h5"

# Rows that are compressed together. The cache holds a chunk until all its rows are written.
CHUNK_ROWS = 200
CACHE_BYTES = 64 * 2**20
GZIP_LEVEL = 1


class PredictionFile:
    """Writes predictions batch by batch; the file appears, whole, when the context ends well.

    Args:
        path: where the file will be; one that is there is replaced.
        trained: what is predicted.
        num_jets: rows of the file.

    Raises:
        InputError: two predictions have one name, the folder is not writable, or the disk is full.
    """

    def __init__(self, path: Path, trained: Trained, num_jets: int):
        self.path = path
        self.num_jets = num_jets
        self._schema, config = trained.model.schema, trained.config
        names = config.name, config.evaluation.salt_names
        self._outputs = outputs_of(trained.model.tasks, self._schema, *names)
        self._partial = partial_path(path)
        self._rows = 0

    def __enter__(self) -> "PredictionFile":
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = Disk(self._partial, "w+")
        self._file = h5py.File(self._stream, "w", rdcc_nbytes=CACHE_BYTES)
        return self

    def __exit__(self, kind, error, traceback) -> None:
        try:
            with writing(self.path):
                self._file.close()
                self._stream.close()
                if kind is None:
                    self._stream.check()
                    os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def add(self, chunk: Chunk) -> None:
        """Appends the jets of a chunk."""
        records, schema = chunk.records, self._schema
        tables = {JETS: records.jets, **records.objects}
        tables |= {name: stream.table for name, stream in records.streams.items()}
        columns = {place: {} for place in (JETS, *schema.streams, *schema.objects)}
        for output in self._outputs:
            columns.setdefault(output.place, {}).update(output.columns(chunk))
        stop = self._rows + len(records.jets)
        for place, found in columns.items():
            table = tables.get(place)
            if found or table is not None:
                joined, name = with_columns(table, found), self._dataset(place)
                dataset = self._file.get(name) or self._create(name, joined)
                dataset[self._rows : stop] = joined
        self._rows = stop
        with writing(self.path):
            self._stream.check()

    def _dataset(self, place: str) -> str:
        return place if place.startswith(OBJECT_MASKS) else self._schema.dataset(place)

    def _create(self, name: str, table: np.ndarray) -> h5py.Dataset:
        dataset = self._file.create_dataset(
            name,
            shape=(self.num_jets, *table.shape[1:]),
            dtype=table.dtype,
            chunks=(min(CHUNK_ROWS, self.num_jets), *table.shape[1:]),
            compression="gzip",
            compression_opts=GZIP_LEVEL,
            shuffle=True,
        )
        for output in self._outputs:
            if output.classes and self._dataset(output.place) == name:
                dataset.attrs[f"{output.task}_classes"] = output.classes
        return dataset


def with_columns(table: np.ndarray | None, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """A structured array with the fields of `table` and `columns`, which win where both have one.

    Entries along the second axis that some of them lack are padded.

    Args:
        table: structured; none: there are only the columns.
        columns: field name -> values.
    """
    kept = [] if table is None else [name for name in table.dtype.names if name not in columns]
    fields = {name: table[name] for name in kept} | dict(columns)
    shape = max(values.shape for values in fields.values())
    joined = np.empty(shape, [(name, values.dtype) for name, values in fields.items()])
    for name, values in fields.items():
        joined[name] = padding(values)
        joined[name][tuple(map(slice, values.shape))] = values
    return joined
