"""A second Python, with PyTorch, that answers requests of a benchmark's other half."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.turns import bind
from maskformer_jax.errors import InputError

INSTALL = "make a Python that can with benchmarks/peers.sh, and name it: --peer_python"


@contextmanager
def peer(
    python: str | None,
    half: str = "peers",
    *,
    needs: str = "quadprog, torch, torchjd",
    cores: int = 2,
) -> Iterator[Callable[..., Any]]:
    """`ask(request, value, **more)` for as long as the second Python runs; both on the same cores.

    Args:
        python: interpreter; none: this one.
        half: the file of `benchmarks/` that it runs.
        needs: packages that it must have.
        cores: how many the two of them share.

    Raises:
        InputError: it can't import a package, or ended.
    """
    python = python or sys.executable
    if os.sep in python:
        python = os.path.abspath(python)
    try:
        check = subprocess.run([python, "-c", f"import {needs}"], capture_output=True)
        complete = check.returncode == 0
    except OSError:
        complete = False
    if not complete:
        raise InputError(f"`--peers`: {python} can't import {needs}; {INSTALL}")
    bind(cores)
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [python, "-m", f"benchmarks.{half}"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):

        def ask(request: str, value: object, **more: object) -> Any:
            with suppress(BrokenPipeError):
                print(json.dumps({request: value, **more}), file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                code = process.wait()
                errors.seek(0)
                reason = errors.read().strip().splitlines() or ["no message"]
                raise InputError(f"`--peers`: {python} ended with code {code}: {reason[-1]}")
            return json.loads(answer)

        try:
            yield ask
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
