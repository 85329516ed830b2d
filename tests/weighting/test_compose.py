"""Methods and what is around them: schedules, batches left out or added up, absent tasks."""

import inspect

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from method_rows import ROWS, arguments, compiled, every_row, make, parametrize
from rows import K, close, kinds, losses, params, task_grads

from maskformer_jax.weighting import METHODS, accumulate, method_state, skip_non_finite

SGD = optax.sgd(0.1, momentum=0.9)
DRAWN = ("rlw", "graddrop", "pcgrad", "gradvac")
ALL_TASKS = ("krum", "trimmed_mean")
THREE = np.array([0, 2, 3])
ACTIVE = jnp.asarray([True, False, True, True])


@every_row
def test_after_a_batch_that_is_left_out_all_is_as_before(row):
    """A gradient and a loss that are no number; the third step is as if the second had not been."""
    chain = optax.chain(compiled(row), SGD)
    tx, found, expected = skip_non_finite(chain), [], []
    state, before = tx.init(params()), chain.init(params())
    for seed, spoilt in ((0, False), (1, True), (2, True), (3, False)):
        grads, extra = task_grads(seed=seed), arguments(row, seed=seed)
        if not spoilt:
            update, before = chain.update(grads, before, params(), **extra)
            expected.append(update)
        elif seed == 1:
            grads["a"] = grads["a"].at[2, 1, 0].set(jnp.nan)
        else:
            extra["losses"] = extra["losses"].at[1].set(jnp.inf)
        update, state = tx.update(grads, state, params(), **extra)
        found.append(update)
    close([found[0], found[3]], expected)
    close((found[1:3], state.skipped), ([jax.tree.map(jnp.zeros_like, params())] * 2, 2), 0, 0)
    close(state.inner, before)
    assert method_state(state) is state.inner[0]


@every_row
def test_accumulated_calls_are_one_of_their_means(row):
    needs = METHODS[row.name].needs
    chain = optax.chain(compiled(row), SGD)
    tx = accumulate(chain, 2, needs=needs)
    state, before = tx.init(params()), chain.init(params())
    start, update = kinds(state), jax.jit(tx.update)
    for seed in (0, 2):
        given = [(task_grads(seed=s), arguments(row, seed=s)) for s in (seed, seed + 1)]
        grads, extra = jax.tree.map(lambda *x: sum(x) / 2, *given)
        expected, before = chain.update(grads, before, params(), **extra)
        nothing, state = update(given[0][0], state, params(), **given[0][1])
        close(nothing, jax.tree.map(jnp.zeros_like, params()), 0, 0)
        found, state = update(given[1][0], state, params(), **given[1][1])
        close(found, expected, 1e-4, 1e-4)
    close(state.inner, before, 1e-4, 1e-4)
    assert kinds(state) == start


def test_wrappers_of_one_gradient_know_nothing_of_tasks():
    """What stands in their place is above; around the optimiser alone they work."""
    chain, losses_now = optax.chain(METHODS["mgda"](K), SGD), {"losses": losses()}
    wrong = (
        (optax.MultiSteps(chain, 2), "take `accumulate`"),
        (optax.apply_if_finite(chain, 2), "cond"),
    )
    for wrapper, message in wrong:
        with pytest.raises((TypeError, ValueError), match=message):
            wrapper.update(task_grads(), wrapper.init(params()), params(), **losses_now)
    for wrapped in (
        optax.MultiSteps(SGD, 2).gradient_transformation(),
        optax.apply_if_finite(SGD, 2),
    ):
        inside = optax.chain(METHODS["mgda"](K), wrapped)
        inside.update(task_grads(), inside.init(params()), params(), **losses_now)


def part(row, options):
    """Those of three tasks: of a list the values that are theirs."""
    return {k: [v[i] for i in THREE] if isinstance(v, list) else v for k, v in options.items()}


def of_three(tree):
    return jax.tree.map(lambda x: x[THREE], tree)


