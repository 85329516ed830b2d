"""Which losses reach which parameters, by the reverse pass on marks in place of numbers."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import jax
from jax.extend.core import JaxprEqn
from jaxtyping import Array, Float, PyTree

from maskformer_jax.gradients.reverse_pass import trace, walk


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


def find_reach(
    losses_of: Callable[..., Sequence[Float[Array, ""]]], params: PyTree, *data: PyTree
) -> Reach:
    """Traces the losses and their reverse pass, computes nothing.

    A loss reaches a parameter if it depends on it in a differentiable way, whatever the numbers: a
    path through an index, a comparison or `stop_gradient` does not count. What goes into a loop or
    a condition reaches all that comes out of it.

    Args:
        losses_of: `losses_of(params, *data)`, one scalar per loss, apart from each other: what is
            stacked into one array can't be told apart any more.
        params: arrays, or their shapes.
        data: arrays, or their shapes.
    """
    positions, marks = count(), []

    def mark_results(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
        losses = frozenset().union(*(x.losses for x in operands if isinstance(x, Mark)))
        return [Mark(losses, next(positions))] * len(equation.outvars)

    def trace_losses(params: PyTree, *data: PyTree) -> Sequence[Array]:
        losses, pull = jax.vjp(lambda p: tuple(losses_of(p, *data)), params)
        linear, _ = trace(lambda cotangents: pull(tuple(cotangents))[0], losses)
        inputs = [Mark(frozenset([loss]), next(positions)) for loss in range(len(losses))]
        marks.extend(walk(linear.jaxpr, linear.consts, inputs, mark_results))
        return losses

    num_losses = len(jax.eval_shape(trace_losses, params, *data))
    counts = [len(x.losses) if isinstance(x, Mark) else 0 for x in marks]
    parents = [path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    common = [leaf for leaf, number in enumerate(counts) if number == num_losses]
    # The reverse pass comes first to the layer that the network uses last.
    first = min(common, key=lambda leaf: marks[leaf].position, default=None)
    last = [leaf in common and parent == parents[first] for leaf, parent in enumerate(parents)]
    unflatten = jax.tree.structure(params).unflatten
    return Reach(unflatten(counts), unflatten(last))
