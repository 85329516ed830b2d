"""StableHLO: the network as a program for any platform of XLA, through `jax.export`."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import export

from maskformer_jax.export.function import Exported

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(exported: Exported) -> bytes:
    """The function for all platforms, as `jax.export.deserialize` reads it.

    Its arguments and results are the inputs and outputs of the function in their order, one after
    the other; lengths stay free.
    """
    specs = exported.specs(least=0).values()
    return bytes(export.export(_flat(exported), platforms=PLATFORMS)(*specs).serialize())


def _flat(exported: Exported) -> Any:
    return jax.jit(lambda *arrays: exported(*arrays))


def runner(program: bytes, exported: Exported, names: Mapping[str, str]) -> Any:
    """A function that runs a program on this machine: arrays by input -> arrays by output."""
    call = jax.jit(export.deserialize(bytearray(program)).call)

    def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = call(*(arrays[x.name] for x in exported.inputs))
        return {names[x.name]: np.asarray(y) for x, y in zip(exported.outputs, found, strict=True)}

    return run
