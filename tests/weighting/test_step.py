"""The step of every method is the one written by hand; its parts on functions that are known."""

import inspect
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from method_rows import every_row, make
from rows import K, close, kinds

from maskformer_jax.weighting import (
    METHODS,
    find_shared,
    value_and_task_grads,
    weighted_step,
)

NAMES = ("a", "b", "c", "d")
SGD = optax.sgd(0.1, momentum=0.9)


def losses_of(params, x):
    """A trunk, four heads; what comes beside the losses."""
    hidden = jnp.tanh(x @ params["trunk"])
    return {
        name: ((hidden @ params["heads"][name] - 1) ** 2).mean() for name in NAMES
    }, hidden.sum()


def losses(params, x):
    return losses_of(params, x)[0]


def vector(params, x):
    return jnp.stack([losses(params, x)[name] for name in NAMES])


def start():
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(2, 8, 3)), jnp.float32)
    heads = {name: jnp.asarray(generator.normal(size=2), jnp.float32) for name in NAMES}
    return {"trunk": jnp.asarray(generator.normal(size=(3, 2)), jnp.float32), "heads": heads}, *x


def by_hand(method, params, state, x, second):
    """One step, with every gradient by itself."""
    (weighting, optimiser), after = state
    extra = {"losses_after": after} if "losses_after" in method.needs else {}
    if "task_grads_2" in method.needs:
        extra["task_grads_2"] = jax.jacrev(vector)(params, second)
    rows, found = jax.jacrev(vector)(params, x), vector(params, x)
    gradient, weighting = method.update(rows, weighting, params, losses=found, **extra)
    updates, optimiser = SGD.update(gradient, optimiser, params)
    params = optax.apply_updates(params, updates)
    return params, ((weighting, optimiser), vector(params, x)), found


@every_row
def test_step_is_the_one_written_by_hand(row):
    method, (params, x, second) = make(row), start()
    step = weighted_step(losses_of, method, SGD, has_aux=True)
    more = {"second": (second,)} if "task_grads_2" in method.needs else {}

    @jax.jit
    def both(params):
        expected, other = params, ((method.init(params), SGD.init(params)), jnp.zeros(K))
        found, state = params, step.init(params)
        for _ in range(2):
            expected, other, _ = by_hand(method, expected, other, x, second)
            found, state, log = step.update(found, state, x, **more)
        return (found, state.weighting), (expected, other[0][0]), log

    found, expected, log = both(params)
    close(found, expected, 1e-4, 1e-5)
    assert kinds(found) == kinds(expected)
    named = log.named()
    assert {f"loss/{name}" for name in NAMES} <= set(named)
    assert ("cosine/a/d" in named) == (METHODS[row.name].family != "loss")


def test_gradients_of_losses_by_name_of_an_array_and_in_chunks_are_the_same():
    params, x, _ = start()
    expected = jax.jacrev(vector)(params, x)
    ways = [value_and_task_grads(losses, **o) for o in ({}, {"chunk": 1}, {"chunk": 3})]
    ways += [value_and_task_grads(losses, skip_zeros=False), value_and_task_grads(vector)]
    for way in ways:
        values, rows = way(params, x)
        close(values, vector(params, x))
        close(rows, expected)
    turned = value_and_task_grads(lambda p, x: OrderedDict(reversed(losses(p, x).items())))
    close(turned(params, x), (vector(params, x), expected))
    (values, aux), rows = value_and_task_grads(losses_of, has_aux=True)(params, x)
    close((values, aux, rows), (vector(params, x), losses_of(params, x)[1], expected))


def test_no_zeros_go_into_heads():
    """The largest array of the heads' reverse pass has one row, or the pass is mapped."""
    params, x, _ = start()
    counts = {
        skip: str(jax.make_jaxpr(value_and_task_grads(losses, skip_zeros=skip))(params, x)).count(
            "f32[4,8,2]"
        )
        for skip in (True, False)
    }
    assert counts[True] < counts[False]


def test_what_at_least_two_losses_reach_is_shared():
    params, x, _ = start()
    expected = {"trunk": True, "heads": dict.fromkeys(NAMES, False)}
    assert find_shared(losses, params, x) == expected
    assert find_shared(losses_of, params, x, has_aux=True) == expected
    assert find_shared(lambda p, x: {"a": losses(p, x)["a"]}, params, x)["trunk"]
    with pytest.raises(ValueError, match=r"`losses_fn` must return its losses apart"):
        find_shared(vector, params, x)


SHARED = {
    "tree": {"trunk": True, "heads": dict.fromkeys(NAMES, np.False_)},
    "beginning": {"trunk": np.True_, "heads": False},
    "predicate": lambda path: "trunk" in jax.tree_util.keystr(path),
}


@pytest.mark.parametrize("form", SHARED)
def test_shared_parameters_in_any_form(form):
    params, x, _ = start()
    _, rows = value_and_task_grads(losses)(params, x)
    method = METHODS["mgda"](K, shared=SHARED[form])
    gramian = method.update(rows, method.init(params), params)[1].gramian
    trunk = rows["trunk"].reshape(K, -1)
    np.testing.assert_allclose(gramian, trunk @ trunk.T, rtol=1e-5)
    assert method.is_shared(params) == [False] * 4 + [True]