@parametrize([row for row in ROWS if row.name not in ALL_TASKS])
def test_absent_tasks_are_as_if_there_were_none(row):
    """Against the method of three tasks, whatever is in place of the fourth; none: no update."""
    options = row.options(K)
    nested = {k: part(row, v) if isinstance(v, dict) else v for k, v in options.items()}
    few, method = METHODS[row.name](3, **part(row, nested)), compiled(row)
    state, before = method.init(params()), few.init(params())
    nothing = {"active": jnp.zeros(K, bool)}
    for seed in range(3):
        grads, extra = task_grads(seed=seed), arguments(row, seed=seed)
        expected, before = few.update(of_three(grads), before, params(), **of_three(extra))
        grads, extra = jax.tree.map(lambda x: x.at[1].set(jnp.nan), (grads, extra))
        found, state = method.update(grads, state, params(), active=ACTIVE, **extra)
        assert state.weights[1] == 0
        if row.name in DRAWN:
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
            continue
        close(found, expected, 1e-4, 1e-5)
        close(state.weights[THREE], before.weights, 1e-4, 1e-5)
    zero, state = method.update(grads, state, params(), **nothing, **extra)
    close((zero, state.weights), (jax.tree.map(jnp.zeros_like, params()), jnp.zeros(K)), 0, 0)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


@parametrize([row for row in ROWS if row.name in ALL_TASKS])
def test_methods_that_pick_from_all_tasks_refuse_absent_ones(row):
    method = make(row)
    with pytest.raises(ValueError, match="`active` must be left out"):
        method.update(task_grads(), method.init(params()), active=ACTIVE, **arguments(row))


PREFERENCE = jnp.asarray([1.0, 2.0, 0.5, 3.0])
# Its own pull towards the preference takes the lengths out again.
PREFERRING = [
    row
    for row in ROWS
    if "preference" in inspect.signature(METHODS[row.name]).parameters and row.name != "sdmgrad"
]


@parametrize(PREFERRING)
def test_what_is_preferred_gets_more_of_the_update(row):
    """On orthogonal gradients of one length; traced, as `vmap` and schedules have it."""
    row_options = {k: v for k, v in row.options(K).items() if "option" not in k}
    grads = jnp.eye(K)
    extra = {name: grads for name in METHODS[row.name].needs}

    @jax.jit
    def update(preference):
        method = METHODS[row.name](K, **{**row_options, "preference": preference})

        def step(_, carry):
            return method.update(grads, carry[1], grads[0], losses=jnp.ones(K), **extra)

        return jax.lax.fori_loop(0, 1000, step, (grads[0], method.init(grads[0])))[0]

    found = update(PREFERENCE)
    assert (jnp.diff(found[jnp.argsort(PREFERENCE)]) > 1e-4).all(), found


def test_methods_without_a_preference_say_so():
    for name, options in (("krum", {"n_byzantine": 0}), ("trimmed_mean", {"trim": 1}), ("pcd", {})):
        with pytest.raises(TypeError, match=f"{name} has no option 'preference'"):
            METHODS[name](K, preference=[1.0] * K, **options)
    with pytest.raises(ValueError, match="`preference` must be left out beside"):
        METHODS["cr_mogm"](
            K, base="upgrad", base_options={"preference": [1.0] * K}, preference=[1.0] * K
        )


def numbers_of(row):
    """Options that are real numbers, by default or in the row."""
    found = {k: p.default for k, p in inspect.signature(METHODS[row.name]).parameters.items()}
    found |= row.options(K)
    return {k: v for k, v in found.items() if isinstance(v, float)}


@parametrize([row for row in ROWS if numbers_of(row)])
def test_numbers_may_be_schedules_traced_or_of_numpy(row):
    """Two steps of all numbers as schedules, as the methods of these steps one after the other."""
    numbers = numbers_of(row)
    lower = {k: lambda step, v=v: v / (1.0 + step) for k, v in numbers.items()}
    method = METHODS[row.name](K, **{**row.options(K), **lower})
    state, update = method.init(params()), jax.jit(method.update)
    before = method.init(params()).inner
    for step in range(2):
        fixed = {k: np.float64(v / (1.0 + step)) for k, v in numbers.items()}
        now = METHODS[row.name](K, **{**row.options(K), **fixed})
        grads, extra = task_grads(seed=step), arguments(row, seed=step)
        expected, before = now.update(grads, before, params(), **extra)
        found, state = update(grads, state, params(), **extra)
        close(found, expected, 1e-4, 1e-5)
    assert kinds(state) == kinds(method.init(params()))
    close(state.options, {k: v / 2 for k, v in numbers.items()})
    close(state.weights, before.weights, 1e-4, 1e-5)


