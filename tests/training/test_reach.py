"""Which tasks reach which parameters, on functions where it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax import tasks
from maskformer_jax.model import maskformer
from maskformer_jax.training import reach

PARAMS = {name: jnp.ones(2) for name in ("shared", "late", "one", "two", "none", "index")}


def losses_of(params, x):
    """Two tasks on a shared trunk; `index` only chooses an entry, `none` is stopped."""
    trunk = jax.jit(lambda p: jnp.tanh(p * x))(params["shared"])
    trunk = jnp.tanh(trunk * params["late"])
    chosen = jnp.argmax(params["index"] * x)
    first = trunk[chosen] * params["one"].sum()
    second = (trunk * params["two"]).sum() + jax.lax.stop_gradient(params["none"]).sum()
    return [first, second]


def test_paths_through_an_index_or_a_stop_do_not_count():
    found = reach.find(losses_of, PARAMS, jnp.ones(2))
    assert found.tasks == {"shared": 2, "late": 2, "one": 1, "two": 1, "none": 0, "index": 0}


def test_the_values_of_the_parameters_do_not_matter():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS)
    expected = reach.find(losses_of, PARAMS, jnp.ones(2))
    for params in (zeros, shapes):
        assert reach.find(losses_of, params, jax.ShapeDtypeStruct((2,), jnp.float32)) == expected


def test_last_layer_follows_the_computation_and_not_the_names():
    params = {
        "a": {"bias": jnp.ones(()), "kernel": jnp.ones(())},
        "b": {"bias": jnp.ones(()), "kernel": jnp.ones(())},
    }

    def losses(params):
        x = params["b"]["kernel"] + params["b"]["bias"]
        x = jax.jit(lambda x, layer: layer["kernel"] * x + layer["bias"])(x, params["a"])
        return [x, 2 * x]

    found = reach.find(losses, params)
    assert found.last_layer["a"] == {"bias": True, "kernel": True}
    assert found.last_layer["b"] == {"bias": False, "kernel": False}


def test_inside_a_jitted_function_the_order_is_still_seen():
    found = reach.find(jax.jit(losses_of), PARAMS, jnp.ones(2))
    assert [name for name, last in found.last_layer.items() if last] == ["late", "shared"]
    nested = {name: {"kernel": value} for name, value in PARAMS.items()}
    inner = jax.jit(lambda p, x: losses_of({k: v["kernel"] for k, v in p.items()}, x))
    found = reach.find(inner, nested, jnp.ones(2))
    assert [name for name, last in found.last_layer.items() if last["kernel"]] == ["late"]


def test_no_layer_that_all_tasks_reach():
    found = reach.find(lambda p: [p["a"] ** 2, p["b"] ** 2], {"a": jnp.ones(()), "b": jnp.ones(())})
    assert found.last_layer == {"a": False, "b": False}


@pytest.mark.parametrize("pool_queries", [False, True])
def test_shared_parameters_of_the_network(tiny_config, with_options, make_batch, pool_queries):
    """Against gradients of an ordinary batch: a reached parameter has one that is not zero."""
    config = with_options(tiny_config, model={"pool_queries": pool_queries})
    apply, params = maskformer.build(config, seed=1)
    terms = tasks.build_terms(config)

    def losses(params, batch, targets):
        return [term.mean() for term in terms(apply(params, batch), batch, targets)]

    found = reach.find(losses, params, *tasks.batch_shapes(config, 3))
    rows = jax.jit(jax.jacrev(lambda p: jnp.stack(losses(p, *make_batch()))))(params)
    counts = jax.tree.map(lambda g: int((np.abs(g).reshape(6, -1) > 0).any(1).sum()), rows)
    assert jax.tree.leaves(found.tasks) == jax.tree.leaves(counts)
    assert found.tasks["embedding"]["hidden"]["kernel"] == 6
    assert found.tasks["queries"] == 4 + pool_queries
    assert found.tasks["jet_class"]["layers"][0]["kernel"] == 1
    last = {path[0].key for path, x in jax.tree_util.tree_leaves_with_path(found.last_layer) if x}
    assert last == {"encoder_norm"}
