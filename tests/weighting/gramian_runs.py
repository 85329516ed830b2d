"""Task gradients, and the weights that methods make of their Gramian."""

from ast import literal_eval
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.weighting import METHODS


def gradients(num_tasks, seed=0, size=7, rank=None):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(num_tasks, rank or size))
    rows = rows @ np.linalg.qr(generator.normal(size=(size, rank or size)))[0].T
    return generator.uniform(0.1, 3, (num_tasks, 1)) * rows


@cache
def method_of(name, num_tasks, options):
    """The method's first state and its weights, compiled once."""
    method = METHODS[name](num_tasks, **literal_eval(options))
    return method.init(jnp.zeros(1)).method, jax.jit(method.weights)


def weights_of(name, grads, state=None, **options):
    """Weights of the method on the Gramian, in the type of the gradients, and its state."""
    first, weights = method_of(name, len(grads), repr(options))
    return weights(jnp.asarray(grads) @ jnp.asarray(grads).T, first if state is None else state)
