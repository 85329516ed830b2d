"""What a row of the table of methods holds, and the gradients that methods are tried on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

K = 4


class Row(NamedTuple):
    """A method as it is tested.

    Attributes:
        name: its key in `METHODS`.
        family: what it needs.
        options: options for K tasks; a list of K values belongs to the tasks.
        wrong: options that are refused, with a part of the message.
        alone: weight of a single task, or a function of the length of its gradient.
        fewest: smallest number of tasks.
        laws: what it claims; `test_laws.py` has a test for each word.
    """

    name: str
    family: str
    options: Callable[[int], dict[str, Any]] = lambda k: {}
    wrong: tuple[tuple[dict[str, Any], str], ...] = ()
    alone: float | Callable[[Any], Any] = 1.0
    fewest: int = 1
    laws: frozenset[str] = frozenset()


def params(dtype=jnp.float32):
    """A nested tree with leaves of zero, one and two axes."""
    return {"a": jnp.ones((3, 2), dtype), "b": [jnp.ones((), dtype), (jnp.ones(5, dtype),)]}


def task_grads(num_tasks=K, seed=0, dtype=jnp.float32):
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(generator.normal(size=(num_tasks, *x.shape)), dtype), params()
    )


def losses(num_tasks=K, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.1, 2.0, num_tasks), jnp.float32)


def close(found, expected, rtol=1e-6, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected
    )


def kinds(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
