"""No two methods are the same one under two names."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from method_rows import ROWS, arguments
from rows import K
from test_laws import conflicting

from maskformer_jax.weighting import METHODS

STEPS, HISTORIES = 3, 3
# Weights that move slowly from ones, or from 1/L, are told to be fast.
FASTER = {
    "uw": {"optimiser": optax.adam(0.1)},
    "imtl_l": {"optimiser": optax.adam(0.1)},
    "famo": {"learning_rate": 0.5},
    "gradnorm": {"learning_rate": 0.1},
    "excess_mtl": {"step_size": 1.0},
}
SAME = {
    ("nash_mtl", "fairgrad"): "with alpha = 1 they differ by the clip, a factor of the update",
}


def last_direction(row, grads, second):
    """The update of the last step, with length 1."""
    method = METHODS[row.name](K, **{**row.options(K), **FASTER.get(row.name, {})})
    given = [arguments(row, seed=step, second=second[step]) for step in range(STEPS)]

    def step(state, given):
        update, state = method.update(given[0], state, **given[1])
        return state, update

    extra = jax.tree.map(lambda *x: jnp.stack(x), *given)
    _, updates = jax.lax.scan(step, method.init(grads[0, 0]), (grads, extra))
    return updates[-1] / jnp.linalg.norm(updates[-1])


def test_every_two_methods_differ_on_conflicting_gradients():
    # Compiled quickly: hardly anything is run.
    @jax.jit(compiler_options={"xla_backend_optimization_level": 0})
    def directions(grads, second):
        return jnp.stack([last_direction(row, grads, second) for row in ROWS])

    cosines = []
    for history in range(HISTORIES):
        seeds = range(history * STEPS, (history + 1) * STEPS)
        grads = jnp.stack([conflicting(seed, size=4) for seed in seeds])
        second = jnp.stack([conflicting(seed + 100, size=4) for seed in seeds])
        found = np.asarray(directions(grads, second), np.float64)
        cosines.append(found @ found.T)
    cosines = np.min(cosines, axis=0)
    same = {
        (ROWS[i].name, ROWS[j].name)
        for i, j in combinations(range(len(ROWS)), 2)
        if cosines[i, j] > 1 - 1e-4
    }
    assert same == set(SAME)
