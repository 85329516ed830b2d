"""Every method keeps the same contract."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from method_rows import (
    ROWS,
    K,
    close,
    every_row,
    kinds,
    losses,
    make,
    params,
    task_grads,
)

from maskformer_jax.weighting import METHODS


def test_every_method_has_a_row():
    assert [row.name for row in ROWS] == list(METHODS)


@every_row
def test_family_is_the_one_of_the_row(row):
    assert METHODS[row.name].family == row.family


@every_row
def test_jit_agrees_with_eager(row):
    method = make(row)
    state = method.init(params())
    eager = method.update(task_grads(), state, params(), losses=losses())
    close(jax.jit(method.update)(task_grads(), state, params(), losses=losses()), eager)


@every_row
def test_two_calls_compile_once(row):
    method, traces = make(row), []

    @jax.jit
    def update(grads, state, losses):
        traces.append(None)
        return method.update(grads, state, params(), losses=losses)

    _, state = update(task_grads(), method.init(params()), losses())
    update(task_grads(seed=1), state, losses(seed=1))
    assert len(traces) == 1


@every_row
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_updates_keep_the_type_of_the_gradients(row, dtype):
    with jax.enable_x64(dtype == "float64"):
        method, grads = make(row), task_grads(dtype=dtype)
        state = method.init(params(dtype))
        update, new_state = method.update(grads, state, params(dtype), losses=losses())
        assert kinds(update) == kinds(params(dtype))
        assert kinds(new_state) == kinds(state)


@every_row
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_narrow_types_agree_with_float64(row, dtype, tolerance):
    with jax.enable_x64(True):
        method, grads = make(row), task_grads(dtype=dtype)
        wide = jax.tree.map(lambda g: g.astype(jnp.float64), grads)
        found, _ = method.update(grads, method.init(params(dtype)), losses=losses())
        exact, _ = method.update(wide, method.init(params("float64")), losses=losses())
        found = jax.tree.map(lambda u: u.astype(jnp.float64), found)
        close(found, exact, tolerance, tolerance)


@every_row
def test_float64_gradients_are_summed_in_float64(row):
    with jax.enable_x64(True):
        method, grads = make(row), task_grads(dtype="float64")
        update, _ = method.update(grads, method.init(params("float64")), losses=losses())
        for leaf in jax.tree.leaves(update):
            assert (leaf != leaf.astype(jnp.float32).astype(jnp.float64)).any()


@every_row
def test_gradients_of_mixed_types_keep_theirs(row):
    grads = {"a": jnp.ones((K, 2), jnp.bfloat16), "b": jnp.ones((K, 3), jnp.float32)}
    method = make(row)
    like = jax.tree.map(lambda g: g[0], grads)
    update, _ = method.update(grads, method.init(like), like, losses=losses())
    assert kinds(update) == kinds(like)


@every_row
def test_bfloat16_gradients_are_rounded_once(row):
    """Weights and sums are float32: the update is that of the same numbers, rounded at the end."""
    generator = np.random.default_rng(0)
    grads = jnp.asarray(generator.normal(size=(K, 200)), jnp.bfloat16)
    method, like = make(row), jnp.zeros(200)
    found, _ = method.update(grads, method.init(like), like, losses=losses())
    wide = grads.astype(jnp.float32)
    expected, _ = method.update(wide, method.init(like), like, losses=losses())
    np.testing.assert_array_equal(found, expected.astype(jnp.bfloat16))


@every_row
def test_state_is_stable_in_a_scan(row):
    method = make(row)
    grads = jax.tree.map(lambda *g: jnp.stack(g), *(task_grads(seed=s) for s in range(3)))
    every_loss = jnp.stack([losses(seed=s) for s in range(3)])

    def body(state, inputs):
        update, state = method.update(inputs[0], state, params(), losses=inputs[1])
        return state, update

    start = method.init(params())
    end, updates = jax.lax.scan(body, start, (grads, every_loss))
    assert kinds(end) == kinds(start)
    state = start
    for s in range(3):
        expected, state = method.update(task_grads(seed=s), state, params(), losses=losses(seed=s))
        close(jax.tree.map(lambda u, s=s: u[s], updates), expected)
    close(end, state)


@every_row
def test_state_shows_the_weights(row):
    method = make(row)
    state = method.init(params())
    _, after = method.update(task_grads(), state, params(), losses=losses())
    for weights in (state.weights, after.weights):
        assert weights.shape == (K,) and weights.dtype == jnp.float32 and not weights.weak_type


@every_row
def test_state_survives_a_save(row, tmp_path):
    method = make(row)
    _, state = method.update(task_grads(), method.init(params()), params(), losses=losses())
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", method.init(params()))
    assert kinds(restored) == kinds(state)
    arguments = (params(),)
    expected = method.update(task_grads(seed=1), state, *arguments, losses=losses(seed=1))
    close(
        method.update(task_grads(seed=1), restored, *arguments, losses=losses(seed=1)),
        expected,
        0,
        0,
    )


@every_row
def test_zero_gradients_give_a_zero_update(row):
    method = make(row)
    zeros = jax.tree.map(jnp.zeros_like, task_grads())
    update, state = method.update(zeros, method.init(params()), params(), losses=losses())
    close(update, jax.tree.map(jnp.zeros_like, params()), 0, 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@every_row
@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_gradients_of_any_size_are_finite(row, size):
    method = make(row)
    grads = jax.tree.map(lambda g: size * g, task_grads())
    update, _ = method.update(grads, method.init(params()), params(), losses=losses())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(update))


@every_row
def test_single_task_gives_its_gradient_back(row):
    method, grads = make(row, 1), task_grads(1)
    update, state = method.update(grads, method.init(params()), params(), losses=losses(1))
    close(update, jax.tree.map(lambda g: row.alone * g[0], grads))
    assert state.weights.shape == (1,)


@every_row
def test_first_link_of_a_chain(row):
    method = make(row)
    chain = optax.chain(method, optax.adamw(1e-2, weight_decay=0.1))
    found, _ = chain.update(task_grads(), chain.init(params()), params(), losses=losses())
    combined, _ = method.update(task_grads(), method.init(params()), params(), losses=losses())
    adamw = optax.adamw(1e-2, weight_decay=0.1)
    expected, _ = adamw.update(combined, adamw.init(params()), params())
    close(found, expected)


@every_row
def test_batches_of_gradients_under_vmap(row):
    method = make(row)
    grads = jax.tree.map(lambda *g: jnp.stack(g), *(task_grads(seed=s) for s in range(2)))
    every_loss = jnp.stack([losses(seed=s) for s in range(2)])
    state = method.init(params())

    def update(g, loss):
        return method.update(g, state, params(), losses=loss)[0]

    found = jax.vmap(update)(grads, every_loss)
    for s in range(2):
        close(jax.tree.map(lambda u, s=s: u[s], found), update(task_grads(seed=s), losses(seed=s)))


WRONG = [(row, options, message) for row in ROWS for options, message in row.wrong]


@pytest.mark.parametrize(("row", "options", "message"), WRONG, ids=lambda x: getattr(x, "name", ""))
def test_wrong_options_are_refused(row, options, message):
    with pytest.raises(ValueError, match=message):
        METHODS[row.name](K, **{**row.options(K), **options})


@every_row
def test_unknown_option_is_refused(row):
    with pytest.raises(TypeError, match="no_such_option"):
        METHODS[row.name](K, **row.options(K), no_such_option=1)


@every_row
@pytest.mark.parametrize("num_tasks", [0, -1, True])
def test_number_of_tasks_is_a_positive_integer(row, num_tasks):
    with pytest.raises(ValueError, match="`num_tasks` must be a positive integer"):
        METHODS[row.name](num_tasks, **row.options(K))


@every_row
@pytest.mark.parametrize("shape", [(), (K + 1,), (2, K)], ids=str)
def test_missing_task_axis_is_refused(row, shape):
    method = make(row)
    good, bad = jnp.ones((K, 3)), jnp.ones(shape)
    like = {"good": good[0], "bad": jnp.ones(shape[1:])}
    with pytest.raises(ValueError, match=r"`task_grads` must have a leading task axis of length 4"):
        method.update({"good": good, "bad": bad}, method.init(like), like, losses=losses())


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.family == "loss"], ids=lambda row: row.name
)
def test_identity_as_gradients_returns_the_weights(row):
    """So that one backward pass with these weights is the whole step."""
    method = make(row)
    state = method.init(params())
    weights, after = method.update(jnp.eye(K), state, losses=losses())
    close(weights, after.weights)
    update, _ = method.update(task_grads(), state, losses=losses())
    expected = jax.tree.map(
        lambda g: jnp.tensordot(weights, g, 1, precision="highest"), task_grads()
    )
    close(update, expected)
