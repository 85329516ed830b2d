"""Methods on the task gradients against their definitions, written out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_definitions import (
    db_mtl,
    excess_mtl,
    gradnorm,
    moco,
    moco_libmtl,
    modo,
    sdmgrad,
    simplex,
    trimmed_mean,
)

from maskformer_jax.weighting import METHODS
from maskformer_jax.weighting._rows import row_norms
from maskformer_jax.weighting._solvers import project_simplex

STEPS, SIZE = 5, 20


def draw(num_tasks, seed=0):
    """Task gradients of different lengths, those of a second batch, and losses, step by step."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(1, num_tasks, SIZE))
    lengths = generator.uniform(0.2, 1.0, (1, num_tasks, 1))
    first, second = (
        lengths * (common + 0.3 * generator.normal(size=(STEPS, num_tasks, SIZE))) for _ in "ab"
    )
    return first, second, generator.uniform(0.2, 2.0, (STEPS, num_tasks))


def run(name, first, second, losses, **options):
    """Updates and weights of our method, with the gradients split over two leaves."""
    num_tasks = first.shape[1]
    method = METHODS[name](num_tasks, **options)
    needs = METHODS[name].needs

    def split(rows):
        rows = jnp.asarray(rows, jnp.float32)
        return {"a": rows[..., :12].reshape(*rows.shape[:-1], 3, 4), "b": rows[..., 12:]}

    def step(state, given):
        grads, others, loss = given
        extra = {"task_grads_2": others} if "task_grads_2" in needs else {}
        update, state = method.update(grads, state, losses=loss, **extra)
        joined = jnp.concatenate([update["a"].reshape(-1), update["b"]])
        return state, (joined, state.weights)

    start = method.init(jax.tree.map(lambda x: x[0, 0], split(first)))
    given = (split(first), split(second), jnp.asarray(losses, jnp.float32))
    return jax.lax.scan(step, start, given)[1]


P3 = [0.2, 0.5, 0.3]
EPOCH = {"initial": "first_epoch", "steps_per_epoch": 2}
# Method, number of tasks, its options, definition, the definition's options.
CASES = [
    ("gradnorm", 2, {}, gradnorm, {}),
    ("gradnorm", 6, {"alpha": 0.5, "learning_rate": 0.1}, gradnorm, {"alpha": 0.5, "rate": 0.1}),
    ("gradnorm", 3, EPOCH, gradnorm, {"warmup": 2}),
    ("gradnorm", 3, {"preference": P3}, gradnorm, {"factors": np.array(P3)}),
    # So large a rate that the floor acts.
    ("gradnorm", 3, {"learning_rate": 1.5}, gradnorm, {"rate": 1.5}),
    ("db_mtl", 2, {}, db_mtl, {}),
    ("db_mtl", 6, {"beta": 0.6, "sigma": 0.5}, db_mtl, {"beta": 0.6, "sigma": 0.5}),
    ("db_mtl", 3, {"preference": P3}, db_mtl, {"factors": np.array(P3)}),
    ("excess_mtl", 2, {}, excess_mtl, {}),
    ("excess_mtl", 6, {"step_size": 0.5}, excess_mtl, {"step_size": 0.5}),
    (
        "excess_mtl",
        3,
        {"warmup_steps": 2, "step_size": 1.0},
        excess_mtl,
        {"warmup": 2, "step_size": 1.0},
    ),
    ("moco", 2, {}, moco, {}),
    (
        "moco",
        6,
        {"beta": 0.5, "gamma": 0.2, "rho": 0.0},
        moco,
        {"beta": 0.5, "gamma": 0.2, "rho": 0.0},
    ),
    ("moco", 3, {"variant": "libmtl"}, moco_libmtl, {}),
    ("modo", 2, {}, modo, {}),
    ("modo", 6, {"gamma": 0.01, "rho": 0.5}, modo, {"gamma": 0.01, "rho": 0.5}),
    ("sdmgrad", 2, {}, sdmgrad, {}),
    ("sdmgrad", 3, {"lam": 2.0}, sdmgrad, {"lam": 2.0}),
    ("sdmgrad", 3, {"preference": P3, "lr": 1.0}, sdmgrad, {"p": np.array(P3), "lr": 1.0}),
    (
        "sdmgrad",
        6,
        {"lr": 0.3, "momentum": 0.2, "n_iter": 9},
        sdmgrad,
        {"lr": 0.3, "momentum": 0.2, "n_iter": 9},
    ),
    ("trimmed_mean", 3, {"trim": 1}, trimmed_mean, {"trim": 1}),
    ("trimmed_mean", 6, {"trim": 2}, trimmed_mean, {"trim": 2}),
    ("trimmed_mean", 6, {"trim": 0}, trimmed_mean, {"trim": 0}),
    ("trimmed_mean", 50, {"trim": 9}, trimmed_mean, {"trim": 9}),
]


