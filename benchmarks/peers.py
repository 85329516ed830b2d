"""TorchJD's half of `python benchmark.py aggregators --peers`, which needs torch and torchjd."""

import runpy
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.serving import serve

# What the tests hold our methods to.
METHODS = Path(__file__).parents[1] / "tests" / "weighting" / "torchjd" / "methods.py"
KNOWN = runpy.run_path(str(METHODS))
Sample, peers = KNOWN["Sample"], KNOWN["peers"]


class TorchJD:
    """Its methods on one sample; the process of `peer_process.peer`."""

    def load(self, folder: str) -> None:
        """Reads the arrays of a `Sample`."""
        arrays = (np.load(f"{folder}/{name}.npy", mmap_mode="c") for name in Sample._fields)
        self._sample, self._steps = Sample(*map(torch.from_numpy, arrays)), {}

    def make(self, label: str) -> bool:
        """Makes the step of a method; whether there is one."""
        makers = peers(len(self._sample.losses), exact=False, dtype=self._sample.grads.dtype)
        if label in makers:
            self._steps[label] = makers[label]()
        return label in makers

    def run(self, label: str) -> float:
        """Seconds of a step."""
        begin = time.perf_counter()
        self._steps[label](self._sample)
        return time.perf_counter() - begin


if __name__ == "__main__":
    serve(TorchJD())
