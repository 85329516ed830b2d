"""Runs of methods on losses over many steps."""

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.weighting import METHODS

TASKS = 4


def history(steps, tasks=TASKS, seed=0):
    """Losses that fall at different rates."""
    generator = np.random.default_rng(seed)
    fall = np.exp(-np.outer(np.arange(steps), np.linspace(0.0, 0.1, tasks)))
    return fall * generator.uniform(0.3, 2.0, (steps, tasks))


def run(name, losses, *, after=None, **options):
    """Weights [steps, K] and the last state, from the identity as task gradients."""
    tasks = losses.shape[1]
    method = METHODS[name](tasks, **options)

    def step(state, given):
        extra = dict(zip(("losses", "losses_after"), given, strict=False))
        return method.update(jnp.eye(tasks), state, **extra)[::-1]

    given = (losses,) if after is None else (losses, after)
    given = [jnp.asarray(x, jnp.float32) for x in given]
    state, weights = jax.lax.scan(step, method.init(None), given)
    return np.asarray(weights), state
