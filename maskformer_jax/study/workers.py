"""Several processes at work on one study, each with CPU cores or an accelerator of its own."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

from maskformer_jax.program import Stopped, leave_at_signals, stopped_by_signals
from maskformer_jax.progress import bar
from maskformer_jax.study import progress
from maskformer_jax.study.plan import Run
from maskformer_jax.study.run import Outcome, Todo, make

SECONDS_BETWEEN_LOOKS = 2.0


class Place(NamedTuple):
    """Where a worker computes.

    Attributes:
        name: of its log.
        cores: of the CPU that it may use.
        device: of CUDA that it may use; empty: what the environment says.
    """

    name: str
    cores: list[int]
    device: str = ""


def places(workers: int, devices: Sequence[str] = ()) -> list[Place]:
    """One place per device, or shares of the CPU cores for a number of workers.

    Where there are more workers than cores, all workers use all cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    if devices:
        return [Place(f"device_{device}", cores, device) for device in devices]
    shares = [cores[n::workers] if workers <= len(cores) else cores for n in range(workers)]
    return [Place(f"worker_{n}", share) for n, share in enumerate(shares)]


def make_in_parallel(
    runs: Sequence[Run], todo: Todo, chosen: Sequence[Place], logs: Path
) -> Outcome:
    """As `run.make`, by a process in each place, which print into files of a folder.

    Ctrl-C and SIGTERM stop all of them, and so does the death of this process: each saves first.
    """
    logs.mkdir(parents=True, exist_ok=True)
    print(f"{len(chosen)} processes; what they print is in {logs}", flush=True)
    context = multiprocessing.get_context("spawn")
    results, stopped = context.SimpleQueue(), 0
    processes = [
        context.Process(target=_work, args=(runs, todo, place, logs / f"{place.name}.txt", results))
        for place in chosen
    ]
    for process in processes:
        process.start()
    try:
        with stopped_by_signals():
            _watch(runs, processes)
    except Stopped as stop:
        stopped = stop.number
        for process in processes:
            process.terminate()
    for process in processes:
        process.join()
    failed = {
        x.name: f"ended with exit code {x.exitcode}"
        for x in processes
        if x.exitcode and not stopped
    }
    elsewhere: list[str] = []
    while not results.empty():
        outcome = results.get()
        failed |= outcome.failed
        elsewhere += outcome.elsewhere
        stopped = stopped or outcome.signal
    return Outcome(failed, elsewhere, stopped)


def _work(runs: Sequence[Run], todo: Todo, place: Place, log: Path, results: SimpleQueue) -> None:
    """What a worker does, before it knows of any device."""
    leave_at_signals()
    os.setpgrp()  # Ctrl-C is for the parent, which passes it on once.
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.sched_setaffinity(0, place.cores)
    if place.device:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.device
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    results.put(make(runs, todo))


def _stop_with_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def _watch(runs: Sequence[Run], processes: Sequence[BaseProcess]) -> None:
    """Shows the steps of all runs until every process has ended."""
    with bar(1, "steps") as shown:
        while any(process.is_alive() for process in processes):
            for process in processes:
                process.join(SECONDS_BETWEEN_LOOKS / len(processes))
            states = [progress.read_progress(run, {}) for run in runs]
            shown.n = sum(state.step for state in states)
            shown.total = shown.n + sum(progress.steps_left(states))
            trained = sum(state.trained for state in states)
            shown.set_postfix_str(f"{trained}/{len(runs)} runs trained")
