"""The laws that the methods claim, and updates that were computed elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_rows import K, claiming, close, losses, make, params, task_grads

from maskformer_jax.weighting import METHODS

# Updates for the task gradients (-4, 1, 1) and (6, 1, 1).
GOLDEN = [
    ("equal", {}, [2.0, 2.0, 2.0], "by hand"),
    ("static", {"weights": [1.0, 0.5]}, [-1.0, 1.5, 1.5], "by hand"),
]


@claiming("linear")
def test_linear_in_the_gradients(row):
    method = make(row)
    state = method.init(params())

    def update(grads):
        return method.update(grads, state, params(), losses=losses())[0]

    a, b = task_grads(seed=1), task_grads(seed=2)
    mixed = jax.tree.map(lambda x, y: 3 * x - y, a, b)
    expected = jax.tree.map(lambda x, y: 3 * x - y, update(a), update(b))
    close(update(mixed), expected, 1e-5, 1e-5)


@claiming("permutation")
def test_order_of_the_tasks_does_not_matter(row):
    order = np.array([2, 0, 3, 1])
    options = {
        name: [value[i] for i in order] if isinstance(value, list) else value
        for name, value in row.options(K).items()
    }
    method, moved = make(row), METHODS[row.name](K, **options)
    expected, state = method.update(task_grads(), method.init(params()), params(), losses=losses())
    grads = jax.tree.map(lambda g: g[order], task_grads())
    update, moved_state = moved.update(
        grads, moved.init(params()), params(), losses=losses()[order]
    )
    close(update, expected)
    close(moved_state.weights, state.weights[order])


@pytest.mark.parametrize(("name", "options", "update", "origin"), GOLDEN, ids=lambda x: str(x))
def test_golden_values(name, options, update, origin):
    grads = jnp.asarray([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    method = METHODS[name](2, **options)
    found, _ = method.update(grads, method.init(grads[0]), grads[0], losses=jnp.ones(2))
    np.testing.assert_allclose(found, update, rtol=1e-6, err_msg=origin)
