"""Rows without zeros: the same gradients as mapping, weighting and cutting by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.weighting import reverse_pass

ONES = (jnp.ones(()),) * 3
WEIGHTS, OWN = jnp.asarray([0.5, -2.0, 3.0]), jnp.asarray([1.0, 10.0, 0.25])


@jax.custom_vjp
def halved(x):
    return x


halved.defvjp(lambda x: (x, None), lambda _, g: (0.5 * g,))


def trunk(p):
    return jnp.tanh(p["x"] @ p["trunk"])


def heads(p):
    """A trunk and three heads."""
    z = trunk(p)
    return (z @ p["a"]).sum(), ((z @ p["b"]) ** 2).sum(), jnp.sin(z @ p["c"]).sum()


def branch(p):
    """The second and third task share a branch, behind a function that is jitted."""
    z = trunk(p)
    deep = jax.jit(lambda z, b: jax.nn.relu(z @ b[:, None] + 1.0))(z, p["b"])
    return (z @ p["a"]).sum(), (deep**2).sum(), (deep * p["c"].sum()).sum()


def two_heads(p):
    """The first task has two heads, whose gradients come together after those of the others."""
    z = trunk(p)
    first = (z @ p["a"]).sum()
    return first + (z[:, 0] ** 2).sum(), ((z @ p["b"]) ** 2).sum(), jnp.sin(z @ p["c"]).sum()


def skip(p):
    """The first task also looks past the representation of the others, which has a rule."""
    z = halved(trunk(p))
    return (z @ p["a"]).sum() + p["x"][0].sum() * p["trunk"].sum(), (z @ p["b"]).sum(), z.sum()


def loops(p):
    """Layers in a scan, a loop and a condition."""
    z, _ = jax.lax.scan(lambda z, _: (jnp.tanh(z @ p["trunk"]), None), p["x"], None, length=3)
    z = jax.lax.fori_loop(0, 2, lambda _, z: z * 1.5, z)
    z = jax.lax.cond(z.sum() > 1e9, lambda z: -z, lambda z: 2 * z, z)
    return (z @ p["a"]).sum(), (z @ p["b"]).prod(), jnp.sort(z @ p["c"])[0]


def apart(p):
    """Nothing is shared, and one parameter is not used."""
    return p["a"].sum(), (p["b"] ** 3).sum(), (p["x"] ** 2).sum()


FUNCTIONS = {f.__name__: f for f in (heads, branch, two_heads, skip, loops, apart)}


@pytest.fixture(scope="module")
def params():
    generator = np.random.default_rng(0)
    shapes = {"x": (4, 3), "trunk": (3, 3), "a": (3,), "b": (3,), "c": (3,)}
    return {k: jnp.asarray(generator.normal(size=s), jnp.float32) for k, s in shapes.items()}


@pytest.fixture(scope="module", params=FUNCTIONS)
def case(request, params):
    """Function, pullback for one cotangent per loss, and the gradients by mapping."""
    function = FUNCTIONS[request.param]
    _, pull = jax.vjp(function, params)
    rows = jax.jacrev(lambda p: jnp.stack(function(p)))(params)
    return function, lambda x: pull(tuple(x))[0], rows


def close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected
    )


def test_rows_are_the_gradients_of_the_losses(case):
    _, pull, rows = case
    cotangents = jnp.asarray([1.0, 2.0, -3.0])
    expected = jax.tree.map(lambda g: jax.vmap(jnp.multiply)(cotangents, g), rows)
    close(
        reverse_pass.fill_rows(reverse_pass.gradients_by_loss(pull, tuple(cotangents)), 3), expected
    )
    found = jax.jit(lambda x: reverse_pass.gradients_by_loss(pull, tuple(x)))(cotangents)
    close(reverse_pass.fill_rows(found, 3), expected)


def test_a_gradient_has_rows_of_the_losses_that_reach_it(case):
    _, pull, rows = case
    found = reverse_pass.gradients_by_loss(pull, ONES)
    for name, expected in rows.items():
        reached = np.asarray(expected).reshape(3, -1).any(1)
        assert set(np.flatnonzero(reached)) <= set(found[name].losses)
        assert len(found[name].values) == len(found[name].losses)


def test_rows_add_up_as_their_gradients_do(params):
    _, pull = jax.vjp(heads, params)
    found = reverse_pass.gradients_by_loss(lambda x: pull(tuple(x))[0], ONES)
    twice = jax.tree.map(jnp.add, found, found)
    assert {name: x.losses for name, x in twice.items()} == {
        **{"x": (0, 1, 2), "trunk": (0, 1, 2)},
        **{"a": (0,), "b": (1,), "c": (2,)},
    }
    expected = jax.tree.map(lambda x: 2 * x, reverse_pass.fill_rows(found, 3))
    close(reverse_pass.fill_rows(twice, 3), expected)


@pytest.mark.parametrize("fewest", [2, 3, 0])
def test_weighted_sum_has_other_weights_for_parameters_that_are_not_shared(case, fewest):
    _, pull, rows = case
    leaves, tree = jax.tree.flatten(rows)
    shared = [int(g.reshape(3, -1).any(1).sum()) >= fewest for g in leaves]
    found = reverse_pass.sum_of_gradients(pull, ONES, WEIGHTS, OWN, shared)
    expected = [
        jnp.tensordot(WEIGHTS if is_shared else OWN, g, 1)
        for g, is_shared in zip(leaves, shared, strict=True)
    ]
    close(found, tree.unflatten(expected))


@pytest.mark.parametrize("function", [heads, branch, two_heads])
def test_cut_of_a_trunk_is_the_gradient_with_respect_to_its_output(function, params):
    _, pull = jax.vjp(function, params)

    def behind(z, p):
        # The same losses from the output of the trunk, put in place of x @ trunk.
        return jnp.stack(function({**p, "x": jnp.arctanh(z), "trunk": jnp.eye(3)}))

    expected = jax.jacrev(behind)(trunk(params), params)
    (found,) = reverse_pass.gradients_at_representation(lambda x: pull(tuple(x))[0], ONES)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_cut_holds_every_path_past_the_representation(params):
    _, pull = jax.vjp(skip, params)
    found = reverse_pass.gradients_at_representation(lambda x: pull(tuple(x))[0], ONES)
    assert len(found) > 1
    past = [rows for rows in found if not np.asarray(rows)[1:].any()]
    assert past and all(np.asarray(rows)[0].any() for rows in past)


def test_a_parameter_may_be_all_that_is_shared(params):
    def function(p):
        return p["a"].sum(), (p["a"] ** 2).sum(), 3.0 * p["a"].sum()

    _, pull = jax.vjp(function, {"a": params["a"]})
    found = reverse_pass.gradients_at_representation(lambda x: pull(tuple(x))[0], ONES)
    expected = np.stack([np.ones(3), 2 * params["a"], np.full(3, 3.0)])
    np.testing.assert_allclose(sum(np.asarray(x) for x in found), expected, rtol=1e-6)


def test_no_representation_in_common(params):
    _, pull = jax.vjp(apart, params)
    with pytest.raises(ValueError, match="share no representation"):
        reverse_pass.gradients_at_representation(lambda x: pull(tuple(x))[0], ONES)


def test_no_zeros_are_pushed(params):
    """How many rows pass three places: the heads' own, the branch of two tasks, the trunk."""
    seen = {}

    def watched(name):
        @jax.custom_vjp
        def watch(x):
            return x

        def backward(_, g):
            jax.debug.callback(lambda g: seen.__setitem__(name, seen.get(name, 0) + 1), g)
            return (g,)

        watch.defvjp(lambda x: (x, None), backward)
        return watch

    def function(p):
        z = watched("trunk")(trunk(p))
        deep = watched("branch")(z * p["b"])
        return watched("head")(z @ p["a"]).sum(), deep.sum(), (deep**2).sum()

    _, pull = jax.vjp(function, params)
    reverse_pass.gradients_by_loss(lambda x: pull(tuple(x))[0], ONES)
    jax.effects_barrier()
    assert seen == {"head": 1, "branch": 2, "trunk": 3}
    seen.clear()
    reverse_pass.sum_of_gradients(lambda x: pull(tuple(x))[0], ONES, WEIGHTS, OWN, [True] * 5)
    jax.effects_barrier()
    assert seen == {"head": 1, "branch": 1, "trunk": 1}
    seen.clear()
    reverse_pass.gradients_at_representation(lambda x: pull(tuple(x))[0], ONES)
    jax.effects_barrier()
    assert seen == {"head": 1, "branch": 2}
