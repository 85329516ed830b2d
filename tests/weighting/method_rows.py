"""The table of methods."""

from functools import cache

import jax
import optax
import pytest
import rows_gradients
import rows_gramian
import rows_losses
import rows_solvers
from rows import K, losses, params, task_grads

from maskformer_jax.weighting import METHODS

ROWS = [*rows_losses.ROWS, *rows_solvers.ROWS, *rows_gramian.ROWS, *rows_gradients.ROWS]


def parametrize(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


every_row = parametrize(ROWS)


def claiming(law):
    return parametrize([row for row in ROWS if law in row.laws])


def make(row, num_tasks=K):
    return METHODS[row.name](num_tasks, **row.options(num_tasks))


OPTIONS = {row.name: row.options for row in ROWS}


@cache
def _compiled(name, num_tasks):
    method = METHODS[name](num_tasks, **OPTIONS[name](num_tasks))
    return optax.GradientTransformationExtraArgs(method.init, jax.jit(method.update))


def compiled(row, num_tasks=K):
    """The method with an update that tests share, compiled once for each form of its arguments."""
    return _compiled(row.name, num_tasks)


def arguments(row, num_tasks=K, seed=0, second=None):
    """Keyword arguments of `update`: the losses, and what else the method needs.

    `second` stands in for the gradients on an independent batch.
    """
    if second is None:
        second = task_grads(num_tasks, seed + 100)
    known = {"losses_after": 0.9 * losses(num_tasks, seed), "task_grads_2": second}
    extra = {name: known[name] for name in METHODS[row.name].needs}
    return {"losses": losses(num_tasks, seed), **extra}


def call(row, method, state, seed=0):
    """One update with the gradients and losses of a seed."""
    return method.update(task_grads(seed=seed), state, params(), **arguments(row, seed=seed))