@pytest.mark.parametrize(("name", "num_tasks", "options", "reference", "known"), CASES)
def test_updates_and_weights_are_those_of_the_definition(
    name, num_tasks, options, reference, known
):
    given = draw(num_tasks)
    updates, weights = run(name, *given, **options)
    expected, expected_weights = map(np.array, zip(*reference(*given, **known), strict=True))
    np.testing.assert_allclose(updates, expected, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_tasks", [2, 16])
def test_projection_is_the_nearest_point_of_the_simplex(num_tasks):
    values = np.random.default_rng(num_tasks).normal(size=num_tasks)
    found = project_simplex(jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(found, simplex(values), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]),
        ([-3e38, -3e38, -3e38], [1 / 3, 1 / 3, 1 / 3]),
        ([-1.1e24] * 5, [0.2] * 5),
        ([1e24, 1e24, -1e24], [0.5, 0.5, 0.0]),
        ([-1e24, -3e23, -1e20], [0.0, 0.0, 1.0]),
        ([1e-24, -1e-24, 0.0], [1 / 3, 1 / 3, 1 / 3]),
        ([3e38, -3e38, 0.0], [1.0, 0.0, 0.0]),
        ([0.3, 0.3, 0.4], [0.3, 0.3, 0.4]),
        ([7.0], [1.0]),
    ],
)
def test_projection_of_huge_tiny_and_equal_values(values, expected):
    found = project_simplex(jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-15, 1.0, 1e15])
def test_lengths_of_rows_of_any_size(size):
    rows = jnp.asarray([[3.0, 0.0], [0.0, 0.0]]), jnp.asarray([4.0, 0.0])
    found = row_norms(jax.tree.map(lambda x: size * x, rows))
    np.testing.assert_allclose(found, [5 * size, 0.0], rtol=1e-6)


def test_gradnorm_takes_lengths_on_the_chosen_parameters_alone():
    grads = {"encoder": jnp.asarray([[9.0], [1.0]]), "head": jnp.asarray([[1.0], [2.0]])}
    like = jax.tree.map(lambda g: g[0], grads)

    def second_weights(given, **options):
        method = METHODS["gradnorm"](2, alpha=0.0, **options)
        args = {"losses": jnp.ones(2)}
        _, state = method.update(given, method.init(jax.tree.map(lambda g: g[0], given)), **args)
        return state.method.next_weights

    def is_head(path):
        return jax.tree_util.keystr(path) == "['head']"

    chosen = second_weights(grads, norm_params=is_head)
    np.testing.assert_array_equal(chosen, second_weights({"head": grads["head"]}))
    assert chosen[0] > 1 > chosen[1]
    everywhere = second_weights(grads)
    assert everywhere[0] < 1 < everywhere[1]
    with pytest.raises(ValueError, match="`norm_params` must choose a parameter"):
        METHODS["gradnorm"](2, norm_params=lambda path: False).init(like)


def test_gradnorm_weights_stay_above_zero_and_sum_to_the_number_of_tasks():
    first, second, losses = draw(3)
    first[:, 0] *= 1e4
    _, weights = run("gradnorm", first, second, losses, learning_rate=2.0)
    np.testing.assert_allclose(weights.sum(1), 3.0, rtol=1e-6)
    assert weights.min() == pytest.approx(1e-3, rel=0.7)


def test_gradnorm_with_a_loss_that_starts_at_zero_is_finite():
    first, second, losses = draw(3)
    losses[0] = [0.0, 1.0, 1.0]
    losses[2] = 0.0
    updates, weights = run("gradnorm", first, second, losses)
    assert np.isfinite(updates).all() and np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("name", "options"), [("gradnorm", {}), ("db_mtl", {}), ("moco", {"variant": "libmtl"})]
)
def test_losses_are_required(name, options):
    method = METHODS[name](2, **options)
    with pytest.raises(ValueError, match=f"`losses` must be given to {name}"):
        method.update(jnp.ones((2, 3)), method.init(jnp.ones(3)))


@pytest.mark.parametrize("name", ["gradnorm", "db_mtl"])
def test_negative_losses_are_refused(name):
    method = METHODS[name](2)
    with pytest.raises(ValueError, match="must be at least 0"):
        method.update(jnp.ones((2, 3)), method.init(jnp.ones(3)), losses=jnp.asarray([1.0, -1.0]))


def drops(grads, draws=2000, **options):
    """Updates with `draws` keys, one after the other."""
    method = METHODS["graddrop"](len(grads), **options)
    state = method.init(grads[0])
    return jax.lax.scan(lambda s, _: method.update(grads, s)[::-1], state, length=draws)[1]


