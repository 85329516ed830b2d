"""A batch shared by several devices gives every method the Gramian of the whole batch.

Methods of family `gradient` combine rows of their own way, so all of them are here. Others see the
devices through what they have in common, the losses or the Gramian; three and two stand for them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from method_rows import ROWS, make
from rows import K

from maskformer_jax.gradients import LossSums, Parts, Weighting, weighted_gradient
from maskformer_jax.weighting import METHODS, inner_products

DEVICES, JETS, WIDTH = 4, 32, 8


def network():
    """K heads on a shared layer, with losses that count different jets."""
    generator = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(generator.normal(size=shape), jnp.float32)

    params = {"shared": normal(3, WIDTH), "heads": normal(K, WIDTH)}
    batch = {"x": normal(JETS, 3), "y": normal(JETS, K), "used": normal(JETS, K) > 0}

    def sums_of(params, part):
        predicted = jnp.tanh(part["x"] @ params["shared"]) @ params["heads"].T
        used = part["used"].astype(jnp.float32)
        terms = used * (predicted - part["y"]) ** 2
        return [LossSums(terms[:, k].sum(), used[:, k].sum()) for k in range(K)]

    return sums_of, params, batch


FEWEST = {"loss": 3, "gramian": 2, "gradient": len(ROWS)}
CHOSEN = [
    row
    for family, fewest in FEWEST.items()
    for row in [row for row in ROWS if row.family == family][:fewest]
]


def test_methods_give_the_weights_of_one_device():
    sums_of, params, batch = network()
    methods = {row.name: (row, make(row)) for row in CHOSEN}

    @jax.jit
    def everything(params, batch):
        """Two steps of each method, in one compilation for all."""
        halves = jax.tree.map(lambda x: x.reshape(-1, 2, *x.shape[1:]).swapaxes(0, 1), batch)
        halves = Parts(halves, jnp.asarray([1, 1]))
        whole = Parts(jax.tree.map(lambda x: x[None], batch), jnp.asarray(1))
        results = {}
        for name, (row, method) in methods.items():
            two = "task_grads_2" in METHODS[row.name].needs
            weighting = Weighting(method, scalarise=row.family == "loss", two_batches=two)
            parts = halves if two else whole

            def step(state, _, weighting=weighting, parts=parts):
                found = weighted_gradient(sums_of, params, weighting, state, parts)
                return found.weighting_state, found.gradient

            state, gradients = jax.lax.scan(step, method.init(params), length=2)
            results[name] = (state.weights, jax.tree.map(lambda x: x[-1], gradients))
        return results

    mesh = jax.make_mesh(
        (DEVICES,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:DEVICES]
    )
    share = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    one = everything(params, batch)
    four = everything(jax.device_put(params, everywhere), jax.device_put(batch, share))
    assert not four["equal"][1]["shared"].sharding.device_set.isdisjoint(jax.devices()[1:])
    for name, (weights, gradient) in one.items():
        found_weights, found_gradient = four[name]
        np.testing.assert_allclose(found_weights, weights, rtol=1e-4, atol=1e-5, err_msg=name)
        size = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient))
        for key in gradient:
            np.testing.assert_allclose(
                found_gradient[key], gradient[key], atol=1e-4 * size, err_msg=name
            )


ROWS_OF = [row for row in CHOSEN if row.family != "loss"]


def shared_parameters(kind):
    """Parameters of which four devices hold a part each, and task gradients that lie likewise."""
    mesh = jax.make_mesh((4,), ("x",), axis_types=(kind,), devices=jax.devices()[:4])
    shapes = {"a": ((64, 32), ("x", None)), "b": ((32, 64), (None, "x")), "c": ((7,), (None,))}
    generator, params, rows = np.random.default_rng(0), {}, {}
    for name, (shape, spec) in shapes.items():
        grads = jnp.asarray(generator.normal(size=(K, *shape)), jnp.float32)
        rows[name] = jax.device_put(grads, NamedSharding(mesh, PartitionSpec(None, *spec)))
        params[name] = jax.device_put(grads[0], NamedSharding(mesh, PartitionSpec(*spec)))
    return mesh, params, rows


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_parameters_shared_by_devices_stay_where_they_are(kind):
    """Nothing is gathered: sums go over devices, [K, K] at most, and the update lies as they do."""
    mesh, params, rows = shared_parameters(kind)
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), (rows, params))
    methods = {row.name: make(row) for row in ROWS_OF}

    @jax.jit
    def everything(rows, params):
        found = {}
        for name, method in methods.items():
            extra = {"task_grads_2": rows} if "task_grads_2" in METHODS[name].needs else {}
            state = method.init(params)
            found[name], _ = method.update(rows, state, params, losses=jnp.ones(K), **extra)
        return found

    with jax.set_mesh(mesh):
        compiled = everything.lower(rows, params).compile()
        found = compiled(rows, params)
    assert "all-reduce" in compiled.as_text() and "all-gather" not in compiled.as_text()
    expected = everything(*alone)
    for name, update in found.items():
        for leaf, values in update.items():
            assert values.sharding.is_equivalent_to(params[leaf].sharding, values.ndim), name
            np.testing.assert_allclose(values, expected[name][leaf], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cagrad", "trimmed_mean"])
def test_a_step_holds_a_device_s_share_of_the_gradients_once(name):
    """Temporary memory is that of the share, not that of all gradients."""
    mesh, params, rows = shared_parameters(AxisType.Auto)
    method = make(next(row for row in ROWS_OF if row.name == name))

    @jax.jit
    def update(rows, params):
        return method.update(rows, method.init(params), params)[0]

    with jax.set_mesh(mesh):
        compiled = update.lower(rows, params).compile()
    whole = sum(x.nbytes for x in jax.tree.leaves(rows))
    assert compiled.memory_analysis().temp_size_in_bytes < 1.2 * whole / 4


def test_inside_shard_map_the_gramian_is_added_up():
    mesh, params, rows = shared_parameters(AxisType.Auto)
    del rows["c"], params["c"]
    method = METHODS["mgda"](K)
    specs = {name: x.sharding.spec for name, x in params.items()}

    def update(rows, params):
        gramian = jax.lax.psum(inner_products(rows, rows), "x")
        return method.update(rows, method.init(params), params, gramian=gramian)[0]

    of_rows = {name: PartitionSpec(None, *spec) for name, spec in specs.items()}
    options = {"mesh": mesh, "in_specs": (of_rows, specs), "out_specs": specs}
    found = jax.jit(jax.shard_map(update, **options, check_vma=False))(rows, params)
    alone = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), rows)
    expected, _ = method.update(alone, method.init(jax.tree.map(lambda x: x[0], alone)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)