def test_a_radius_or_fairness_of_zero_may_be_one_of_many():
    gramian = jnp.asarray(np.random.default_rng(0).normal(size=(K, 6)), jnp.float32)
    gramian = gramian @ gramian.T
    for name, option in (("cagrad", "c"), ("fairgrad", "alpha"), ("nash_mtl", "max_norm")):

        def weights(value, name=name, option=option):
            method = METHODS[name](K, **{option: value})
            return method.weights(gramian, method.init(jnp.zeros(1)).method)[0]

        values = [0.0, 0.4, 2.0]
        expected = jnp.stack([weights(value) for value in values])
        close(jax.vmap(weights)(jnp.asarray(values)), expected, 1e-4, 1e-5)


SEEDS = [3, np.int64(3), jnp.asarray(3), jax.random.key(3), jax.random.PRNGKey(3)]


def test_seeds_may_be_keys_of_any_kind_and_mapped_over():
    for name in DRAWN:
        first = METHODS[name](K, seed=3).init(params())
        for seed in SEEDS:
            close(METHODS[name](K, seed=seed).init(params()), first, 0, 0)
        many = jax.vmap(lambda s, name=name: METHODS[name](K, seed=s).init(params()))(jnp.arange(4))
        close(jax.tree.map(lambda x: x[3], many), first, 0, 0)


def test_optax_own_wrapper_of_options_works_with_what_is_fixed(monkeypatch):
    wrapped = optax.inject_hyperparams(METHODS["cagrad"], static_args=("num_tasks", "shared"))
    tx = wrapped(K, c=optax.linear_schedule(0.0, 0.8, 2))
    state = tx.init(params())
    for c in (0.0, 0.4):
        found, state = tx.update(task_grads(), state, params())
        method = METHODS["cagrad"](K, c=c)
        close(found, method.update(task_grads(), method.init(params()))[0], 1e-4, 1e-5)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"`num_tasks` must .* name it in `static_args`"):
        optax.inject_hyperparams(METHODS["cagrad"])(K, c=0.4).init(params())


# Methods on gradients refuse in what they have in common: two stand for them.
@parametrize([row for row in ROWS if row.family == "loss" or row.name in ("mgda", "db_mtl")])
def test_derivatives_through_weights_are_right_or_refused(row):
    """Of methods on losses by the losses, against differences."""
    method = make(row)
    state, extra = method.init(params()), arguments(row)
    if row.family != "loss":
        rows = jnp.zeros((K, 3)).at[0].set(1.0)
        extra = arguments(row, second=rows)
        state = method.init(rows[0])

        def update(x):
            return method.update(x * rows, state, rows[0], **extra)[0].sum()

        for derivative in (jax.grad, jax.jacfwd):
            with pytest.raises(TypeError, match="have no derivative here; to hold them constant"):
                derivative(update)(1.0)
        return

    def weights(x):
        return method.update(jnp.eye(K), state, **{**extra, "losses": x})[0]

    given, step = extra["losses"], 1e-2
    found = jax.jacrev(weights)(given)
    close(found, jax.jacfwd(weights)(given), 1e-4, 1e-5)
    for k in range(K):
        there, back = (weights(given.at[k].add(sign * step)) for sign in (1, -1))
        np.testing.assert_allclose(found[:, k], (there - back) / (2 * step), rtol=2e-2, atol=1e-2)


def test_every_wrong_argument_is_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    method = METHODS["mgda"](K)
    state = method.init(params())
    with pytest.raises(ValueError, match="`active` must be 4 booleans, one per task"):
        method.update(task_grads(), state, active=jnp.ones(K))
    with pytest.raises(ValueError, match="`active` must be left out: the tasks of all calls"):
        tx = accumulate(method, 2)
        tx.update(task_grads(), tx.init(params()), active=ACTIVE)
    with pytest.raises(ValueError, match="`state` must be of a chain that begins with a method"):
        method_state(SGD.init(params()))
    with pytest.raises(ValueError, match="`update_every` must be an integer"):
        METHODS["nash_mtl"](K, update_every=lambda step: 2)
