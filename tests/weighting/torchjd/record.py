"""Records the updates of TorchJD 0.18 on fixed matrices, for `test_torchjd.py`.

    pip install -r requirements-peers.txt
    PYTHONPATH=. python tests/weighting/torchjd/record.py

TorchJD computes in float64 on gradients that are float32 numbers. Each case is a sequence of steps,
so that methods with a state show it. Updates that are not finite, and those where TorchJD's own
solver or definition is known to be off, are NaN in the file, and counted.
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from methods import Sample, Step, peers

from benchmarks.settings import options

FILE = Path(__file__).with_name("torchjd_0_18.npz")
TASKS, SIZE, STEPS = (2, 3, 4, 6, 10), 12, 3
FEWEST = {"krum": 4, "krum:2": 4, "trimmed_mean": 3}


def matrices(generator: np.random.Generator, num_tasks: int) -> dict[str, np.ndarray]:
    """Kind -> task gradients [K, P]."""
    noise = generator.normal(size=(num_tasks, SIZE))
    common = np.ones(SIZE) / np.sqrt(SIZE)
    across = noise - np.outer(noise @ common, common)
    lengths = np.logspace(-2, 2, num_tasks)[:, None]
    kinds = {
        "random": noise,
        "conflicting": generator.uniform(0.1, 3, (num_tasks, 1)) * (0.3 * common + across),
        "collinear": 3 * common + 0.1 * noise,
        "lengths": lengths * generator.normal(size=(num_tasks, SIZE)),
    }
    if num_tasks == 2:
        kinds["documented"] = np.zeros((2, SIZE))
        kinds["documented"][:, :3] = [[-4, 1, 1], [6, 1, 1]]
    assert all(np.trace(kind @ kind.T) > 1e-3 for kind in kinds.values())
    return kinds


def samples(num_tasks: int) -> Sample:
    """Arrays `[cases, steps, ...]` in float32."""
    generator = np.random.default_rng(num_tasks)
    grads, seconds = (
        np.stack(
            [np.stack(list(matrices(generator, num_tasks).values())) for _ in range(STEPS)], axis=1
        )
        for _ in range(2)
    )
    losses = generator.uniform(0.1, 3.0, grads.shape[:3])
    after = losses * generator.uniform(0.8, 1.05, losses.shape)
    return Sample(*(x.astype(np.float32) for x in (grads, seconds, losses, after)))


def trusted(label: str, grads: np.ndarray, update: np.ndarray) -> bool:
    """Whether TorchJD computed what the method is."""
    if not np.isfinite(update).all():
        return False
    num_tasks = len(grads)
    if label.startswith("fairgrad"):
        # Its least-squares solver may stop early: w > 0, M w = w^(-1/alpha).
        alpha = options(label, num_tasks).get("alpha", 1.0)
        weights = np.linalg.lstsq(grads.T, update)[0]
        if (weights <= 0).any():
            return False
        return bool(np.abs(grads @ update * weights ** (1 / alpha) - 1).max() < 1e-4)
    if label == "mgda":
        # Frank-Wolfe ends after its 20,000 iterations; the square of the error is below this gap.
        gap = update @ update - (grads @ update).min()
        return bool(gap < 1e-6 * update @ update)
    if label.startswith("krum"):
        # It adds distances; the paper, and we, their squares.
        squares = ((grads[:, None] - grads[None]) ** 2).sum(-1)
        scores = np.sort(squares, axis=1)[:, 1 : num_tasks - 2].sum(1)
        chosen = np.argsort(scores)[: options(label, num_tasks).get("n_selected", 1)]
        return np.allclose(update, grads[chosen].mean(0), rtol=1e-6)
    return True


def run(label: str, step: Step, case: Sample) -> np.ndarray:
    """Updates `[steps, P]` of one case, NaN from the first that can't be trusted."""
    updates = np.full((STEPS, SIZE), np.nan)
    for number in range(STEPS):
        given = Sample(*(torch.from_numpy(x[number]).double() for x in case))
        update = step(given).detach().numpy()
        if trusted(label, given.grads.numpy(), update):
            updates[number] = update
    return updates


def is_random(label: str, num_tasks: int) -> bool:
    """Whether two runs differ: a draw of weights or signs, or of the order of three tasks."""
    drawn = label in ("rlw", "random", "graddrop")
    return drawn or (label in ("pcgrad", "gradvac") and num_tasks > 2)


def main() -> None:
    """Writes the file, and prints what was left out."""
    arrays, left_out = {}, {}
    for num_tasks in TASKS:
        inputs = samples(num_tasks)
        for field, array in inputs._asdict().items():
            arrays[f"{num_tasks}/{field}"] = array
        for label, make in peers(num_tasks).items():
            known = is_random(label, num_tasks) or label == "nash_mtl"
            if known or num_tasks < FEWEST.get(label, 1):
                continue
            cases = [Sample(*(x[case] for x in inputs)) for case in range(len(inputs.grads))]
            found = np.stack([run(label, make(), case) for case in cases])
            arrays[f"{num_tasks}/{label}"] = found.astype(np.float32)
            missing = int(np.isnan(found).any(-1).sum())
            if missing:
                left_out[f"{num_tasks}/{label}"] = f"{missing} of {found[..., 0].size}"
    about = {
        "versions": {name: version(name) for name in ("torch", "torchjd", "numpy", "quadprog")},
        "python": platform.python_version(),
        "settings": "tests/weighting/torchjd/methods.py, exact; float64",
        "kinds": list(matrices(np.random.default_rng(0), 2)),
        "left_out": left_out,
    }
    np.savez_compressed(FILE, about=json.dumps(about), **arrays)
    print(json.dumps(about, indent=1), f"{FILE}: {FILE.stat().st_size / 1e3:.0f} kB", sep="\n")


if __name__ == "__main__":
    main()
