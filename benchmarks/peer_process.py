"""A second Python, with PyTorch, that answers the requests of a comparison."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.turns import bind
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError, check

INSTALL = "make a Python that can with benchmarks/peers.sh, and name it: --peer_python"
# The file of `benchmarks/` that the second Python runs -> packages that it must have.
HALVES = {
    "peers": "quadprog, torch, torchjd",
    "salt_process": "salt, torchjd, pandas",
    "salt_onnx": "salt, torchjd, onnx, pandas",
}
# Kind of a task -> the network of Salt that has it.
NETWORKS = {"objects": "MaskFormer", "edges": "GN2"}

# `ask(request, argument, ...)` is answered by the method of that name.
Ask = Callable[..., Any]


class FailedError(InputError):
    """The other half can't do what it was asked for; it goes on."""


@contextmanager
def peer(python: str | None, half: str, cores: int = 2) -> Iterator[Ask]:
    """The other half of a comparison, for as long as it is needed, on the same cores as this one.

    Args:
        python: interpreter; none: this one.
        half: one of `HALVES`.
        cores: how many the two of them share.

    Raises:
        FailedError: a request failed.
        InputError: it can't import a package, or ended.
    """
    python, needs = python or sys.executable, HALVES[half]
    path = os.path.abspath(shutil.which(python) or python)
    command = [path, "-c", f"import {needs}"]
    if not Path(path).exists() or subprocess.run(command, capture_output=True).returncode:
        raise InputError(f"`--peers`: {python} can't import {needs}; {INSTALL}")
    bind(cores)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [path, "-m", f"benchmarks.{half}"],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": str(cores)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as running,
    ):

        def ask(*request: object) -> Any:
            with suppress(BrokenPipeError):
                print(json.dumps(request), file=running.stdin, flush=True)
            answer = running.stdout.readline()
            if not answer:
                code = running.wait()
                errors.seek(0)
                reason = errors.read().strip().splitlines() or ["no message"]
                raise InputError(f"{half}: {python} ended with code {code}: {reason[-1]}")
            found = json.loads(answer)
            if isinstance(found, dict) and "failed" in found:
                what = " ".join(x for x in request if isinstance(x, str))
                raise FailedError(f"{half}: {what}: {found['failed']}")
            return found

        try:
            yield ask
        finally:
            with suppress(BrokenPipeError):
                running.stdin.close()


def salt_settings(config: Config) -> dict[str, Any]:
    """What Salt is told, so that it reads and trains what we do.

    Args:
        config: of a MaskFormer or GN2, with its training file and Salt's names of datasets.

    Raises:
        InputError: the model is another one.
    """
    data, kinds = config.data, [options.kind for options in config.tasks.values()]
    networks = [network for kind, network in NETWORKS.items() if kind in kinds]
    fits = len(networks) == 1 and list(data.streams) == ["tracks"]
    check(fits, "--model", "be a MaskFormer or GN2 on tracks, as Salt has them", config.name)
    jets = [x for x in data.labels.values() if x.of == "jets" and x.classes]
    return {
        "network": networks[0],
        "file": str(Path(data.train_file).resolve()),
        "num_jets": data.train_jets or -1,
        "batch_size": config.training.batch_size,
        "embed_dim": config.model.embed_dim,
        "jets": data.jets.inputs,
        "tracks": data.streams["tracks"].inputs,
        "jet_classes": list(jets[0].classes),
    }