@pytest.mark.parametrize("form", [losses, vector])
def test_weights_are_kept_between_renewals(form):
    params, x, _ = start()
    shared = {"trunk": True, "heads": False}
    method = METHODS["upgrad"](K, shared=shared, own_weights="one")
    step = weighted_step(form, method, optax.sgd(1.0), every=2)
    update = jax.jit(step.update)
    once, state, log = update(params, step.init(params), x)
    twice, state, kept = update(once, state, x)
    _, _, again = update(twice, state, x)
    close((kept.weights, kept.norms), (log.weights, log.norms), 0, 0)
    assert (again.weights != kept.weights).any()
    rows = jax.jacrev(vector)(once, x)
    expected = jax.tree.map(lambda p, g: p - g.sum(0), once["heads"], rows["heads"])
    close(twice["heads"], expected, 1e-5, 1e-5)
    moved = once["trunk"] - jnp.tensordot(log.weights, rows["trunk"], 1)
    close(twice["trunk"], moved, 1e-5, 1e-5)


@pytest.mark.parametrize("name", ["uw", "famo", "mgda"])
def test_a_step_leaves_a_batch_that_is_not_finite_out_and_an_absent_loss_aside(name):
    params, x, _ = start()
    spoilt = x.at[0].set(jnp.nan)
    step = weighted_step(losses, METHODS[name](K), SGD, skip_non_finite=True)
    update, active = jax.jit(step.update), jnp.asarray([True, True, False, True])
    after, state, _ = update(params, step.init(params), x, active=active)
    close(after["heads"]["c"], params["heads"]["c"], 0, 0)
    same, kept, log = update(after, state, spoilt, active=active)
    close((same, kept._replace(step=state.step)), (after, state), 0, 0)
    assert np.isnan(log.losses).any() and kept.step == 2


def test_options_by_the_names_of_the_losses():
    params, x, _ = start()
    values = {"d": 4.0, "b": 2.0, "c": 3.0, "a": 1.0}
    step = weighted_step(losses, METHODS["static"](K, weights=values), SGD)
    _, _, log = step.update(params, step.init(params), x)
    np.testing.assert_array_equal(log.weights, [1.0, 2.0, 3.0, 4.0])
    assert log.named()["weight/d"] == 4.0
    for wrong in (vector, lambda p, x: {name + "x": v for name, v in losses(p, x).items()}):
        step = weighted_step(wrong, METHODS["upgrad"](K, preference=values), SGD)
        with pytest.raises(ValueError, match="`losses_fn` must return losses by the names"):
            step.update(params, step.init(params), x)


WRONG = [
    (lambda: value_and_task_grads(losses, chunk=0), "`chunk` must be an integer"),
    (lambda: weighted_step(losses, METHODS["uw"](K), SGD, every=2), "`every` must be 1"),
    (lambda: run(losses_of, "equal"), "`losses_fn` must return 4 losses; got 5"),
    (lambda: run(lambda p, x: x, "equal"), "`losses_fn` must return a vector of losses"),
    (lambda: run(losses, "equal", K + 1), "`losses_fn` must return 5 losses; got 4"),
    (lambda: run(nested, "equal"), "`losses_fn` must return one scalar under each name; got 4"),
    (lambda: run(losses, "modo"), "`second` must be the data of an independent batch"),
    (lambda: run(losses, "mgda", second=(1.0,)), "`second` must be left out"),
]


def nested(params, x):
    return {"all": losses(params, x)}


def run(losses_fn, name, num_tasks=K, **more):
    params, x, _ = start()
    params = {**params, "scale": jnp.ones(())}
    step = weighted_step(losses_fn, METHODS[name](num_tasks), SGD)
    return step.update(params, step.init(params), x, **more)


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_does_not_fit_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@every_row
def test_signature_shows_every_option_and_its_default(row):
    parameters = inspect.signature(METHODS[row.name]).parameters
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    assert ("granularity" in parameters) == (row.family != "loss")


def test_a_method_and_an_option_that_are_none_are_met_with_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'cagrad'"):
        METHODS["cagrat"]
    with pytest.raises(TypeError, match="upgrad has no option 'granularty'; did you mean 'granu"):
        METHODS["upgrad"](K, granularty="layer")


def test_losses_may_be_constants_of_what_is_traced():
    method, known, negative = METHODS["gls"](K), jnp.ones(K), -jnp.ones(K)
    state = method.init(known)
    weights, _ = jax.jit(lambda s: method.update(jnp.eye(K), s, losses=known))(state)
    np.testing.assert_allclose(weights, 1 / K, rtol=1e-5)
    with pytest.raises(ValueError, match="`losses` of gls must be at least"):
        jax.jit(lambda s: method.update(jnp.eye(K), s, losses=negative))(state)
