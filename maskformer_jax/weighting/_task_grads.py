"""K losses and the gradient of each from one forward pass, and which losses reach which parameters.

The latter by the reverse pass on marks in place of numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting.reverse_pass import (
    Pullback,
    fill_rows,
    gradients_by_loss,
    trace,
    walk,
)

# `losses_fn(params, *data)`: [K], or scalars by name; with `has_aux` in a pair with something else.
LossesFn = Callable[..., Any]


class Forward(NamedTuple):
    """A forward pass, and the ways back from it.

    Attributes:
        losses: of a mapping in the order of its sorted keys.
        pull: from the cotangent of the losses to a gradient.
        pull_apart: the same from one cotangent per loss.
        apart: False if the losses come as one array.
        names: of the losses; none: they have none.
        aux: what came beside the losses.
    """

    losses: Float[Array, " K"]
    pull: Callable[[Float[Array, " K"]], PyTree]
    pull_apart: Pullback
    apart: bool
    names: tuple[str, ...] | None
    aux: PyTree


def forward(
    losses_fn: LossesFn, params: PyTree, *data: PyTree, has_aux: bool = False, **more: Any
) -> Forward:
    """Calls `losses_fn` once.

    Raises:
        ValueError: it returns neither a vector nor scalars.
    """

    def pair(params: PyTree) -> tuple[PyTree, PyTree]:
        found = losses_fn(params, *data, **more)
        losses, aux = found if has_aux else (found, None)
        # An OrderedDict would keep an order of its own.
        return dict(losses) if isinstance(losses, Mapping) else losses, aux

    found, pull, aux = jax.vjp(pair, params, has_aux=True)
    if isinstance(found, jax.Array) and found.ndim == 1:

        def pull_vector(cotangent: Float[Array, " K"]) -> PyTree:
            return pull(cotangent)[0]

        return Forward(found, pull_vector, lambda x: pull_vector(jnp.stack(x)), False, None, aux)
    leaves, tree = jax.tree.flatten(found)
    rule = "return a vector of losses, or scalars by name (with `has_aux` in a pair)"
    shapes = [jnp.shape(leaf) for leaf in leaves]
    check.option(leaves != [] and not any(shapes), "losses_fn", rule, f"shapes {shapes}")
    is_flat = not isinstance(found, Mapping) or len(leaves) == len(found)
    rule = "return one scalar under each name"
    check.option(is_flat, "losses_fn", rule, len(leaves))

    def pull_apart(cotangents: Any) -> PyTree:
        cast = [x.astype(leaf.dtype) for x, leaf in zip(cotangents, leaves, strict=True)]
        return pull(tree.unflatten(cast))[0]

    losses = jnp.stack(leaves)
    names = tuple(map(str, sorted(found))) if isinstance(found, Mapping) else None
    return Forward(losses, lambda x: pull_apart(list(x)), pull_apart, True, names, aux)


def rows_of(found: Forward, *, skip_zeros: bool = True, chunk: int | None = None) -> PyTree:
    """The gradient of every loss, leaves `[K, ...]`; arguments as of `value_and_task_grads`."""
    number = len(found.losses)
    if chunk is None and skip_zeros and found.apart:
        ones = tuple(jnp.ones_like(found.losses))
        return fill_rows(gradients_by_loss(found.pull_apart, ones), number)
    identity = jnp.eye(number, dtype=found.losses.dtype)
    if chunk is None or chunk >= number:
        return jax.vmap(found.pull)(identity)
    return jax.lax.map(found.pull, identity, batch_size=None if chunk == 1 else chunk)


def check_chunk(chunk: int | None) -> None:
    """Raises ValueError unless it is None or a positive integer."""
    if chunk is not None:
        check.integer("chunk", chunk, 1)


def value_and_task_grads(
    losses_fn: LossesFn,
    *,
    has_aux: bool = False,
    skip_zeros: bool = True,
    chunk: int | None = None,
) -> Callable[..., tuple[Any, PyTree]]:
    """A function that returns K losses and the gradient of each, like `jax.value_and_grad` of one.

    One forward pass and one reverse pass. Where the losses come apart, as scalars by name, each
    value of the reverse pass has rows of those losses alone that reach it: K heads on a trunk cost
    K rows in the trunk and one in each head. Of one array all K rows go everywhere.

    Args:
        losses_fn: `losses_fn(params, *data)` returns scalars by name (any tree of scalars), or a
            vector `[K]`. One forward pass makes all losses: one key of dropout for all, one update
            of running statistics, which go into `aux`.
        has_aux: `losses_fn` returns a pair of the losses and anything else.
        skip_zeros: False maps the whole pass over K cotangents in any case, as for a vector.
        chunk: how many losses are pulled back together, with zeros: less memory; none: all.

    Returns:
        `function(params, *data)`, which returns the losses `[K]`, in the order of sorted keys (with
        `has_aux` a pair of them and the rest), and the task gradients: like the parameters, leaves
        `[K, ...]`.

    Raises:
        ValueError: `chunk` is no positive integer; when called, `losses_fn` returns something else.
    """
    check_chunk(chunk)

    def function(params: PyTree, *data: PyTree, **more: Any) -> tuple[Any, PyTree]:
        found = forward(losses_fn, params, *data, has_aux=has_aux, **more)
        rows = rows_of(found, skip_zeros=skip_zeros, chunk=chunk)
        return (found.losses, found.aux) if has_aux else found.losses, rows

    return function


class Mark(NamedTuple):
    """Losses that reach a value of the reverse pass, and its position in the pass."""

    losses: frozenset[int]
    position: int


class Reach(NamedTuple):
    """What the losses share, as trees like the parameters.

    Attributes:
        counts: number of losses that reach each parameter.
        last_layer: True for the parameters of the last layer of the network that all losses reach;
            all False where there is none.
    """

    counts: PyTree
    last_layer: PyTree


def find_reach(losses_fn: LossesFn, params: PyTree, *data: PyTree, has_aux: bool = False) -> Reach:
    """Traces the losses and their reverse pass, computes nothing.

    A loss reaches a parameter if it depends on it in a differentiable way, whatever the numbers: a
    path through an index, a comparison or `stop_gradient` does not count. What goes into a loop or
    a condition reaches all that comes out of it.

    Args:
        losses_fn: `losses_fn(params, *data)`, one scalar per loss, by name or in a sequence: what
            is stacked into one array can't be told apart any more.
        params: arrays, or their shapes.
        data: arrays, or their shapes.
        has_aux: whether something else comes beside the losses.

    Raises:
        ValueError: the losses are one array, or no scalars.
    """
    marks, num_losses = _marks(losses_fn, params, *data, has_aux=has_aux)
    counts = [len(x.losses) for x in marks]
    parents = [path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    common = [leaf for leaf, number in enumerate(counts) if number == num_losses]
    # The reverse pass comes first to the layer that the network uses last.
    first = min(common, key=lambda leaf: marks[leaf].position, default=None)
    last = [leaf in common and parent == parents[first] for leaf, parent in enumerate(parents)]
    unflatten = jax.tree.structure(params).unflatten
    return Reach(unflatten(counts), unflatten(last))


def find_shared(
    losses_fn: LossesFn, params: PyTree, *data: PyTree, has_aux: bool = False
) -> PyTree:
    """True for every parameter that at least two losses reach: the option `shared` of the methods.

    Traces, computes nothing; arguments and errors as of `find_reach`. Of a single loss everything
    that it reaches is shared.
    """
    marks, num_losses = _marks(losses_fn, params, *data, has_aux=has_aux)
    shared = [len(x.losses) >= min(2, num_losses) for x in marks]
    return jax.tree.unflatten(jax.tree.structure(params), shared)


def _marks(
    losses_fn: LossesFn, params: PyTree, *data: PyTree, has_aux: bool
) -> tuple[list[Mark], int]:
    """The mark of every parameter, and the number of losses."""
    positions, marks = count(), []

    def mark_results(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
        losses = frozenset().union(*(x.losses for x in operands if isinstance(x, Mark)))
        return [Mark(losses, next(positions))] * len(equation.outvars)

    def trace_losses(params: PyTree, *data: PyTree) -> Float[Array, " K"]:
        found = forward(losses_fn, params, *data, has_aux=has_aux)
        rule = "return its losses apart, as scalars by name, to find what they share"
        check.option(found.apart, "losses_fn", rule, "one array")
        linear, _ = trace(found.pull_apart, list(found.losses))
        inputs = [Mark(frozenset([loss]), next(positions)) for loss in range(len(found.losses))]
        marks.extend(walk(linear.jaxpr, linear.consts, inputs, mark_results))
        return found.losses

    (num_losses,) = jax.eval_shape(trace_losses, params, *data).shape
    nothing = Mark(frozenset(), -1)
    return [x if isinstance(x, Mark) else nothing for x in marks], num_losses
