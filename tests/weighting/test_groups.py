"""Groups of parameters that are weighted apart from each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import K, close

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._losses import solved
from maskformer_jax.weighting._options import group_index

PREFERENCE = [1.0, 0.5, 2.0, 3.0]
# Leaves in order: encoder b, encoder w, head inner w, head w.
TREE = {"params": {"encoder": {"w": 0.0, "b": 0.0}, "head": {"w": 0.0, "inner": {"w": 0.0}}}}


@pytest.mark.parametrize(
    ("granularity", "numbers"),
    [
        ("model", [0, 0, 0, 0]),
        ("module", [0, 0, 1, 1]),
        ("layer", [0, 0, 1, 2]),
        ("tensor", [0, 1, 2, 3]),
    ],
)
def test_groups_of_a_tree_whose_paths_begin_alike(granularity, numbers):
    assert group_index(TREE, granularity) == numbers
    assert group_index(TREE["params"], granularity) == numbers


@pytest.mark.parametrize(
    ("tree", "modules", "layers"),
    [
        (1.0, [0], [0]),
        ({"a": {"b": 1.0}}, [0], [0]),
        ([{"w": 1.0, "b": 1.0}, {"w": 1.0}, 1.0], [0, 0, 1, 2], [0, 0, 1, 2]),
        ({"params": {"w": 1.0, "x": {"y": 1.0, "z": 1.0}}}, [0, 1, 1], [0, 1, 1]),
    ],
    ids=["array", "single leaf", "list", "leaf beside a module"],
)
def test_groups_of_other_trees(tree, modules, layers):
    assert group_index(tree, "module") == modules
    assert group_index(tree, "layer") == layers


def test_modules_are_those_of_the_model_also_if_one_alone_is_shared():
    shared = {"params": {"encoder": {"w": False, "b": False}}}
    shared["params"]["head"] = {"w": True, "inner": {"w": True}}
    assert group_index(TREE, "module", shared) == [0, 0]
    assert group_index(TREE, "layer", shared) == [0, 1]


def grouped_grads(seed=0):
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda _: jnp.asarray(generator.normal(size=(K, 3)), jnp.float32), TREE)


@pytest.mark.parametrize("options", [{}, {"normalise": "l2", "preference": PREFERENCE}], ids=str)
@pytest.mark.parametrize("granularity", ["module", "layer", "tensor"])
def test_each_group_is_weighted_by_itself(granularity, options):
    """The state too: the second step of GradVac needs each group's own targets."""
    steps = [grouped_grads(seed) for seed in range(2)]
    numbers = group_index(TREE, granularity)
    options = {"beta": 0.5, **options}
    method, alone = METHODS["gradvac"](K, granularity=granularity, **options), {}
    state = method.init(steps[0])
    update = jax.jit(method.update)
    single = METHODS["gradvac"](K, **options)
    update_alone = jax.jit(single.update)
    for grads in steps:
        found, state = update(grads, state)
        weights, total = [], 0
        for group in range(max(numbers) + 1):
            leaves = [g for g, n in zip(jax.tree.leaves(grads), numbers, strict=True) if n == group]
            before = alone.get(group, single.init(leaves))
            expected, alone[group] = update_alone(leaves, before)
            parts = [x for x, n in zip(jax.tree.leaves(found), numbers, strict=True) if n == group]
            close(parts, expected, 1e-5, 1e-5)
            inner = jax.tree.map(lambda x, group=group: x[group], state.method)
            close(inner, alone[group].method, 1e-5, 1e-5)
            weights.append(alone[group].weights)
            total = total + alone[group].gramian
        np.testing.assert_allclose(state.weights, np.mean(weights, 0), rtol=1e-5)
        np.testing.assert_allclose(state.gramian, total, rtol=1e-5, atol=1e-5)


def test_residual_of_groups_is_the_largest():
    step = solved(K, lambda gramian, _: (jnp.ones(K), gramian.trace()))
    method, grads = from_gramian(K, *step, granularity="tensor"), grouped_grads()
    _, state = method.update(grads, method.init(TREE))
    traces = [(leaf**2).sum() for leaf in jax.tree.leaves(grads)]
    np.testing.assert_allclose(state.method.residual, traces, rtol=1e-5)
    np.testing.assert_allclose(state.residual, max(traces), rtol=1e-5)