def test_graddrop_keeps_signs_with_the_probability_of_their_purity():
    # Positive purity: (1 + (3 - 1)/(3 + 1))/2, 1/2, 1, 0 and, for zeros, any.
    grads = jnp.asarray([[3.0, -2.0, 1.0, -1.0, 0.0], [-1.0, 2.0, 4.0, -3.0, 0.0]])
    updates = np.asarray(drops(grads))
    probabilities = (updates > 0).mean(0)
    np.testing.assert_allclose(probabilities, [0.75, 0.5, 1.0, 0.0, 0.0], atol=0.04)
    # One draw serves both tasks: a mixed entry never keeps both signs, nor none.
    assert set(updates[:, 0]) == {3.0, -1.0} and set(updates[:, 1]) == {2.0, -2.0}
    np.testing.assert_array_equal(updates[:, 2:], np.tile([5.0, -4.0, 0.0], (2000, 1)))
    np.testing.assert_allclose(updates.mean(0), grads.sum(0), atol=0.2)
    # Entries are drawn apart from each other.
    assert abs(np.corrcoef(updates[:, 0], updates[:, 1])[0, 1]) < 0.1


def test_graddrop_leak_lets_a_part_pass():
    grads = jnp.asarray([[3.0], [-1.0]])
    np.testing.assert_array_equal(drops(grads, 20, leak=1.0), np.full((20, 1), 2.0))
    assert set(np.asarray(drops(grads, 50, leak=[0.5, 0.0]))[:, 0]) == {3.0, 0.5}


def test_graddrop_draws_are_those_of_its_seed():
    grads = jnp.asarray(np.random.default_rng(0).normal(size=(3, 40)))
    first, again, other = (drops(grads, 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first[0] != first[1]).any()


@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({}, "gradients on an independent batch, of the same form as `task_grads`; got None"),
        ({"task_grads_2": {"b": np.ones((2, 3))}}, "of the same form .* got PyTreeDef"),
        ({"task_grads_2": {"a": np.ones((2, 4))}}, r"of the same form .* shape \(2, 4\)"),
        ({"task_grads_2": {"a": np.ones((3, 3))}}, "`task_grads_2` must have a leading task axis"),
    ],
    ids=["none", "structure", "shape", "tasks"],
)
def test_second_batch_must_have_the_form_of_the_first(name, second, message):
    method, grads = METHODS[name](2), {"a": jnp.ones((2, 3))}
    second = jax.tree.map(jnp.asarray, second)
    with pytest.raises(ValueError, match=message):
        method.update(grads, method.init({"a": jnp.ones(3)}), **second)


@pytest.mark.parametrize("name", ["moco", "modo", "sdmgrad"])
def test_huge_gradients_leave_weights_on_the_simplex(name):
    given = draw(4)
    updates, weights = run(name, 1e12 * given[0], -1e12 * given[1], given[2])
    assert np.isfinite(updates).all()
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
    assert weights.min() >= 0


def test_excess_mtl_weight_comes_back_from_below_the_smallest_number():
    """Task 0 outgrows task 1 by more than float32 holds; then it ends, and task 1 catches up."""
    grads = np.zeros((600, 2, 1))
    grads[0] = 1e-3
    grads[1:300, 0], grads[300:, 1] = 1.0, 1.0
    _, weights = run_plain("excess_mtl", grads, step_size=0.01)
    assert weights[299].min() == 0.0 and weights[-1][1] > 0.5


def run_plain(name, first, **options):
    """Updates and weights on gradients without losses, as a single leaf."""
    method = METHODS[name](first.shape[1], **options)

    def step(state, grads):
        update, state = method.update(grads, state)
        return state, (update, state.weights)

    first = jnp.asarray(first, jnp.float32)
    return jax.lax.scan(step, method.init(first[0, 0]), first)[1]


@pytest.mark.parametrize(
    ("name", "factor"), [("db_mtl", "1/L"), ("excess_mtl", "w"), ("moco", "1")]
)
def test_parameters_of_one_task_get_its_gradient_times(name, factor):
    grads = {"shared": jnp.asarray([[1.0, 2.0], [3.0, -1.0]]), "own": jnp.asarray([[5.0], [0.0]])}
    like = jax.tree.map(lambda g: g[0], grads)
    options = {"step_size": 1.0} if name == "excess_mtl" else {}
    method = METHODS[name](2, shared={"shared": True, "own": False}, **options)
    state, losses = method.init(like), jnp.asarray([0.25, 1.0])
    earlier = jax.tree.map(lambda g: jnp.asarray([[2.0], [0.5]]) * g, grads)
    _, state = method.update(earlier, state, losses=losses)
    update, state = method.update(grads, state, losses=losses)
    expected = {"1/L": 4.0, "w": state.weights[0], "1": 1.0}[factor]
    np.testing.assert_allclose(update["own"], [5.0 * expected], rtol=1e-6)


def test_trimmed_mean_ignores_tasks_that_run_away():
    grads = jnp.asarray([[1.0], [2.0], [3.0], [1e30], [-1e30]])
    method = METHODS["trimmed_mean"](5, trim=1)
    update, _ = method.update(grads, method.init(grads[0]))
    np.testing.assert_allclose(update, [2.0], rtol=1e-6)
