"""A training in a process of its own: how long its first step takes, and the next ones.

`python -m benchmarks.fresh STEPS OPTION...` prints the seconds as JSON; the options are those of
train.py. `measure` starts it with a folder of compiled programs and a number of devices.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks.made import Made
from maskformer_jax import config as configuration
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.training.compilation import use_cache


class Started(NamedTuple):
    """Seconds of a training's start.

    Attributes:
        trace: from Python to the program that is compiled.
        compilation: of that program, or its way from the cache.
        steps: of every step after that.
        jets: of the batch, which is always the same one.
    """

    trace: float
    compilation: float
    steps: list[float]
    jets: int


def start(config: Config, steps: int) -> Started:
    """Traces, compiles and runs the step on the first batch."""
    made = Made(config)
    trainer, batch = made.trainer, made.batch()
    mesh = jax.make_mesh((config.training.devices,), ("data",), axis_types=(AxisType.Auto,))
    state = jax.device_put(trainer.state, NamedSharding(mesh, PartitionSpec()))
    placed = jax.device_put(batch, NamedSharding(mesh, PartitionSpec(None, "data")))
    begin = time.perf_counter()
    lowered = trainer.step.lower(state, *placed)
    traced = time.perf_counter()
    step = lowered.compile()
    compiled, seconds = time.perf_counter(), []
    for _ in range(steps):
        before = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, *placed))
        seconds.append(time.perf_counter() - before)
    return Started(traced - begin, compiled - traced, seconds, int(batch[0].jet_valid.sum()))


def measure(options: Sequence[str], steps: int, *, cache: str, devices: int = 1) -> Started:
    """The same in a process of its own.

    Args:
        options: of train.py.
        steps: to make.
        cache: folder of compiled programs.
        devices: forced devices of the host, which share each batch.

    Raises:
        InputError: it failed.
    """
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": cache}
    command = [sys.executable, "-m", "benchmarks.fresh", str(steps), *options]
    command.append(f"--training.devices={devices}")
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    if found.returncode:
        last = found.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InputError(f"a training in its own process ended: {last[0]}")
    return Started(**json.loads(found.stdout.splitlines()[-1]))


if __name__ == "__main__":
    use_cache()
    print(json.dumps(start(configuration.load(sys.argv[2:]), int(sys.argv[1]))._asdict()))
