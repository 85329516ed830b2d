"""What is no number is not hidden: training stops at the first update that is not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from method_rows import arguments, compiled, every_row
from rows import K, close, kinds, losses, params, task_grads


@every_row
def test_a_gradient_that_is_no_number_shows_in_the_update(row):
    """There training looks for it: no weight, sign or rank may take it out."""
    method, state = compiled(row), compiled(row).init(params())
    for task in range(K):
        grads = task_grads()
        grads["a"] = grads["a"].at[task, 1, 0].set(jnp.nan)
        update, after = method.update(grads, state, params(), **arguments(row))
        assert np.isnan(update["a"][1, 0])
        assert kinds(after) == kinds(state)


def after_steps(row, losses_of):
    """The update and the state after three steps with other losses."""
    method = compiled(row)
    state = method.init(params())
    for seed in range(3):
        extra = {**arguments(row, seed=seed), "losses": losses_of(losses(seed=seed))}
        update, state = method.update(task_grads(seed=seed), state, params(), **extra)
    return update, state


@every_row
def test_a_loss_that_is_no_number_shows_in_the_update_or_is_not_read(row):
    plain = after_steps(row, lambda x: x)
    doubled = after_steps(row, lambda x: x.at[1].mul(2))
    found = after_steps(row, lambda x: x.at[1].set(jnp.nan))
    pairs = zip(jax.tree.leaves(plain), jax.tree.leaves(doubled), strict=True)
    if any((a != b).any() for a, b in pairs):
        assert np.isnan(optax.tree.norm(found[0]))
    else:
        close(found, plain, 0, 0)
