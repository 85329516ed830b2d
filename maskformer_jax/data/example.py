"""A batch of padding, for tracing a network without a file."""

from typing import Any

import numpy as np

from maskformer_jax.data.config import LabelConfig, ObjectsConfig
from maskformer_jax.data.packing import padded
from maskformer_jax.data.schema import Label, Schema
from maskformer_jax.types import Batch, Labels, ObjectLabels, Pairs, Stream


def example(schema: Schema, batch_size: int = 1) -> tuple[Batch, Labels]:
    """Inputs and labels of so many jets that are not valid, in rows of the caps."""
    widths = {name: stream.cap for name, stream in schema.streams.items()}
    pairs = padded(batch_size, widths, pairs=schema.pairs).pairs
    batch = Batch(
        jets=np.zeros((batch_size, len(schema.jets.inputs)), np.float32),
        jet_valid=np.zeros(batch_size, bool),
        streams={
            name: Stream(
                np.zeros((batch_size, stream.cap, len(stream.inputs)), np.float32),
                np.zeros((batch_size, stream.cap), bool),
            )
            for name, stream in schema.streams.items()
        },
        pairs={
            name: Pairs(
                *(np.zeros((batch_size, number), np.int32) for _ in range(2)),
                np.zeros((batch_size, number), bool),
            )
            for name, number in pairs.items()
        },
    )
    labels = {name: _label(label, schema, batch_size) for name, label in schema.labels.items()}
    return batch, labels


def _label(label: Label, schema: Schema, batch_size: int) -> Any:
    if isinstance(label, ObjectsConfig):
        shape = (batch_size, label.cap)
        masks = (*shape, schema.streams[label.of].cap)
        return ObjectLabels(np.zeros(shape, bool), np.zeros(masks, bool))
    shape = (batch_size, *_width(label.of, schema))
    if isinstance(label, LabelConfig):
        return np.zeros(shape, np.int32)
    return np.zeros((*shape, len(label.transforms)), np.float32)


def _width(of: str, schema: Schema) -> tuple[int, ...]:
    places = {**schema.streams, **schema.objects}
    return (places[of].cap,) if of in places else ()
