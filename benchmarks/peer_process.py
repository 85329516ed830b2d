"""A second Python, with PyTorch and TorchJD, that answers requests of `benchmarks/peers.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskformer_jax.errors import InputError

INSTALL = "pip install -r requirements-peers.txt, or name a Python that has them: --peer_python"


@contextmanager
def peer(python: str | None) -> Iterator[Callable[..., Any]]:
    """`ask(request, value, **more)` for as long as the second Python runs; both on two cores.

    Args:
        python: interpreter; none: this one.

    Raises:
        InputError: it has no torchjd.
    """
    python = python or sys.executable
    command = [python, "-c", "import quadprog, torch, torchjd"]
    try:
        complete = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        complete = False
    if not complete:
        raise InputError(f"`--peers`: {python} can't import torch and torchjd; {INSTALL}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    process = subprocess.Popen(
        [python, "-m", "benchmarks.peers"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def ask(request: str, value: object, **more: object) -> Any:
        print(json.dumps({request: value, **more}), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise InputError(f"`--peers`: {python} ended with code {process.wait()}")
        return json.loads(answer)

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait(timeout=60)
