"""Entries at some places of an array.

A place outside of the array is an error of onnxruntime, where JAX would fill or cut.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.export.graph import Dim, Graph, Step, Value

_REFUSED = "an index of several axes at once can't be exported to ONNX"


def gather(graph: Graph, step: Step) -> str:
    """Entries or slices along one axis; the same or others in each entry of leading axes.

    Raises:
        InputError: several axes are indexed.
    """
    values, index = step.inputs
    numbers, sizes = step.parameters["dimension_numbers"], step.parameters["slice_sizes"]
    axes, name = tuple(numbers.start_index_map), graph.whole(values)
    collapsed = tuple(numbers.collapsed_slice_dims)
    if index.shape == (len(axes),) and (len(axes) > 1 or not collapsed):
        found = _slice(graph, name, axes, index, [sizes[axis] for axis in axes])
        return graph.reshape(found, step.shape) if collapsed else found
    if len(axes) != 1 or collapsed != axes:
        raise InputError(_REFUSED)
    (axis,) = axes
    places = graph.whole(index)
    if numbers.operand_batching_dims:
        return _of_each(graph, name, places, numbers, axis)
    places = graph.reshape(places, index.shape[:-1])
    found = graph.add("Gather", name, places, axis=axis)
    # ONNX puts the axes of the index where the axis was, JAX where `offset_dims` leaves room.
    rank, width = len(step.shape), len(index.shape) - 1
    others = [place for place in range(rank) if not axis <= place < axis + width]
    order = np.empty(rank, int)
    order[list(numbers.offset_dims)] = others
    free = [place for place in range(rank) if place not in numbers.offset_dims]
    order[free] = np.arange(axis, axis + width)
    if (order == np.arange(rank)).all():
        return found
    return graph.add("Transpose", found, perm=order.tolist())


def _slice(graph: Graph, name: str, axes: Sequence[int], index: Value, sizes: Sequence[Dim]) -> str:
    """One slice along some axes."""
    begin = graph.cast(graph.whole(index), "int64")
    end = graph.add("Add", begin, graph.shape(sizes))
    return graph.add("Slice", name, begin, end, graph.constant(axes, "int64"))


def _of_each(graph: Graph, name: str, places: str, numbers: Any, axis: int) -> str:
    """Entries at places that differ in each entry of the leading axes."""
    leading = tuple(range(axis))
    in_order = tuple(numbers.operand_batching_dims) == leading
    if not in_order or tuple(numbers.start_indices_batching_dims) != leading:
        raise InputError(_REFUSED)
    places = graph.cast(places, "int64")
    return graph.add("GatherND", name, places, batch_dims=axis)


def dynamic_slice(graph: Graph, step: Step) -> str:
    """A slice that begins where it is told, or as near to there as it fits."""
    values, *begins = step.inputs
    sizes, rank = step.parameters["slice_sizes"], len(values.shape)
    one = graph.constant([1], "int64")
    starts = [graph.cast(graph.add("Reshape", graph.name_of(x), one), "int64") for x in begins]
    start = graph.add("Concat", *starts, axis=0)
    lengths, size = graph.shape(values.shape), graph.shape(sizes)
    start = graph.add("Max", start, graph.constant([0], "int64"))
    start = graph.add("Min", start, graph.add("Sub", lengths, size))
    axes = graph.constant(np.arange(rank), "int64")
    return graph.add("Slice", graph.whole(values), start, graph.add("Add", start, size), axes)


def scatter_add(graph: Graph, step: Step) -> str:
    """Adds to columns of the last axis that are known.

    Raises:
        InputError: it adds elsewhere.
    """
    values, index, updates = step.inputs
    numbers, last = step.parameters["dimension_numbers"], len(values.shape) - 1
    of_last = tuple(numbers.scatter_dims_to_operand_dims) == (last,)
    of_last &= tuple(numbers.inserted_window_dims) == (last,)
    of_last &= tuple(numbers.update_window_dims) == tuple(range(last))
    if index.constant is None or not of_last or numbers.operand_batching_dims:
        raise InputError("adding at some places can't be exported to ONNX")
    # Each update goes to its column by a product with zeros and ones, which is exact.
    spread = np.zeros((index.constant.shape[0], values.shape[-1]), values.dtype)
    np.add.at(spread, (np.arange(len(spread)), index.constant[:, 0]), 1)
    moved = graph.add("MatMul", graph.whole(updates), graph.constant(spread))
    return graph.add("Add", graph.whole(values), moved)
