r"""One reverse pass for several losses that pushes no zeros.

The reverse pass of a network with K losses is linear in K cotangents, one per loss. Mapped over the
K unit vectors it drags zeros along: a loss that doesn't reach a layer has a row of them there. Here
the pass is interpreted equation by equation, and each value carries the rows of those losses alone
that got to it. For a trunk with three heads, two of which share a branch, the pass goes down:

    losses       0       1       2
                 |       |       |
    heads       {0}     {1}     {2}      one row each, of the only loss
                 |        \     /
    branch       |         {1, 2}        two rows
                  \         /
    trunk          {0, 1, 2}             K rows
                       |
    parameters     {0, 1, 2}

Nothing is asked of the network: which losses have got where follows from the equations. The same
walk adds losses up with weights (`sum_of_gradients`), stops where all have come together
(`gradients_at_representation`), or moves marks in place of numbers (`find_reach`).
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jaxtyping import Array, Float, PyTree

Pullback = Callable[[Sequence[Array]], PyTree]
Rule = Callable[[JaxprEqn, Sequence[Any]], Sequence[Any]]

# Stands for values that are not computed, since they lie behind the representation.
NOT_COMPUTED = object()
# Names of the primitives of `jax.jit` and `jax.checkpoint`, in one version or another.
JIT = ("jit", "pjit")
CHECKPOINT = ("checkpoint", "remat", "remat2")


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["losses"])
@dataclass(frozen=True)
class Rows:
    """A value of the reverse pass for the losses that reach it.

    Attributes:
        losses: their numbers, rising.
        values: `[len(losses), ...]`.
    """

    losses: tuple[int, ...]
    values: Array


class Added(NamedTuple):
    """A value of the reverse pass in which losses are added up.

    Attributes:
        loss: the only loss that got here, whose weight is still to come; none: several did, and
            the value is their weighted sum.
        value: the value.
    """

    loss: int | None
    value: Array


def gradients_by_loss(pullback: Pullback, cotangents: Sequence[Float[Array, ""]]) -> PyTree:
    """The gradient of every loss, as `Rows` of those alone that reach a parameter.

    Gradients of several batches can be added up as they are; `fill_rows` makes leaves `[K, ...]`.

    Args:
        pullback: from one cotangent per loss to gradients, linear. Rules of its own that someone
            gave to a function must map zeros to zeros.
        cotangents: of the losses.
    """
    linear, tree = trace(pullback, cotangents)
    leaves = walk(linear.jaxpr, linear.consts, _one_row_each(cotangents), _by_rows)
    # A parameter that no loss reaches has a zero here.
    return tree.unflatten(
        x if isinstance(x, Rows) else Rows((), jnp.asarray(x)[None][:0]) for x in leaves
    )


def fill_rows(gradients: PyTree, num_losses: int) -> PyTree:
    """The gradient of every loss, leaves `[K, ...]`; leaves that are arrays stay as they are.

    Args:
        gradients: result of `gradients_by_loss`, or sums of such results.
        num_losses: K.
    """
    return jax.tree.map(
        lambda x: _rows_of(x, range(num_losses)) if isinstance(x, Rows) else x,
        gradients,
        is_leaf=lambda x: isinstance(x, Rows),
    )


def sum_of_gradients(
    pullback: Pullback,
    cotangents: Sequence[Float[Array, ""]],
    weights: Float[Array, " K"],
    own_weights: Float[Array, " K"],
    shared: Sequence[bool],
) -> PyTree:
    """The weighted sum of the gradients for the price of one gradient.

    Args:
        pullback: as of `gradients_by_loss`.
        cotangents: of the losses.
        weights: of the gradients over shared parameters.
        own_weights: of the gradients over the others.
        shared: of every leaf of the gradients, whether it is shared.
    """
    linear, tree = trace(pullback, cotangents)
    inputs = [Added(loss, x) for loss, x in enumerate(cotangents)]

    def add_up(weights: Float[Array, " K"]) -> list[Any]:
        return walk(linear.jaxpr, linear.consts, inputs, partial(_by_sums, weights))

    leaves = others = add_up(weights)
    several = [isinstance(x, Added) and x.loss is None for x in leaves]
    if any(x and not is_shared for x, is_shared in zip(several, shared, strict=True)):
        # Several losses reach a parameter that is not shared. This pass needs to go no further than
        # there: the compiler drops the rest.
        others = add_up(own_weights)
    return tree.unflatten(
        _scale(x, weights) if is_shared else _scale(y, own_weights)
        for x, y, is_shared in zip(leaves, others, shared, strict=True)
    )


def gradients_at_representation(
    pullback: Pullback, cotangents: Sequence[Float[Array, ""]]
) -> list[Float[Array, "K ..."]]:
    """The gradients with respect to the representation that all losses share.

    These are the values of the reverse pass that are used where all losses have come together; for
    a trunk with heads the gradient with respect to the output of the trunk alone.

    Args:
        pullback: as of `gradients_by_loss`.
        cotangents: of the losses.

    Raises:
        ValueError: there is nothing that all losses share.
    """
    linear, _ = trace(pullback, cotangents)
    every = tuple(range(len(cotangents)))
    representation: dict[int, Rows] = {}

    def rule(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
        is_behind = any(x is NOT_COMPUTED for x in operands)
        # A sum is one value, in however many pieces the gradients of its users come together.
        is_sum = equation.primitive.name == "add_any"
        if not is_behind and (is_sum or not any(_is_of(x, every) for x in operands)):
            return _by_rows(equation, operands)
        representation.update({id(x): x for x in operands if isinstance(x, Rows)})
        return [NOT_COMPUTED] * len(equation.outvars)

    leaves = walk(linear.jaxpr, linear.consts, _one_row_each(cotangents), rule)
    representation.update({id(x): x for x in leaves if _is_of(x, every)})
    if not representation:
        raise ValueError("no parameter is reached by all losses: they share no representation")
    return [_rows_of(x, every) for x in representation.values()]


def trace(pullback: Pullback, cotangents: Sequence[Array]) -> tuple[ClosedJaxpr, Any]:
    """The equations of the pass, and the tree of its results."""
    linear, shapes = jax.make_jaxpr(lambda *x: pullback(x), return_shape=True)(*cotangents)
    return linear, jax.tree.structure(shapes)


def walk(jaxpr: Jaxpr, consts: Iterable[Any], inputs: Iterable[Any], rule: Rule) -> list[Any]:
    """Interprets the computation; `rule(equation, operands)` gives the results of an equation."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(x: Var | Literal) -> Any:
        return x.val if isinstance(x, Literal) else values[x]

    for equation in jaxpr.eqns:
        operands = [read(x) for x in equation.invars]
        inner = equation.params.get("jaxpr")
        if equation.primitive.name in JIT:
            results = walk(inner.jaxpr, inner.consts, operands, rule)
        elif equation.primitive.name in CHECKPOINT:
            results = walk(inner, (), _when_reached(operands), rule)
        else:
            results = rule(equation, operands)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(x) for x in jaxpr.outvars]


