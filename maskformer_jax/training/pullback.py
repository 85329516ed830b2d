"""One reverse pass for several losses that pushes no zeros.

The reverse pass of a network with K losses is linear in K cotangents. Mapped over K unit vectors it
drags zeros along: a loss that doesn't reach a layer has a row of them there. Here the pass is
interpreted equation by equation, and each value carries the rows of those losses alone that got to
it: one in a head, fewer than K in a branch, K in the trunk. Which, is found from the computation.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array, Float, PyTree

Pullback = Callable[[Sequence[Array]], PyTree]
Rule = Callable[[JaxprEqn, Sequence[Any]], Sequence[Any]]

# Stands for what is not computed, since all tasks have come together before it.
BEYOND = object()


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["tasks"])
@dataclass(frozen=True)
class Rows:
    """A value of the reverse pass for the tasks that reach it.

    Attributes:
        tasks: their numbers, rising.
        values: `[len(tasks), ...]`.
    """

    tasks: tuple[int, ...]
    values: Array


class Sum(NamedTuple):
    """A value of the reverse pass, added up over tasks.

    Attributes:
        task: the only task that reaches it, which then has weight 1; None: the weighted sum.
        value: the value.
    """

    task: int | None
    value: Array


def separate(pullback: Pullback, cotangents: Sequence[Float[Array, ""]]) -> PyTree:
    """The gradient of every loss, as `Rows` of those alone that reach a parameter.

    Gradients of several batches can be added up as they are; `spread` makes leaves `[K, ...]` of
    them.

    Args:
        pullback: from one cotangent per loss to gradients, linear. Rules of its own that someone
            gave to a function must map zeros to zeros.
        cotangents: of the losses.
    """
    linear, tree = _trace(pullback, cotangents)
    inputs = [Rows((task,), x[None]) for task, x in enumerate(cotangents)]
    found = _evaluate(linear.jaxpr, linear.consts, inputs, _by_rows)
    # A parameter that no loss reaches has a zero here.
    return tree.unflatten(
        x if isinstance(x, Rows) else Rows((), jnp.asarray(x)[None][:0]) for x in found
    )


def spread(gradients: PyTree, num_tasks: int) -> PyTree:
    """The gradient of every loss, leaves `[K, ...]`; leaves that are arrays stay as they are.

    Args:
        gradients: result of `separate`, or sums of them.
        num_tasks: K.
    """
    return jax.tree.map(
        lambda x: _spread(x, range(num_tasks)) if isinstance(x, Rows) else x,
        gradients,
        is_leaf=lambda x: isinstance(x, Rows),
    )


def weighted(
    pullback: Pullback,
    cotangents: Sequence[Float[Array, ""]],
    weights: Float[Array, " K"],
    own: Float[Array, " K"],
    shared: Sequence[bool],
) -> PyTree:
    """Their weighted sum for the price of one gradient.

    Args:
        pullback: as of `separate`.
        cotangents: of the losses.
        weights: of the gradients over shared parameters.
        own: of the gradients over the others.
        shared: of every leaf of the gradients, whether it is shared.
    """
    linear, tree = _trace(pullback, cotangents)
    inputs = [Sum(task, x) for task, x in enumerate(cotangents)]

    def add_up(weights: Float[Array, " K"]) -> list[Any]:
        return _evaluate(linear.jaxpr, linear.consts, inputs, partial(_by_sum, weights))

    found = others = add_up(weights)
    if any(
        isinstance(x, Sum) and x.task is None for x, s in zip(found, shared, strict=True) if not s
    ):
        # Several tasks reach one that is not shared. This pass needs to go no further than there:
        # the compiler drops the rest.
        others = add_up(own)
    return tree.unflatten(
        _scale(x, weights) if is_shared else _scale(y, own)
        for x, y, is_shared in zip(found, others, shared, strict=True)
    )


def at_cut(
    pullback: Pullback, cotangents: Sequence[Float[Array, ""]]
) -> list[Float[Array, "K ..."]]:
    """The gradients with respect to the representation that all tasks share.

    These are the values of the reverse pass that are used where all tasks have come together; for
    a trunk with heads the gradient with respect to the output of the trunk alone.

    Args:
        pullback: as of `separate`.
        cotangents: of the losses.

    Raises:
        ValueError: there is nothing that all tasks share.
    """
    linear, _ = _trace(pullback, cotangents)
    inputs = [Rows((task,), x[None]) for task, x in enumerate(cotangents)]
    every = tuple(range(len(cotangents)))
    cut: dict[int, Rows] = {}

    def rule(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
        beyond = any(x is BEYOND for x in operands)
        # A sum is one value, in however many pieces the gradients of its users come together.
        is_sum = equation.primitive.name == "add_any"
        if not beyond and (is_sum or not any(_is_of(x, every) for x in operands)):
            return _by_rows(equation, operands)
        cut.update({id(x): x for x in operands if isinstance(x, Rows)})
        return [BEYOND] * len(equation.outvars)

    found = _evaluate(linear.jaxpr, linear.consts, inputs, rule)
    cut.update({id(x): x for x in found if _is_of(x, every)})
    if not cut:
        raise ValueError(
            "`at: representation` needs parameters that all tasks reach; there are none"
        )
    return [_spread(x, every) for x in cut.values()]


def _is_of(x: Any, tasks: tuple[int, ...]) -> bool:
    return isinstance(x, Rows) and x.tasks == tasks


def _trace(pullback: Pullback, cotangents: Sequence[Array]) -> tuple[ClosedJaxpr, Any]:
    linear, shapes = jax.make_jaxpr(lambda *x: pullback(x), return_shape=True)(*cotangents)
    return linear, jax.tree.structure(shapes)


def _evaluate(jaxpr: Jaxpr, consts: Iterable[Any], inputs: Iterable[Any], rule: Rule) -> list[Any]:
    """Interprets the computation; `rule(equation, operands)` gives the results of an equation."""
    values: dict[Var, Any] = {}
    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))

    def read(x: Var | Literal) -> Any:
        return x.val if isinstance(x, Literal) else values[x]

    for equation in jaxpr.eqns:
        operands = [read(x) for x in equation.invars]
        if equation.primitive.name == "jit":
            inner = equation.params["jaxpr"]
            results = _evaluate(inner.jaxpr, inner.consts, operands, rule)
        else:
            results = rule(equation, operands)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(x) for x in jaxpr.outvars]


def _bind(equation: JaxprEqn, *operands: Array) -> Sequence[Array]:
    params = equation.primitive.get_bind_params(equation.params)
    results = equation.primitive.bind(*operands, **params)
    return results if equation.primitive.multiple_results else [results]


def _by_rows(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
    tasks = sorted({task for x in operands if isinstance(x, Rows) for task in x.tasks})
    if not tasks:
        return _bind(equation, *operands)
    axes = [0 if isinstance(x, Rows) else None for x in operands]
    aligned = [_spread(x, tasks) if isinstance(x, Rows) else x for x in operands]
    results = jax.vmap(partial(_bind, equation), in_axes=axes)(*aligned)
    return [Rows(tuple(tasks), x) for x in results]


def _by_sum(
    weights: Float[Array, " K"], equation: JaxprEqn, operands: Sequence[Any]
) -> Sequence[Any]:
    tasks = {x.task for x in operands if isinstance(x, Sum)}
    if not tasks:
        return _bind(equation, *operands)
    if len(tasks) == 1:
        plain = [x.value if isinstance(x, Sum) else x for x in operands]
        return [Sum(*tasks, x) for x in _bind(equation, *plain)]
    plain = [_scale(x, weights) if isinstance(x, Sum) else x for x in operands]
    return [Sum(None, x) for x in _bind(equation, *plain)]


def _spread(x: Rows | Array, tasks: Sequence[int]) -> Array:
    """The rows of all these tasks, zero where there is none."""
    if not isinstance(x, Rows):
        return jnp.broadcast_to(x, (len(tasks), *jnp.shape(x)))
    if x.tasks == tuple(tasks):
        return x.values
    nothing = jnp.zeros((1, *x.values.shape[1:]), x.values.dtype)
    rows = {task: x.values[at : at + 1] for at, task in enumerate(x.tasks)}
    return jnp.concatenate([rows.get(task, nothing) for task in tasks])


def _scale(x: Sum | Array, weights: Float[Array, " K"]) -> Array:
    if not isinstance(x, Sum):
        return x
    return x.value if x.task is None else (weights[x.task] * x.value).astype(x.value.dtype)
