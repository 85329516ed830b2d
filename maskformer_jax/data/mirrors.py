"""Mirror images of jets, drawn while they are read: more jets of a kind for nothing."""

from collections.abc import Mapping

import numpy as np

from maskformer_jax.data.h5 import JetFile, Records
from maskformer_jax.data.schema import Schema, Targets
from maskformer_jax.errors import InputError, known
from maskformer_jax.types import JETS


def check_mirrors(file: JetFile) -> None:
    """Raises InputError where a field that changes sign is not in the file, or can't change it."""
    for mirror, places in file.schema.mirrors.items():
        for of, fields in places.items():
            option, dtype = f"data.mirrors.{mirror}.{of}", file.dtype(of)
            for field in fields:
                known(field, dtype.names, f"field of `{file.schema.dataset(of)}` (`{option}`)")
                if dtype[field].kind not in "fi":
                    found = dtype[field]
                    raise InputError(f"`{option}`: `{field}` has no sign; its type is {found}")
                if _transform_of(file.schema, of, field) in ("log", "log1p"):
                    raise InputError(f"`{option}`: `{field}` enters as a logarithm, without a sign")


def _transform_of(schema: Schema, of: str, field: str) -> str:
    """Name of the transform of an input or a target; nothing without one."""
    entry = schema.jets if of == JETS else schema.streams.get(of)
    tables = [entry.transforms] if entry else []
    tables += [
        x.transforms for x in schema.labels.values() if isinstance(x, Targets) and x.of == of
    ]
    return next((table[field].name for table in tables if field in table), "")


def draw_mirrored(
    records: Records,
    mirrors: Mapping[str, Mapping[str, list[str]]],
    generator: np.random.Generator,
) -> Records:
    """Each mirror turns half of the jets round: these fields of theirs change sign.

    Args:
        records: rows of a file, in its units; they are changed in place.
        mirrors: mirror -> jets, stream or objects -> fields.
        generator: draws which jets.
    """
    streams = {name: stream.table for name, stream in records.streams.items()}
    tables = {JETS: records.jets, **streams, **records.objects}
    for places in mirrors.values():
        turned = generator.random(len(records.jets)) < 0.5
        for of, fields in places.items():
            for field in fields:
                tables[of][field][turned] *= -1
    return records
