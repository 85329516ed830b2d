"""Every method that TorchJD 0.18 has too gives TorchJD's update.

`torchjd/record.py` wrote down TorchJD's updates, on sequences of steps for K = 2 to 10; methods
that draw at random are compared where the draw does not matter (two tasks). Both sides compute in
float64, so that the methods are compared and not their rounding.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.settings import OPTIONS, options
from maskformer_jax.weighting import METHODS

RECORD = np.load(Path(__file__).parent / "torchjd" / "torchjd_0_18.npz")
ABOUT = json.loads(str(RECORD["about"]))
FIELDS = ("grads", "grads_2", "losses", "losses_after")
# Of the recorded numbers of tasks: closed forms, the fewest that Krum takes, and the most.
TASKS = ("2", "4", "10")
PAIRS = [key.split("/") for key in RECORD.files if key.split("/")[0] in TASKS]
PAIRS = [pair for pair in PAIRS if pair[1] not in FIELDS]

# Largest difference, relative to the length of TorchJD's update, which is written in float32; and
# where TorchJD's solver stops.
USUAL = 1e-6
LOOSE = {"cagrad": 6e-4}


def method(label):
    """Name of the method without its variant."""
    return label.split(":")[0]


def steps(label, num_tasks):
    """Our updates `[cases, steps, P]` of the recorded sequences."""
    transformation = METHODS[method(label)](num_tasks, **options(label, num_tasks))

    def step(state, given):
        grads, seconds, losses, after = given
        known = {"losses_after": after, "task_grads_2": seconds}
        extra = {name: known[name] for name in METHODS[method(label)].needs}
        update, state = transformation.update(grads, state, grads[0], losses=losses, **extra)
        return state, update

    def sequence(*given):
        return jax.lax.scan(step, transformation.init(given[0][0, 0]), given)[1]

    inputs = [RECORD[f"{num_tasks}/{field}"] for field in FIELDS]
    # The losses after a step are known at the next one.
    inputs[3] = np.roll(inputs[3], 1, axis=1)
    with jax.enable_x64(True):
        return jax.jit(jax.vmap(sequence))(*(jnp.asarray(x, jnp.float64) for x in inputs))


def difference(found, expected):
    """Largest difference of the updates that were recorded, relative to their lengths."""
    kept = np.isfinite(expected).all(-1)
    assert kept.sum() >= 3
    found, expected = np.asarray(found)[kept], expected[kept]
    return (np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max()


def test_record_is_of_the_version_that_it_says():
    assert ABOUT["versions"]["torchjd"] == "0.18.0"
    assert {method(label) for label in (*(label for _, label in PAIRS), *OPTIONS)} <= set(METHODS)


@pytest.mark.parametrize(("num_tasks", "label"), PAIRS, ids=lambda x: x)
def test_update_is_that_of_torchjd(num_tasks, label):
    found = steps(label, int(num_tasks))
    expected = RECORD[f"{num_tasks}/{label}"]
    assert difference(found, expected) < LOOSE.get(method(label), USUAL)
