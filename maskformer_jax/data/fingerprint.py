"""By what the jets of a file are known again, wherever the file lies."""

import zlib
from collections.abc import Iterator

import numpy as np

from maskformer_jax.data.contents import input_fields, label_fields
from maskformer_jax.data.h5 import JetFile

SAMPLES, SAMPLE_ROWS = 8, 25


def fingerprint(file: JetFile, num_jets: int | None = None) -> dict[str, int]:
    """Number of the jets, checksum of their classes, and of all that is read of a sample of them.

    Args:
        file: of the jets.
        num_jets: of the first jets only; none: all.
    """
    jets = file.num_jets if num_jets is None else min(num_jets, file.num_jets)
    classes = sample = 0
    for index in file.classes().values():
        classes = zlib.crc32(index[:jets].tobytes(), classes)
    rows = min(SAMPLE_ROWS, jets)
    for start in np.linspace(0, jets - rows, SAMPLES).astype(int).tolist():
        for values in _read(file, start, start + rows):
            sample = zlib.crc32(values.tobytes(), sample)
    return {"jets": jets, "labels": classes, "inputs": sample}


def _read(file: JetFile, start: int, stop: int) -> Iterator[np.ndarray]:
    """Every field that is read of some rows."""
    schema, records = file.schema, file.read(start, stop)
    tables = {schema.dataset(name): table for name, table in records.objects.items()}
    tables |= {schema.dataset(name): stream.table for name, stream in records.streams.items()}
    tables[schema.jets.dataset] = records.jets
    fields = dict.fromkeys(input_fields(schema))
    for name in file.labels:
        fields |= dict.fromkeys(label_fields(schema, name))
    for dataset, name, _ in fields:
        if name is not None:
            yield tables[dataset][name]
