"""Tensors of a PyTorch checkpoint, without PyTorch and without running anything that is in it.

The file is a zip of one pickle and of the raw numbers of each storage. The unpickler builds arrays
and dictionaries; any other class or function that the pickle names becomes a placeholder, which
does nothing and is an error only where a tensor is needed.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.errors import InputError

MAX_PICKLE = 2**26
# Storage class of PyTorch -> type of its numbers; those of bfloat16 are the upper half of float32.
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


class Placeholder:
    """Stands for something that the pickle names and that is not made.

    Attributes:
        name: what it stands for.
    """

    name = "?"

    def __new__(cls, *args: Any, **kwargs: Any) -> "Placeholder":
        """Takes whatever the pickle gives."""
        del args, kwargs
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        del args, kwargs

    def _ignore(self, *args: Any) -> None:
        del args

    __setstate__ = append = extend = add = __setitem__ = _ignore


class _Storage(NamedTuple):
    kind: str
    numbers: np.ndarray


class _Unpickler(pickle.Unpickler):
    """Builds nothing but plain data, arrays and placeholders."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle stands for."""
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch._utils", "_rebuild_parameter":
                return _parameter
            case "torch", "Size":
                return tuple
            case "torch", _ if name in STORAGES:
                return name
        return type(name, (Placeholder,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> _Storage:
        """The numbers of a storage."""
        _, kind, key, _, number = pid
        if kind not in STORAGES:
            raise ValueError(f"numbers of type {getattr(kind, 'name', kind)} are not read")
        raw = _stored(self._archive, f"{self._root}data/{key}")
        numbers = np.frombuffer(raw, STORAGES[kind])
        if len(numbers) != number:
            raise ValueError(f"storage {key} has {len(numbers)} numbers, not {number}")
        return _Storage(kind, numbers)


def _tensor(storage: _Storage, offset: int, size: tuple, stride: tuple, *rest: Any) -> np.ndarray:
    """An array that owns its numbers."""
    del rest
    counts = [offset, *size, *stride]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    whole = all(isinstance(x, int) and x >= 0 for x in counts)
    number = int(np.prod([*size], dtype=object)) if whole else -1
    if not 0 <= number <= len(storage.numbers) or (number and last >= len(storage.numbers)):
        raise ValueError(f"a tensor of shape {tuple(size)} does not fit its storage")
    if not number:
        return np.zeros(size, storage.numbers.dtype)
    bytes_of_step = [step * storage.numbers.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(storage.numbers[offset:], size, bytes_of_step)
    if storage.kind == "BFloat16Storage":
        return (view.astype(np.uint32) << 16).view(np.float32)
    return view.copy()


def _parameter(data: np.ndarray, *rest: Any) -> np.ndarray:
    del rest
    return data


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return archive.read(name)


def load(path: Path) -> Any:
    """What `torch.save` wrote: plain data, arrays and placeholders.

    Raises:
        InputError: no such file, or not what PyTorch writes, or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [x for x in archive.infolist() if x.filename.endswith("data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE:
                raise ValueError("it has no pickle, or too large a one")
            root = pickles[0].filename.removesuffix("data.pkl")
            if f"{root}byteorder" in archive.namelist():
                order = _stored(archive, f"{root}byteorder")[:20]
                if order != b"little":
                    raise ValueError(f"its byte order is {order!r}")
            with archive.open(pickles[0]) as file:
                return _Unpickler(file, archive, root).load()
    # A damaged pickle raises whatever the objects in it raise.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} is damaged, or no checkpoint of PyTorch: {reason}") from error


def state_of(path: Path) -> dict[str, np.ndarray]:
    """Parameters and buffers of a checkpoint of Salt by their names.

    `_orig_mod.`, which a compiled model puts into them, is left out.

    Raises:
        InputError: as for `load`; or the file holds something else, or a model of Salt 2.
    """
    loaded = load(path)
    state = loaded.get("state_dict") if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise InputError(f"{path} holds no `state_dict`: it is no checkpoint of Salt")
    found = {str(name).replace("_orig_mod.", ""): value for name, value in state.items()}
    for name, value in found.items():
        if not isinstance(value, np.ndarray):
            kind = getattr(value, "name", type(value).__name__)
            raise InputError(f"{path}: `{name}` is a {kind}, not a tensor")
    if not any(name.startswith("model.") for name in found):
        first = next(iter(found))
        two = "a model of Salt 2" if first.startswith("net.") else "another model"
        raise InputError(f"{path} is of {two}, not of Salt: its first parameter is `{first}`")
    return found
