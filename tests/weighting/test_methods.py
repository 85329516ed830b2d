"""Every method keeps the same contract."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from method_rows import ROWS, arguments, call, compiled, every_row, make, parametrize
from rows import K, close, kinds, losses, params, task_grads

from maskformer_jax.weighting import METHODS


def test_every_method_has_one_row():
    """But for one of two names."""
    assert METHODS["random"] == METHODS["rlw"]
    assert sorted(["random", *(row.name for row in ROWS)]) == sorted(METHODS)


@every_row
def test_family_is_the_one_of_the_row(row):
    assert METHODS[row.name].family == row.family


@every_row
def test_jit_agrees_with_eager(row):
    method = make(row)
    state = method.init(params())
    close(call(row, compiled(row), state), call(row, method, state), 1e-5, 1e-5)


@every_row
def test_two_calls_compile_once(row):
    method = compiled(row)
    _, state = call(row, method, method.init(params()))
    compilations = method.update._cache_size()
    call(row, method, state, seed=1)
    assert method.update._cache_size() == compilations


@every_row
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "mixed"])
def test_updates_keep_the_type_of_the_gradients(row, dtype):
    """By shapes alone: what the numbers are is held by the tests that follow."""
    with jax.enable_x64(dtype == "float64"):
        like = params("float32" if dtype == "mixed" else dtype)
        if dtype == "mixed":
            like["a"] = like["a"].astype(jnp.bfloat16)
        grads = jax.tree.map(lambda x: jnp.ones((K, *x.shape), x.dtype), like)
        method, extra = make(row), arguments(row, second=grads)
        state = method.init(like)
        update, after = jax.eval_shape(method.update, grads, state, like, **extra)
        assert kinds(update) == kinds(like)
        assert kinds(after) == kinds(state)


def cast(tree, dtype):
    return jax.tree.map(lambda x: x.astype(dtype), tree)


@every_row
def test_narrow_types_agree_with_float64_which_is_not_narrowed(row):
    method, found = compiled(row), {}
    for dtype in ("float32", "bfloat16"):
        like, grads = params(dtype), task_grads(dtype=dtype)
        found[dtype], _ = method.update(grads, method.init(like), like, **arguments(row))
    with jax.enable_x64(True):
        wide, extra = params("float64"), arguments(row)
        for dtype, tolerance in (("bfloat16", 2e-2), ("float32", 1e-5)):
            grads = cast(task_grads(dtype=dtype), "float64")
            exact, _ = method.update(grads, method.init(wide), wide, **extra)
            close(cast(found[dtype], "float64"), exact, tolerance, tolerance)
        assert any((leaf != cast(leaf, "float32")).any() for leaf in jax.tree.leaves(exact))


@every_row
def test_bfloat16_gradients_are_rounded_once(row):
    """Weights and sums are float32: the update is that of the same numbers, rounded at the end."""
    generator = np.random.default_rng(0)
    grads = jnp.asarray(generator.normal(size=(K, 200)), jnp.bfloat16)
    method, like = make(row), jnp.zeros(200)
    extra = arguments(row, second=grads)
    found, _ = method.update(grads, method.init(like), like, **extra)
    wide = grads.astype(jnp.float32)
    expected, _ = method.update(wide, method.init(like), like, **extra)
    np.testing.assert_array_equal(found, expected.astype(jnp.bfloat16))


@every_row
def test_state_is_stable_in_a_scan(row):
    method = compiled(row)
    inputs = [(task_grads(seed=s), arguments(row, seed=s)) for s in range(3)]
    start = method.init(params())

    def body(state, given):
        update, state = method.update(given[0], state, params(), **given[1])
        return state, update

    end, updates = jax.lax.scan(body, start, jax.tree.map(lambda *x: jnp.stack(x), *inputs))
    assert kinds(end) == kinds(start)
    state = start
    for s in range(3):
        expected, state = call(row, method, state, seed=s)
        close(jax.tree.map(lambda u, s=s: u[s], updates), expected, 1e-4, 1e-4)
    close(end, state, 1e-4, 1e-4)


@every_row
def test_state_shows_the_weights(row):
    method = compiled(row)
    state = method.init(params())
    _, after = call(row, method, state)
    for weights in (state.weights, after.weights):
        assert weights.shape == (K,) and weights.dtype == jnp.float32 and not weights.weak_type


@every_row
def test_state_can_be_donated(row):
    """No array is in it twice, and none that it gave away comes with the next one."""
    method = make(row)
    for leaf in jax.tree.leaves(method.init(params())):
        assert not leaf.is_deleted()
        leaf.delete()
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(method.init(params())))


def test_states_survive_a_save(tmp_path):
    """All in one file."""
    first, states = {}, {}
    for row in ROWS:
        first[row.name] = compiled(row).init(params())
        _, states[row.name] = call(row, compiled(row), first[row.name])
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "states", states)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "states", first)
    assert kinds(restored) == kinds(states)
    close(restored, states, 0, 0)


@every_row
def test_zero_gradients_give_a_zero_update(row):
    method = compiled(row)
    zeros = jax.tree.map(jnp.zeros_like, task_grads())
    extra = arguments(row, second=zeros)
    update, state = method.update(zeros, method.init(params()), params(), **extra)
    close(update, jax.tree.map(jnp.zeros_like, params()), 0, 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


# Gradients on which methods have divided by zero: name -> row of each task.
AWKWARD = {
    "a zero row": np.diag([1.0, 1.0, 1.0, 0.0]),
    "equal rows": np.ones((4, 4)),
    "opposite rows": np.array([[1.0, 2, 0, 0], [-1, -2, 0, 0], [3, 0, 1, 0], [0, 0, 0, 1]]),
    "rank one": np.outer([1.0, -2, 3, 0.5], [1, 2, 3, 4]),
    "norms 1e6 apart": np.diag([1e-3, 1.0, 1e3, 1.0]) + 0.1 * np.eye(4)[::-1],
    "sum is zero": np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]]),
}


SIZES = [1e-12, 1e-6, 1.0, 1e6, 1e12]


def batch_of_gradients():
    """Trees like `params()` with a leading axis: two usual ones, then each case in each size."""
    usual = [
        np.concatenate([np.reshape(x, (K, -1)) for x in jax.tree.leaves(task_grads(seed=s))], 1)
        for s in range(2)
    ]
    cases = np.stack([size * case for size in SIZES for case in AWKWARD.values()])
    cases = np.pad(cases, ((0, 0), (0, 0), (0, usual[0].shape[1] - 4)))
    rows = jnp.asarray(np.concatenate([usual, cases]), jnp.float32)
    return {
        "a": rows[..., :6].reshape(-1, K, 3, 2),
        "b": [rows[..., 6], (rows[..., 7:],)],
    }


@every_row
def test_awkward_gradients_of_any_size_are_finite_and_batches_of_them_agree(row):
    """Two updates of all of them at once under vmap; the usual ones are compared one by one."""
    method, like = make(row), params()

    @jax.jit
    @jax.vmap
    def twice(grads):
        extra = arguments(row, second=grads)
        first, state = method.update(grads, method.init(like), like, **extra)
        return first, state, method.update(grads, state, like, **extra)

    found = twice(batch_of_gradients())
    for leaf in jax.tree.leaves(found):
        finite = np.isfinite(leaf[2:]).reshape(len(SIZES), len(AWKWARD), -1).all(-1)
        assert finite.all(), [(SIZES[i], list(AWKWARD)[j]) for i, j in np.argwhere(~finite)]
    for s in range(2):
        grads = task_grads(seed=s)
        extra = arguments(row, second=grads)
        expected = compiled(row).update(grads, method.init(like), like, **extra)
        close(jax.tree.map(lambda x, s=s: x[s], found[:2]), expected, 1e-4, 1e-4)


@parametrize([row for row in ROWS if row.fewest == 1])
def test_single_task_gives_its_gradient_back(row):
    method, grads = compiled(row, 1), task_grads(1)
    extra = arguments(row, 1, second=grads)
    update, state = method.update(grads, method.init(params()), params(), **extra)
    weight = row.alone(optax.tree.norm(grads)) if callable(row.alone) else row.alone
    close(update, jax.tree.map(lambda g: weight * g[0], grads), 1e-5, 1e-5)
    assert state.weights.shape == (1,)


@every_row
def test_first_link_of_a_chain(row):
    method = compiled(row)
    chain = optax.chain(method, optax.adamw(1e-2, weight_decay=0.1))
    found, _ = chain.update(task_grads(), chain.init(params()), params(), **arguments(row))
    combined, _ = call(row, method, method.init(params()))
    adamw = optax.adamw(1e-2, weight_decay=0.1)
    expected, _ = adamw.update(combined, adamw.init(params()), params())
    close(found, expected)


WRONG = [(row, options, message) for row in ROWS for options, message in row.wrong]


@pytest.mark.parametrize(("row", "options", "message"), WRONG, ids=lambda x: getattr(x, "name", ""))
def test_wrong_options_are_refused(row, options, message, monkeypatch):
    # Users have no checker of types that would refuse some of them earlier.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        METHODS[row.name](K, **{**row.options(K), **options})


@every_row
def test_unknown_option_is_refused(row):
    with pytest.raises(TypeError, match="no_such_option"):
        METHODS[row.name](K, **row.options(K), no_such_option=1)


@every_row
def test_number_of_tasks_is_a_positive_integer(row):
    for num_tasks in (0, -1, True):
        with pytest.raises(ValueError, match="`num_tasks` must be a positive integer"):
            METHODS[row.name](num_tasks, **row.options(K))


@every_row
def test_missing_task_axis_is_refused(row):
    method, rule = make(row), "`task_grads` must have a leading task axis of length 4"
    for shape in ((), (K + 1,), (2, K)):
        like = {"good": jnp.ones(3), "bad": jnp.ones(shape[1:])}
        grads = {"good": jnp.ones((K, 3)), "bad": jnp.ones(shape)}
        with pytest.raises(ValueError, match=rule):
            method.update(grads, method.init(like), like, losses=losses())


@parametrize([row for row in ROWS if row.family == "loss"])
def test_identity_as_gradients_returns_the_weights(row):
    """So that one backward pass with these weights is the whole step."""
    method = compiled(row)
    state = method.init(params())
    weights, after = method.update(jnp.eye(K), state, **arguments(row))
    close(weights, after.weights)
    update, _ = call(row, method, state)
    expected = jax.tree.map(
        lambda g: jnp.tensordot(weights, g, 1, precision="highest"), task_grads()
    )
    close(update, expected)


@parametrize([row for row in ROWS if row.family == "gramian"])
def test_update_is_built_on_the_weights_of_the_gramian(row):
    method = make(row)
    grads = jnp.asarray(np.random.default_rng(3).normal(size=(K, 7)), jnp.float32)
    state, gramian = method.init(grads[0]), grads @ grads.T
    weights, inner = method.weights(gramian, state.method, losses())
    update, same = method.update(grads, state, losses=losses())
    close(update, weights @ grads, 1e-4, 1e-4)
    close(same, method.weigh(gramian, state, losses()), 1e-4, 1e-4)
    close(same.method, inner, 1e-4, 1e-4)
