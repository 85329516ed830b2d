"""Reference values of a tiny training, as plain NumPy arrays; README.md says what they are."""

import json
import math
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent
SAMPLE = HERE.parents[1] / "data" / "sample"
JETS = {"train": 70, "val": 30}
CHUNK = 10


def facts() -> dict:
    """What `golden.json` holds: configuration, runs, scaling, checksums, losses, noise."""
    return json.loads((HERE / "golden.json").read_text())


def write_sample(folder: Path) -> None:
    """Writes `train.h5` and `val.h5`: the first jets of the embedded sample."""
    for name, jets in JETS.items():
        with h5py.File(SAMPLE / f"{name}.h5") as old, h5py.File(folder / f"{name}.h5", "w") as new:
            for dataset in old:
                rows = old[dataset][:jets]
                new.create_dataset(dataset, data=rows, chunks=(CHUNK, *rows.shape[1:]))


def batch(layout: str) -> dict[str, np.ndarray]:
    """The first training batch by leaf name, `packed` or `padded`, without the axis of parts."""
    start = f"{layout}/"
    arrays = _load("batches.npz")
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def parameters(pool_queries: bool = False) -> dict[str, np.ndarray]:
    """Initial parameters, 'path/with/slashes' -> float32 array.

    With `pool_queries` those that this option adds or widens are replaced.
    """
    found = _unpacked("parameters")
    return found | _unpacked("pool_queries") if pool_queries else found


def gradients() -> dict[str, np.ndarray]:
    """Gradient of each loss on the first batch, path -> `[K, ...]` in the order of `tasks`.

    The packed and the padded batch hold the same jets and share these values.
    """
    return _unpacked("gradients")


def log(run: str) -> list[dict[str, float]]:
    """Lines of a run's log, 20 steps and the validations between them, without the pace."""
    arrays = _load("logs.npz")
    steps, validations = arrays[f"{run}/steps"], arrays[f"{run}/validations"]
    keys = [*noise(run)]
    of_steps = [key for key in keys if not key.startswith("val/")]
    of_validations = keys[len(of_steps) :]
    per_epoch = len(steps) // len(validations)
    lines = []
    for number, values in enumerate(steps, 1):
        lines.append({"step": number, **_line(of_steps, values)})
        if number % per_epoch == 0:
            epoch, values = number // per_epoch, validations[number // per_epoch - 1]
            lines.append({"step": number, "epoch": epoch, **_line(of_validations, values)})
    return lines


def noise(run: str) -> dict[str, float]:
    """How far each key of a log moves where the rows of each batch are permuted.

    The largest difference in any line, over the largest absolute value of that key in any line.
    """
    return facts()["runs"][run]["noise"]


def difference(lines: list[dict[str, float]], expected: list[dict[str, float]]) -> dict[str, float]:
    """The same measure for two logs; an error where lines or keys differ."""
    assert [list(line) for line in lines] == [list(line) for line in expected]
    moved, size = {}, {}
    for line, other in zip(lines, expected, strict=True):
        for key in line.keys() - {"step", "epoch"}:
            # The files hold float32; what could not be counted is NaN in both.
            a, b = np.float32(line[key]), np.float32(other[key])
            apart = 0.0 if np.array_equal(a, b, equal_nan=True) else abs(float(a) - float(b))
            moved[key] = max(moved.get(key, 0.0), math.inf if math.isnan(apart) else apart)
            size[key] = max(size.get(key, 0.0), float(np.nan_to_num(abs(b))))
    return {key: moved[key] / size[key] if size[key] else moved[key] for key in sorted(moved)}


def checksums(leaves: dict[str, np.ndarray]) -> dict[str, list]:
    """Leaf name -> [dtype, shape, first 16 digits of the SHA-256 of its bytes]."""
    return {
        name: [str(x.dtype), list(x.shape), sha256(np.ascontiguousarray(x)).hexdigest()[:16]]
        for name, x in leaves.items()
    }


def _line(keys: list[str], values: np.ndarray) -> dict[str, float]:
    return {key: float(value) for key, value in zip(keys, values, strict=True)}


def _load(file: str) -> dict[str, np.ndarray]:
    with np.load(HERE / file) as arrays:
        return dict(arrays)


def packed(leaves: dict[str, np.ndarray], axis: int = 0) -> tuple[dict[str, list], np.ndarray]:
    """Shape of each leaf from `axis` on, and all leaves in one array, last axis; few large entries
    make a smaller file than many small ones."""
    shapes = {name: list(x.shape[axis:]) for name, x in leaves.items()}
    return shapes, np.concatenate([x.reshape(*x.shape[:axis], -1) for x in leaves.values()], axis)


def _unpacked(name: str) -> dict[str, np.ndarray]:
    values, found, start = _load("network.npz")[name], {}, 0
    shapes = facts()["shapes"]["parameters" if name == "gradients" else name]
    for path, shape in shapes.items():
        stop = start + math.prod(shape)
        found[path] = values[..., start:stop].reshape(*values.shape[:-1], *shape)
        start = stop
    return found
