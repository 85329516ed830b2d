"""The laws that the methods claim, and updates that were computed elsewhere."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_rows import ROWS, arguments, call, claiming, compiled
from rows import K, close, losses, params, task_grads

from maskformer_jax.weighting import METHODS

# Updates for the task gradients (-4, 1, 1) and (6, 1, 1).
GOLDEN = [
    ("equal", {}, [2.0, 2.0, 2.0], "by hand"),
    ("static", {"weights": [1.0, 0.5]}, [-1.0, 1.5, 1.5], "by hand"),
]
# With a test each, `pareto` in test_toy.py, and as the table of the documentation calls them.
LAWS = {"linear": "linear", "permutation": "order", "homogeneous": "factor"}
LAWS |= {"row_scaling": "lengths", "non_conflicting": "descent", "stationary": "stationary"}
LAWS |= {"pareto": "toy"}
DOCS = Path(__file__).parents[2] / "docs" / "weighting.md"


def test_every_claim_has_a_test_and_is_in_the_documentation():
    cells = re.findall(r"^\| `(\w+)` \|.*\.py\).*\| ([a-z, ]+) \|$", DOCS.read_text(), re.MULTILINE)
    claims = {row.name: row.laws for row in ROWS}
    claims["random"] = claims["rlw"]
    assert {name: laws.split(", ") for name, laws in cells} == {
        name: [word for law, word in LAWS.items() if law in claims[name]] for name in METHODS
    }
    assert {law for row in ROWS for law in row.laws} == set(LAWS)


def conflicting(seed, num_tasks=K, size=6):
    """Gradients with a common direction of ascent, most pairs of which conflict."""
    generator = np.random.default_rng(seed)
    common = np.ones(size) / np.sqrt(size)
    other = generator.normal(size=(num_tasks, size))
    other -= np.outer(other @ common, common)
    return jnp.asarray(generator.uniform(0.1, 3, (num_tasks, 1)) * (0.3 * common + other))


def update_of(row, grads, seed=0):
    """The first update on given gradients, which also stand in for a second batch."""
    method = compiled(row, grads.shape[0])
    extra = arguments(row, grads.shape[0], seed, second=grads)
    return method.update(grads, method.init(grads[0]), grads[0], **extra)


@claiming("linear")
def test_linear_in_the_gradients(row):
    method = compiled(row)
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
    method = compiled(row)
    moved = method if options == row.options(K) else METHODS[row.name](K, **options)
    expected, state = call(row, method, method.init(params()))
    grads, extra = jax.tree.map(lambda x: x[order], (task_grads(), arguments(row)))
    update, moved_state = moved.update(grads, moved.init(params()), params(), **extra)
    close(update, expected, 1e-5, 1e-5)
    close(moved_state.weights, state.weights[order], 1e-4, 1e-5)


@claiming("homogeneous")
@pytest.mark.parametrize("factor", [1e-6, 1e-2, 30.0, 1e6])
def test_common_factor_of_the_gradients_is_one_of_the_update(row, factor):
    for seed in range(3):
        grads = conflicting(seed)
        expected, _ = update_of(row, grads)
        found, _ = update_of(row, factor * grads)
        close(found / factor, expected, 1e-3, 1e-4)


@claiming("row_scaling")
def test_lengths_of_the_gradients_do_not_matter(row):
    factors = jnp.asarray([1e-4, 1.0, 50.0, 1e3])[:, None]
    for seed in range(3):
        grads = conflicting(seed)
        close(update_of(row, factors * grads)[0], update_of(row, grads)[0], 1e-3, 1e-4)


@claiming("non_conflicting")
def test_update_goes_down_for_every_task(row):
    for seed in range(20):
        grads = conflicting(seed)
        assert (np.asarray(grads @ grads.T) < 0).any()
        update, _ = update_of(row, grads)
        cosines = grads @ update / jnp.linalg.norm(grads, axis=1) / jnp.linalg.norm(update)
        assert (cosines > -1e-4).all()


@claiming("stationary")
def test_update_is_zero_where_no_common_descent_exists(row):
    grads = jnp.asarray([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0], [2.0, 0.3]])
    update, _ = update_of(row, grads)
    assert jnp.linalg.norm(update) < 1e-3


@pytest.mark.parametrize(("name", "options", "update", "origin"), GOLDEN, ids=lambda x: str(x))
def test_golden_values(name, options, update, origin):
    grads = jnp.asarray([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    method = METHODS[name](2, **options)
    found, _ = method.update(grads, method.init(grads[0]), grads[0], losses=jnp.ones(2))
    np.testing.assert_allclose(found, update, rtol=1e-6, err_msg=origin)
