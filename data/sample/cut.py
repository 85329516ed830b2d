"""Cuts the embedded sample out of larger files in the same layout.

python data/sample/cut.py --train ttbar_train.h5 --val ttbar_val.h5 --test ttbar_test.h5

Takes the first rows of each file and only the fields that the shipped configurations read, and
rounds floats to 12 bits of mantissa (a relative step of 1.2e-4, finer than the half precision of
most track fields), so that they compress.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from maskformer_jax.config import DataConfig

JETS = {"train": 30_500, "val": 2_500, "test": 10_500}
MANTISSA_BITS = 12
CHUNK_ROWS = 500


def needed_fields(layout: DataConfig) -> dict[str, list[str]]:
    """Fields of each dataset that a layout reads."""
    jets, tracks, hadrons = layout.jets, layout.tracks, layout.hadrons
    return {
        jets.dataset: [*jets.inputs, jets.label],
        tracks.dataset: [*tracks.inputs, tracks.origin, tracks.link, tracks.valid],
        hadrons.dataset: [*hadrons.targets, hadrons.label, hadrons.link, hadrons.valid],
    }


def rounded(values: np.ndarray) -> np.ndarray:
    """Single-precision values rounded to `MANTISSA_BITS`; other types and NaN as they are."""
    if values.dtype != np.float32:
        return values
    drop = np.uint32(23 - MANTISSA_BITS)
    bits = np.ascontiguousarray(values).view(np.uint32)
    near = (bits + (np.uint32(1) << (drop - np.uint32(1)))) >> drop << drop
    return np.where(np.isfinite(values), near.view(np.float32), values)


def cut(source: Path, target: Path, num_jets: int) -> None:
    """Writes the first `num_jets` rows of `source` to `target`."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name, fields in needed_fields(DataConfig()).items():
            rows = old[name][:num_jets]
            table = np.empty(rows.shape, [(field, rows.dtype[field]) for field in fields])
            for field in fields:
                table[field] = rounded(rows[field])
            dataset = new.create_dataset(
                name,
                data=table,
                chunks=(CHUNK_ROWS, *table.shape[1:]),
                compression="gzip",
                compression_opts=9,
                shuffle=True,
            )
            for key, value in old[name].attrs.items():
                dataset.attrs[key] = value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in JETS:
        parser.add_argument(f"--{name}", type=Path, required=True)
    files = vars(parser.parse_args())
    for name, num_jets in JETS.items():
        cut(files[name], Path(__file__).with_name(f"{name}.h5"), num_jets)


if __name__ == "__main__":
    main()
