"""The reverse pass on networks drawn at random: the rows are the gradients found by mapping."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from maskformer_jax.gradients import (
    LossSums,
    Parts,
    fill_rows,
    find_reach,
    gradients_by_loss,
    gradients_of_losses,
)
from maskformer_jax.weighting import inner_products, reverse_pass

WIDTH, EXAMPLES, LAYERS = 3, 8, 7


@jax.custom_vjp
def scaled_back(x):
    return jnp.sin(x)


scaled_back.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (0.5 * g * jnp.cos(x),))


def dense(z, w):
    return jnp.tanh(z @ w)


def scanned(z, w):
    return jax.lax.scan(lambda z, _: (dense(z, w) + z, None), z, None, length=3)[0]


def chosen(z, w):
    return jax.lax.cond(z.sum() > 0, dense, lambda z, w: z @ w, z, w)


def jitted(z, w):
    return jax.jit(lambda z: jax.jit(dense)(z, w) * z[0])(z)


def residual(z, w):
    return z + jax.checkpoint(lambda z: jax.jit(dense)(dense(z, w), w))(z)


def with_a_rule(z, w):
    return scaled_back(z @ w)


def under_a_checkpoint(z, w):
    return jax.checkpoint(scanned)(with_a_rule(z, w), w)


LAYER_KINDS = (dense, scanned, chosen, jitted, residual, with_a_rule, under_a_checkpoint)


def draw(seed):
    """Losses of a random graph: layers of all kinds, some with the parameters of another one.

    A layer reads an earlier value, so that trunks and branches of any depth come about; a loss
    reads one or two values and has a head of its own or that of another.
    """
    generator = np.random.default_rng(seed)
    num_losses = int(generator.integers(1, 5))
    kinds = generator.permutation(LAYERS)
    reads = [int(generator.integers(max(number - 1, 0), number + 1)) for number in range(LAYERS)]
    uses = [number if generator.random() < 0.8 else 0 for number in range(LAYERS)]
    read = generator.integers(LAYERS // 2, LAYERS + 1, (num_losses, 2))
    heads = [loss if generator.random() < 0.8 else 0 for loss in range(num_losses)]

    def losses_of(params, x):
        values = [x]
        for kind, source, layer in zip(kinds, reads, uses, strict=True):
            values.append(LAYER_KINDS[kind](values[source], params["layers"][layer]))
        return tuple(
            ((values[a] + values[b]) @ params["heads"][head]).sum() ** 2
            for (a, b), head in zip(read, heads, strict=True)
        )

    def normal(*shape):
        return jnp.asarray(generator.normal(size=shape), jnp.float32)

    layers = [normal(WIDTH, WIDTH) for _ in range(LAYERS)]
    params = {"layers": layers, "heads": [normal(WIDTH) for _ in range(num_losses)]}
    return losses_of, params, normal(EXAMPLES, WIDTH)


def shared_head(params, x):
    return [(x @ params["a"]).sum(), (x @ params["a"]).var()]


SPECIAL = {
    "reaches nothing": lambda p, x: [(x @ p["a"]).sum(), x.sum(), jnp.argmax(p["b"]) * 1.0],
    "double": lambda p, x: [(x @ p["a"]).var(), 2 * (x @ p["a"]).var(), p["b"].sum()],
    "one alone": lambda p, x: [(jnp.tanh(x * p["b"]) @ p["a"]).var()],
    "one parameter": shared_head,
}


def cases():
    yield from (pytest.param(*draw(seed), id=f"seed {seed}") for seed in range(6))
    params = {name: jnp.arange(1.0, 3.0).repeat(WIDTH)[:WIDTH] for name in "ab"}
    x = jnp.asarray(np.random.default_rng(1).normal(size=(EXAMPLES, WIDTH)), jnp.float32)
    yield from (pytest.param(f, params, x, id=name) for name, f in SPECIAL.items())


every_case = pytest.mark.parametrize(("losses_of", "params", "x"), list(cases()))


def expected_of(losses_of, params, x):
    return jax.jit(jax.jacrev(lambda p: jnp.stack(losses_of(p, x))))(params)


def close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(jnp.abs(b).max() + 1))


def pullback(losses_of, params, x):
    losses, pull = jax.vjp(lambda p: tuple(losses_of(p, x)), params)
    return lambda cotangents: pull(tuple(cotangents))[0], (jnp.ones(()),) * len(losses)


@every_case
def test_rows_and_their_weighted_sums(losses_of, params, x):
    """In one compilation; with what `find_reach` says of the rows."""
    rows = expected_of(losses_of, params, x)
    weights = jnp.arange(1.0, 5.0)[: len(losses_of(params, x))]

    @jax.jit
    def everything(params, x):
        pull, ones = pullback(losses_of, params, x)
        shared = [number % 2 > 0 for number in range(len(jax.tree.leaves(params)))]
        total = reverse_pass.sum_of_gradients(pull, ones, weights, 2 * weights, shared)
        return gradients_by_loss(pull, ones), total

    by_loss, total = everything(params, x)
    close(fill_rows(by_loss, len(weights)), rows)
    leaves = [jnp.tensordot(weights, g, 1) for g in jax.tree.leaves(rows)]
    expected = [g if number % 2 else 2 * g for number, g in enumerate(leaves)]
    close(jax.tree.leaves(total), expected)
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (params, x))
    counts = jax.tree.leaves(find_reach(losses_of, *shapes).counts)
    kept = jax.tree.leaves(by_loss, is_leaf=lambda r: isinstance(r, reverse_pass.Rows))
    assert counts == [len(r.losses) for r in kept]
    reached = [int(np.any(np.reshape(g, (len(g), -1)), 1).sum()) for g in jax.tree.leaves(rows)]
    assert all(count >= number for count, number in zip(counts, reached, strict=True))


@pytest.mark.parametrize("seed", [1, 5])
def test_several_devices(seed):
    losses_of, params, x = draw(seed)
    rows = expected_of(losses_of, params, x)
    devices = jax.devices()[:4]
    mesh = jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)

    @jax.jit
    def by_loss(params, parts):
        def sums_of(params, x):
            return [LossSums(loss, jnp.ones(())) for loss in losses_of(params, x)]

        return gradients_of_losses(sums_of, params, parts).gradients

    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    x = jax.device_put(x[None], NamedSharding(mesh, PartitionSpec(None, "data")))
    close(by_loss(params, Parts(x, jnp.asarray(1))), rows)


def test_a_checkpoint_hides_neither_rows_nor_the_representation():
    def losses_of(wrap, p, x):
        z = wrap(lambda z: z + dense(z, p["a"]))(dense(x, p["b"]))
        heads = wrap(lambda z: (z.sum(), (z * p["c"]).sum(), (z**2).sum()))
        z = z + wrap(lambda z: dense(z, p["a"]))(z)
        return heads(z)

    generator = np.random.default_rng(0)
    params = {name: generator.normal(size=(WIDTH, WIDTH)) for name in "ab"}
    params = jax.tree.map(jnp.asarray, {**params, "c": generator.normal(size=WIDTH)})
    x = jnp.asarray(generator.normal(size=(EXAMPLES, WIDTH)))
    found = []
    for wrap in (jax.checkpoint, lambda f: f):
        pull, ones = pullback(partial(losses_of, wrap), params, x)
        rows = reverse_pass.gradients_at_representation(pull, ones)
        found.append(inner_products(rows, rows))
        assert gradients_by_loss(pull, ones)["c"].losses == (1,)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_what_cannot_be_mapped_is_pulled_back_loss_by_loss_with_one_warning():
    primitive = jax.extend.core.Primitive("stubborn")
    primitive.def_impl(lambda g: 3.0 * g)
    primitive.def_abstract_eval(lambda g: g)

    @jax.custom_vjp
    def stubborn(x):
        return 3.0 * x

    stubborn.defvjp(lambda x: (3.0 * x, None), lambda _, g: (primitive.bind(g),))

    def losses_of(p):
        z = stubborn(p["a"])
        return z.sum(), (z**2).sum(), p["b"].sum()

    params = {"a": jnp.arange(3.0), "b": jnp.ones(2)}
    _, pull = jax.vjp(losses_of, params)
    arguments = (lambda c: pull(tuple(c))[0], (jnp.ones(()),) * 3)
    with pytest.warns(UserWarning, match="one loss after the other through `stubborn`") as seen:
        found = gradients_by_loss(*arguments)
        gradients_by_loss(*arguments)
    assert len(seen) == 1
    np.testing.assert_allclose(found["a"].values, [[3.0] * 3, 18 * np.arange(3.0)], rtol=1e-6)
    assert found["a"].losses == (0, 1) and found["b"].losses == (2,)
