"""Which tasks reach which parameters, on functions where it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.build import build
from maskformer_jax.data import example
from maskformer_jax.gradients import LossSums, find_reach
from maskformer_jax.training import method

PARAMS = {name: jnp.ones(2) for name in ("shared", "late", "one", "two", "none", "index")}


def losses_of(params, x):
    """Two tasks on a shared trunk; `index` only chooses an entry, `none` is stopped."""
    trunk = jax.jit(lambda p: jnp.tanh(p * x))(params["shared"])
    trunk = jnp.tanh(trunk * params["late"])
    chosen = jnp.argmax(params["index"] * x)
    first = trunk[chosen] * params["one"].sum()
    second = (trunk * params["two"]).sum() + jax.lax.stop_gradient(params["none"]).sum()
    return [first, second]


def both(losses_of, params, *data):
    """Numbers of tasks, and the last layer."""
    return tuple(find_reach(losses_of, params, *data))


def test_paths_through_an_index_or_a_stop_do_not_count():
    found, _ = both(losses_of, PARAMS, jnp.ones(2))
    assert found == {"shared": 2, "late": 2, "one": 1, "two": 1, "none": 0, "index": 0}


def test_the_values_of_the_parameters_do_not_matter():
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), PARAMS)
    expected = both(losses_of, PARAMS, jnp.ones(2))
    for params in (zeros, shapes):
        assert both(losses_of, params, jax.ShapeDtypeStruct((2,), jnp.float32)) == expected


def test_last_layer_follows_the_computation_and_not_the_names():
    params = {
        "a": {"bias": jnp.ones(()), "kernel": jnp.ones(())},
        "b": {"bias": jnp.ones(()), "kernel": jnp.ones(())},
    }

    def losses(params):
        x = params["b"]["kernel"] + params["b"]["bias"]
        x = jax.jit(lambda x, layer: layer["kernel"] * x + layer["bias"])(x, params["a"])
        return [x, 2 * x]

    _, last = both(losses, params)
    assert last["a"] == {"bias": True, "kernel": True}
    assert last["b"] == {"bias": False, "kernel": False}


def test_inside_a_jitted_function_the_order_is_still_seen():
    _, found = both(jax.jit(losses_of), PARAMS, jnp.ones(2))
    assert [name for name, last in found.items() if last] == ["late", "shared"]
    nested = {name: {"kernel": value} for name, value in PARAMS.items()}
    inner = jax.jit(lambda p, x: losses_of({k: v["kernel"] for k, v in p.items()}, x))
    _, found = both(inner, nested, jnp.ones(2))
    assert [name for name, last in found.items() if last["kernel"]] == ["late"]


def test_no_layer_that_all_tasks_reach():
    params = {"a": jnp.ones(()), "b": jnp.ones(())}
    _, last = both(lambda p: [p["a"] ** 2, p["b"] ** 2], params)
    assert last == {"a": False, "b": False}


@pytest.mark.parametrize("pool_queries", [False, True])
def test_shared_parameters_of_the_network(tiny_with, make_batch, pool_queries):
    """Against gradients of an ordinary batch: a reached parameter has one that is not zero."""
    more = ["--tasks.jet_class.pool_queries=hadrons"] if pool_queries else []
    model = build(tiny_with(*more))

    def losses(params, batch, labels):
        terms = model.terms(model.apply(params, batch), batch, labels)
        return [term.mean() for term in terms]

    found, last = both(losses, model.params, *example(model.schema, 3))
    rows = jax.jit(jax.jacrev(lambda p: jnp.stack(losses(p, *make_batch()))))(model.params)
    counts = jax.tree.map(lambda g: int((np.abs(g).reshape(6, -1) > 0).any(1).sum()), rows)
    # A softmax doesn't feel what is added to all its logits: there the gradient is rounding noise.
    for tree in (found, counts):
        (tree["heads"]["jet_class"] if pool_queries else tree)["pooling"]["score"].pop("bias")
    assert jax.tree.leaves(found) == jax.tree.leaves(counts)
    assert found["embedding"]["tracks"]["network"]["layers"][0]["kernel"] == 6
    assert found["heads"]["hadrons"]["decoder"]["queries"] == 4 + pool_queries
    assert found["heads"]["jet_class"]["network"]["layers"][0]["kernel"] == 1
    paths = [path for path, x in jax.tree_util.tree_leaves_with_path(last) if x]
    assert {tuple(x.key for x in path[:2]) for path in paths} == {("encoder", "norm")}


@pytest.mark.parametrize(("name", "last"), [("gradnorm", ["late"]), ("pcgrad", [])])
def test_last_layer_is_looked_for_where_a_method_takes_norms_there(
    tiny_with, tiny, monkeypatch, name, last
):
    def apply(params, batch):
        return jnp.tanh(params["shared"]["kernel"] * batch.jets.sum()) * params["late"]["kernel"]

    def terms(output, batch, labels):
        del batch, labels
        return [LossSums(task * output, jnp.ones(())) for task in range(6)]

    make, given = method.make, []
    params = {key: {"kernel": jnp.ones(())} for key in ("late", "own", "shared")}

    def noted(*arguments, **known):
        given.append(known)
        return make(*arguments, **known)

    monkeypatch.setattr(method, "make", noted)
    model = tiny.model._replace(apply=apply, params=params, terms=terms)
    config = tiny_with(f"--weighting.name={name}")
    method.build(config, model, optax.sgd(1.0), steps_per_epoch=1)
    chosen = given[0].get("norm_params", lambda path: False)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    assert [path[0].key for path in paths if chosen(path)] == last
    assert ("norm_params" in given[0]) == (last != [])
