"""Files -> batches: reading, labels, scaling, order."""

from maskformer_jax.data.batches import assemble
from maskformer_jax.data.example import example
from maskformer_jax.data.fingerprint import fingerprint
from maskformer_jax.data.fitting import fit_scaling
from maskformer_jax.data.h5 import JetFile, Records, StreamRecords
from maskformer_jax.data.loader import TrainLoader, block_rows, read_sequential
from maskformer_jax.data.packing import Layout, padded, plan_layout
from maskformer_jax.data.salt import load_class_weights
from maskformer_jax.data.samples import Samples, convert
from maskformer_jax.data.scaling import FILE_NAME as NORMALISATION_FILE
from maskformer_jax.data.scaling import TRANSFORMS, Scaling
from maskformer_jax.data.summary import check_values, empty_classes, summarise

__all__ = [
    "NORMALISATION_FILE",
    "TRANSFORMS",
    "JetFile",
    "Layout",
    "Records",
    "Samples",
    "Scaling",
    "StreamRecords",
    "TrainLoader",
    "assemble",
    "block_rows",
    "check_values",
    "convert",
    "empty_classes",
    "example",
    "fingerprint",
    "fit_scaling",
    "load_class_weights",
    "padded",
    "plan_layout",
    "read_sequential",
    "summarise",
]
