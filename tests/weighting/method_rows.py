"""The table of methods, the laws that they claim, and the gradients that they are tried on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.weighting import METHODS

K = 4


class Row(NamedTuple):
    """A method as it is tested.

    Attributes:
        name: its key in `METHODS`.
        family: what it needs.
        options: options for K tasks; a list of K values belongs to the tasks.
        wrong: options that are refused, with a part of the message.
        alone: weight of a single task.
        laws: `linear` in the gradients; `permutation` of tasks and their options changes nothing.
    """

    name: str
    family: str
    options: Callable[[int], dict[str, Any]]
    wrong: tuple[tuple[dict[str, Any], str], ...] = ()
    alone: float = 1.0
    laws: frozenset[str] = frozenset()


ROWS = [
    Row("equal", "loss", lambda k: {}, laws=frozenset({"linear", "permutation"})),
    Row(
        "static",
        "loss",
        lambda k: {"weights": [0.3, 2.0, 0.0, 10.0, 1.0, 3.0][:k]},
        wrong=(
            ({"weights": [1.0, 2.0]}, r"`weights` must hold 4 values.*\[1.0, 2.0\]"),
            ({"weights": [1.0, 1.0, 1.0, -1.0]}, r"`weights` .* not negative.*-1.0"),
            ({"weights": [1.0, 1.0, 1.0, float("nan")]}, r"`weights` must be finite.*nan"),
            ({"weights": [1.0, 1.0, 1.0, float("inf")]}, r"`weights` must be finite.*inf"),
            ({"weights": [0.0, 0.0, 0.0, 0.0]}, r"`weights` .* not all zero"),
        ),
        alone=0.3,
        laws=frozenset({"linear", "permutation"}),
    ),
]

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def claiming(law):
    rows = [row for row in ROWS if law in row.laws]
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


def make(row, num_tasks=K):
    return METHODS[row.name](num_tasks, **row.options(num_tasks))


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
