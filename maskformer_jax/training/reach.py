"""Which tasks reach which parameters, found from the structure of the computation.

A task reaches a parameter if its loss depends on it in a differentiable way, whatever the numbers:
a path through an index, a comparison or `stop_gradient` does not count.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.extend.core import Jaxpr, Var
from jax.interpreters import partial_eval
from jaxtyping import Array, Float, PyTree

LossesOf = Callable[..., Sequence[Float[Array, ""]]]


def count_tasks(losses_of: LossesOf, params: PyTree, *data: PyTree) -> PyTree:
    """Number of tasks that reach each parameter, as a tree like the parameters.

    Traces the losses, computes nothing.

    Args:
        losses_of: `losses_of(params, *data)`, one scalar per task, apart from each other: what is
            stacked into one array can't be told apart any more.
        params: arrays, or their shapes.
        data: arrays, or their shapes.
    """
    leaves, structure = jax.tree.flatten(params)

    def tangents(params: PyTree, directions: PyTree, *data: PyTree) -> Sequence[Array]:
        return jax.jvp(lambda p: losses_of(p, *data), (params,), (directions,))[1]

    linear = jax.make_jaxpr(tangents)(params, params, *data).jaxpr
    num_tasks = len(linear.outvars)
    used = np.array(
        [
            partial_eval.dce_jaxpr(linear, [task == other for other in range(num_tasks)])[1]
            for task in range(num_tasks)
        ]
    )
    # The directions follow the parameters: a use of the values alone is no path.
    counts = used[:, len(leaves) : 2 * len(leaves)].sum(0)
    return structure.unflatten([int(count) for count in counts])


def find_last_layer(losses_of: LossesOf, counts: PyTree, params: PyTree, *data: PyTree) -> PyTree:
    """True for the parameters of the last layer, in the order of the computation, that all reach.

    It is all False where no parameter is reached by all tasks. Traces, computes nothing.

    Args:
        losses_of: as for `count_tasks`.
        counts: what `count_tasks` found.
        params: arrays, or their shapes.
        data: arrays, or their shapes.
    """
    jaxpr = jax.make_jaxpr(losses_of)(params, *data).jaxpr
    reached_by_all = np.array(jax.tree.leaves(counts)) == len(jaxpr.outvars)
    return jax.tree.unflatten(
        jax.tree.structure(params), _last_layer(jaxpr, params, reached_by_all)
    )


def _last_layer(jaxpr: Jaxpr, params: PyTree, reached_by_all: np.ndarray) -> list[bool]:
    """Whether each leaf lies beside the leaf that is used last among those that all tasks reach."""
    if not reached_by_all.any():
        return [False] * len(reached_by_all)
    first = _first_uses(jaxpr)
    last = max(np.flatnonzero(reached_by_all), key=lambda leaf: first[jaxpr.invars[leaf]])
    parents = [path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return [
        bool(parent == parents[last] and reached)
        for parent, reached in zip(parents, reached_by_all, strict=True)
    ]


def _first_uses(jaxpr: Jaxpr) -> dict[Var, tuple[int, ...]]:
    """Position of the first equation that uses each variable; inner positions follow the outer."""
    first: dict[Var, tuple[int, ...]] = {}
    for number, equation in enumerate(jaxpr.eqns):
        inner = equation.params.get("jaxpr")
        inner = getattr(inner, "jaxpr", inner)  # closed or open
        inside = _first_uses(inner) if inner is not None else {}
        inner_vars = inner.invars if inner is not None else [None] * len(equation.invars)
        for outer, within in zip(equation.invars, inner_vars, strict=False):
            if isinstance(outer, Var) and outer not in first:
                first[outer] = (number, *inside.get(within, ()))
    return first