def _is_of(x: Any, losses: tuple[int, ...]) -> bool:
    return isinstance(x, Rows) and x.losses == losses


def _one_row_each(cotangents: Sequence[Array]) -> list[Rows]:
    return [Rows((loss,), x[None]) for loss, x in enumerate(cotangents)]


def _when_reached(operands: Sequence[Any]) -> list[Any]:
    """What `jax.checkpoint` computes anew must wait until the reverse pass has come to it."""
    kept = {at: x for at, x in enumerate(operands) if isinstance(x, jax.Array)}
    pulled = [x.values for x in operands if isinstance(x, Rows)]
    pulled += [x.value for x in operands if isinstance(x, Added)]
    kept, _ = jax.lax.optimization_barrier((kept, pulled))
    return [kept.get(at, x) for at, x in enumerate(operands)]


def _bind(equation: JaxprEqn, *operands: Array) -> Sequence[Array]:
    params = equation.primitive.get_bind_params(equation.params)
    # Older versions of JAX give functions apart.
    functions, params = params if isinstance(params, tuple) else ((), params)
    results = equation.primitive.bind(*functions, *operands, **params)
    return results if equation.primitive.multiple_results else [results]


def _by_rows(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
    losses = sorted({loss for x in operands if isinstance(x, Rows) for loss in x.losses})
    if not losses:
        return _bind(equation, *operands)
    axes = [0 if isinstance(x, Rows) else None for x in operands]
    aligned = [_rows_of(x, losses) if isinstance(x, Rows) else x for x in operands]
    try:
        results = jax.vmap(partial(_bind, equation), in_axes=axes)(*aligned)
    except Exception as error:
        _warn_once(equation.primitive.name, str(error).partition("\n")[0])
        pairs = list(zip(aligned, axes, strict=True))
        rows = [
            _bind(equation, *(x if axis is None else x[row] for x, axis in pairs))
            for row in range(len(losses))
        ]
        results = [jnp.stack(x) for x in zip(*rows, strict=True)]
    return [Rows(tuple(losses), x) for x in results]


@cache
def _warn_once(primitive: str, why: str) -> None:
    warnings.warn(
        f"the reverse pass takes one loss after the other through `{primitive}`: {why}",
        stacklevel=2,
    )


def _by_sums(
    weights: Float[Array, " K"], equation: JaxprEqn, operands: Sequence[Any]
) -> Sequence[Any]:
    losses = {x.loss for x in operands if isinstance(x, Added)}
    if not losses:
        return _bind(equation, *operands)
    if len(losses) == 1:
        plain = [x.value if isinstance(x, Added) else x for x in operands]
        return [Added(*losses, x) for x in _bind(equation, *plain)]
    plain = [_scale(x, weights) if isinstance(x, Added) else x for x in operands]
    return [Added(None, x) for x in _bind(equation, *plain)]


def _rows_of(x: Rows, losses: Sequence[int]) -> Array:
    """The rows of all these losses, zero where there is none."""
    if x.losses == tuple(losses):
        return x.values
    nothing = jnp.zeros((1, *x.values.shape[1:]), x.values.dtype)
    rows = {loss: x.values[at : at + 1] for at, loss in enumerate(x.losses)}
    return jnp.concatenate([rows.get(loss, nothing) for loss in losses])


def _scale(x: Added | Array, weights: Float[Array, " K"]) -> Array:
    if not isinstance(x, Added):
        return x
    return x.value if x.loss is None else (weights[x.loss] * x.value).astype(x.value.dtype)
