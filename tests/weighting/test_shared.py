"""Options that all methods on gradients have: which parameters, at which scale."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from rows import K, close, kinds, losses, params, task_grads

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._gradients import from_gramian
from maskformer_jax.weighting._losses import plain

PREFERENCE = [1.0, 0.5, 2.0, 3.0]


def update_of(name, grads, given=None, **options):
    method = METHODS[name](K, **options)
    state = method.init(jax.tree.map(lambda g: g[0], grads))
    return method.update(grads, state, losses=losses(), **(given or {}))


def scaled(grads, factors):
    factors = np.asarray(factors, np.float32)
    return jax.tree.map(lambda g: g * factors.reshape(-1, *[1] * (g.ndim - 1)), grads)


def lengths(grads):
    return np.sqrt(sum((np.asarray(g) ** 2).reshape(K, -1).sum(1) for g in jax.tree.leaves(grads)))


def combination(grads, weights):
    return jax.tree.map(lambda g: jnp.tensordot(weights, g, 1, precision="highest"), grads)


# Methods to which the lengths of the gradients matter: one on the Gramian, one on gradients.
SENSITIVE = pytest.mark.parametrize(
    ("name", "own"), [("pcgrad", {}), ("graddrop", {"leak": 1.0})], ids=["pcgrad", "graddrop"]
)
FACTORS = {
    "preference": ({"preference": PREFERENCE}, lambda grads: np.array(PREFERENCE)),
    "l2": ({"normalise": "l2"}, lambda grads: 1 / lengths(grads)),
    "loss": ({"normalise": "loss"}, lambda grads: 1 / (np.asarray(losses()) + 1e-8)),
    "both": (
        {"normalise": "l2", "preference": PREFERENCE},
        lambda grads: np.array(PREFERENCE) / lengths(grads),
    ),
}


@SENSITIVE
@pytest.mark.parametrize("case", FACTORS)
def test_gradients_are_scaled_and_weights_are_those_of_the_gradients_as_given(name, own, case):
    options, factors = FACTORS[case]
    grads = task_grads()
    found, state = update_of(name, grads, **own, **options)
    expected, inner = update_of(name, scaled(grads, factors(grads)), **own)
    close(found, expected, 1e-5, 1e-5)
    np.testing.assert_allclose(state.weights, inner.weights * factors(grads), rtol=1e-5)
    close(state.method, inner.method, 1e-5, 1e-5)


def test_weights_as_given_make_the_update():
    grads = task_grads()
    found, state = update_of("pcgrad", grads, normalise="l2", preference=PREFERENCE)
    close(found, combination(grads, state.weights), 1e-5, 1e-5)


def test_gradients_of_length_zero_can_be_normalised():
    grads = scaled(task_grads(), [1, 0, 1, 1])
    update, state = update_of("pcgrad", grads, normalise="l2")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((update, state)))
    assert state.weights[1] == 0


def test_second_gradients_are_scaled_too():
    grads, second = task_grads(), task_grads(seed=7)
    found, _ = update_of("modo", grads, {"task_grads_2": second}, preference=PREFERENCE)
    factors = 1 / np.array(PREFERENCE)
    second = scaled(second, factors)
    expected, _ = update_of("modo", scaled(grads, factors), {"task_grads_2": second})
    close(found, expected, 1e-5, 1e-5)


def test_scaled_gradients_keep_their_type_and_are_rounded_once():
    grads = task_grads(dtype="bfloat16")
    found, _ = update_of("graddrop", grads, leak=1.0, preference=PREFERENCE)
    assert kinds(found) == kinds(params("bfloat16"))
    wide = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
    expected, _ = update_of("graddrop", wide, leak=1.0, preference=PREFERENCE)
    close(found, jax.tree.map(lambda x: x.astype(jnp.bfloat16), expected), 0, 0)


def test_losses_are_needed_where_they_normalise():
    method = METHODS["pcgrad"](K, normalise="loss")
    state = method.init(params())
    with pytest.raises(ValueError, match="`losses` must be given to `normalise: loss`"):
        method.update(task_grads(), state)
    with pytest.raises(ValueError, match=r"`losses` .* must be at least 0"):
        method.update(task_grads(), state, losses=-losses())


# Leaves "a" and the last one are shared, the scalar in the middle belongs to one task.
SHARED = {"a": True, "b": [False, (True,)]}


def own_grads():
    """Task 2 alone reaches the leaf that is not shared."""
    grads = task_grads()
    only = jnp.zeros(K).at[2].set(3.0)
    return {"a": grads["a"], "b": [only, grads["b"][1]]}


def without_own(grads):
    return {"a": grads["a"], "b": [grads["b"][1]]}


@pytest.mark.parametrize(
    ("name", "method"), [("pcgrad", {}), ("trimmed_mean", {"trim": 1})], ids=["gramian", "gradient"]
)
def test_own_parameters_take_no_part(name, method):
    grads = own_grads()
    found, state = update_of(name, grads, shared=SHARED, **method)
    expected, inner = update_of(name, without_own(grads), **method)
    close(without_own(found), expected, 1e-5, 1e-5)
    close(state.weights, inner.weights, 1e-5, 1e-5)
    close(state.gramian, inner.gramian, 1e-5, 1e-5)
    assert found["b"][0] == 3.0


@pytest.mark.parametrize("granularity", ["model", "tensor"])
@pytest.mark.parametrize("options", [{}, {"preference": PREFERENCE}], ids=str)
def test_own_parameters_get_the_weight_that_was_chosen(granularity, options):
    options = {"shared": SHARED, "granularity": granularity, **options}
    update, _ = update_of("pcgrad", own_grads(), own_weights="one", **options)
    assert update["b"][0] == 3.0
    update, state = update_of("pcgrad", own_grads(), own_weights="weights", **options)
    assert state.weights[2] > 1.05
    np.testing.assert_allclose(update["b"][0], 3.0 * state.weights[2], rtol=1e-6)


@pytest.mark.parametrize("granularity", ["model", "tensor"])
def test_own_weights_by_the_definition_of_a_method(granularity):
    def own(weights, state, losses):
        return 10 * state.weights + losses

    options = {"own": own, "shared": SHARED, "granularity": granularity}
    method, grads = (
        from_gramian(K, *plain(K, lambda gramian, _: jnp.diagonal(gramian)), **options),
        own_grads(),
    )
    update, state = method.update(grads, method.init(params()), losses=losses())
    expected = 3.0 * (10 * state.weights[2] + losses()[2])
    np.testing.assert_allclose(update["b"][0], expected, rtol=1e-5)


def test_own_parameters_of_the_losses_are_as_in_the_row_of_the_method():
    update, _ = update_of("db_mtl", own_grads(), shared=SHARED)
    np.testing.assert_allclose(update["b"][0], 3.0 / losses()[2], rtol=1e-5)


def test_own_parameters_add_up_two_batches():
    grads, second = own_grads(), jax.tree.map(lambda g: 3 * g, own_grads())
    found, _ = update_of("modo", grads, {"task_grads_2": second}, shared=SHARED)
    close(found["b"][0], 4 * grads["b"][0].sum(0), 1e-5, 1e-5)


def test_states_do_not_hold_own_parameters():
    held = METHODS["db_mtl"](K, shared=SHARED).init(params()).method
    expected = METHODS["db_mtl"](K).init(without_own(params())).method
    assert [x.shape for x in jax.tree.leaves(held)] == [x.shape for x in jax.tree.leaves(expected)]


def test_gramian_from_elsewhere_takes_the_place_of_that_of_the_gradients():
    grads, gramian = task_grads(), jnp.diag(jnp.arange(1.0, K + 1)) - 0.1
    update, state = update_of("config", grads, {"gramian": gramian})
    weights, _ = METHODS["config"](K).weights(gramian, state.method)
    close(update, combination(grads, weights), 1e-5, 1e-5)
    close(state.gramian, gramian)


def test_gramian_from_elsewhere_is_refused_where_it_has_no_meaning():
    with pytest.raises(ValueError, match="`gramian` must be left out"):
        update_of("trimmed_mean", task_grads(), {"gramian": jnp.eye(K)}, trim=1)


def test_gramian_of_the_state_is_that_of_the_shared_gradients():
    _, state = update_of("config", task_grads())
    rows = np.concatenate([np.reshape(g, (K, -1)) for g in jax.tree.leaves(task_grads())], 1)
    np.testing.assert_allclose(state.gramian, rows @ rows.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("granularity", "shape"), [("model", (3, K, K)), ("tensor", (K, K))])
def test_gramian_of_another_shape_is_refused(granularity, shape):
    with pytest.raises(ValueError, match=r"`gramian` must have shape \(.*4, 4\); got shape"):
        update_of("config", task_grads(), {"gramian": jnp.ones(shape)}, granularity=granularity)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalise": "l1"}, r"`normalise` must be one of .*'l2'.*got 'l1'"),
        ({"normalise": None}, r"`normalise` must be one of .*got None"),
        ({"granularity": "block"}, r"`granularity` must be one of .*'layer'.*got 'block'"),
        ({"granularity": ["model"]}, r"`granularity` must be one of .*got \['model'\]"),
        ({"own_weights": "two"}, r"`own_weights` must be one of .*got 'two'"),
        ({"own_weights": 1.0}, r"`own_weights` must be one of .*got 1.0"),
        ({"preference": [1.0]}, r"`preference` must hold 4 finite values.*\[1.0\]"),
        ({"preference": "abcd"}, r"`preference` must hold 4 finite values.*'abcd'"),
        ({"preference": 2.0}, r"`preference` must hold 4 finite values.*2.0"),
        ({"preference": ["1", 1, 1, 1]}, r"`preference` must hold 4 finite values.*'1'"),
        ({"preference": [1, 1, 1, -1]}, r"`preference` must hold positive values.*-1"),
        ({"shared": "encoder"}, r"`shared` must be a tree of True and False; got 'encoder'"),
    ],
    ids=lambda x: str(x) if isinstance(x, dict) else "",
)
def test_wrong_options_are_refused(options, message, monkeypatch):
    # Users have no checker of types that would refuse some of them earlier.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for name in ("pcgrad", "graddrop"):
        with pytest.raises(ValueError, match=message):
            METHODS[name](K, **options)


def test_groups_are_refused_without_a_gramian():
    with pytest.raises(ValueError, match=r"`granularity` must be 'model' for .*got 'layer'"):
        METHODS["graddrop"](K, granularity="layer")


def test_shared_parameters_have_the_form_of_the_parameters():
    method = METHODS["pcgrad"](K, shared={"a": True})
    with pytest.raises(ValueError, match=r"`shared` must be a tree like the parameters"):
        method.init(params())


def test_there_are_shared_parameters():
    method = METHODS["pcgrad"](K, shared=jax.tree.map(lambda _: False, params()))
    with pytest.raises(ValueError, match=r"`shared` must leave at least one parameter to share"):
        method.init(params())
