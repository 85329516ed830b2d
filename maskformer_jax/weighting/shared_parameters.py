"""Which losses reach which parameters, by the reverse pass on marks in place of numbers."""

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import jax
from jax.extend.core import JaxprEqn
from jaxtyping import Array, Float, PyTree

from maskformer_jax.weighting import _checks as check
from maskformer_jax.weighting._task_grads import LossesFn, forward
from maskformer_jax.weighting.reverse_pass import trace, walk


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
