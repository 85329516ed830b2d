"""Memory of a long training with many checkpoints and validations: it must not grow with them."""

import gc
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp

from campaign.processes import LIMIT, ROOT, case, start
from campaign.trial import Trial
from maskformer_jax.training.checkpoint import Checkpoints, Progress
from maskformer_jax.training.state import TrainState

KIND = "memory of a long training"
FULL, SHORT = 2, 1
# Steps, steps between two checkpoints, and what each of them may cost at most [MB].
STEPS, EVERY, MOST = 20_000, 100, 0.1
JETS, BATCH = 1000, 10
# Saves before objects are counted, and after that.
FIRST, COUNTED = 2, 4
# What is filled once is not counted: the first part of the steps.
FILLED = 0.3


def trials(number: int, seed: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """See `campaign.trial`; nothing is drawn."""
    del seed
    for index, trial in list(enumerate((_objects, _training)))[first:number]:
        place = folder / f"memory_{index}"
        place.mkdir()
        yield trial(place)
        shutil.rmtree(place)


class _Position:
    """Stands in for a loader."""

    def get_state(self) -> dict[str, int]:
        """Says nothing new."""
        return {"next_index": 0}


def _objects(place: Path) -> Trial:
    """What Python keeps of checkpoints that are gone."""
    checkpoints, counts = Checkpoints(place, 1), []
    array = jnp.ones(5)
    for step in range(1, FIRST + COUNTED + 1):
        state = TrainState(jnp.int32(step), {"a": array}, array, array, array, jnp.ones((), bool))
        checkpoints.save(state, _Position(), Progress(0.5, step), is_best=True)
        checkpoints._last.wait_until_finished()
        checkpoints._best.wait_until_finished()
        gc.collect()
        counts.append(len(gc.get_objects()))
    checkpoints.close()
    kept = counts[-1] - counts[FIRST - 1]
    return Trial(f"{COUNTED} checkpoints", kept < COUNTED, f"{kept} objects are kept of them")


def _training(place: Path) -> Trial:
    """Memory of a whole process; some thousand steps fill what is filled once."""
    steps, every, most = STEPS, EVERY, MOST
    options = {
        "data.train_file": ROOT / "data" / "sample" / "train.h5",
        "data.train_jets": JETS,
        "training.epochs": steps * BATCH // JETS,
        "training.checkpoint_every": every,
        "training.log_every": every,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    process = start([*case().words("train", place), *words])
    found = _watch(process, place / "run" / "metrics.jsonl")
    _, errors = process.communicate(timeout=LIMIT)
    begin = next((row for row in found if row[0] >= FILLED * steps), None)
    if process.returncode or begin is None:
        return Trial(f"{steps} steps", False, f"{process.returncode}; {errors}; {found}")
    end = found[-1]
    checkpoints = (end[0] - begin[0]) / every
    grown = (end[1] - begin[1]) / max(checkpoints, 1)
    note = f"{begin[1]:.0f} MB after {begin[0]} steps, {end[1]:.0f} MB after {end[0]}: "
    note += f"{grown:.3f} MB for each of {checkpoints:.0f} checkpoints, {most} allowed"
    return Trial(f"{steps} steps", grown <= most and checkpoints > 5 and not errors, note)


def _watch(process: subprocess.Popen, log: Path) -> list[tuple[int, float]]:
    """The last step that is logged and the resident memory [MB], several times a second."""
    found = []
    while process.poll() is None:
        time.sleep(0.2)
        lines = log.read_text().splitlines() if log.exists() else []
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        sizes = [line.split()[1] for line in status if line.startswith("VmRSS")]
        if lines and sizes:
            found.append((json.loads(lines[-1])["step"], int(sizes[0]) / 1000))
    return found
