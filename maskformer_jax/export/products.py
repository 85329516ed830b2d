"""Products of arrays as `MatMul`."""

from collections.abc import Sequence

from maskformer_jax.export.graph import Dim, Graph, Step, Value


def dot_general(graph: Graph, step: Step) -> str:
    """A product with any axes summed over and any in common, which stand first in the result."""
    (left_sum, right_sum), (left_common, right_common) = step.parameters["dimension_numbers"]
    left, right = step.inputs
    left_free = _others(left, left_sum, left_common)
    right_free = _others(right, right_sum, right_common)
    one = _ordered(graph, left, (*left_common, *left_free, *left_sum))
    two = _ordered(graph, right, (*right_common, *right_sum, *right_free))
    # A matrix times a stack of any rank needs no common axes.
    if not left_common and left_free and len(left_sum) == len(right_free) == 1:
        return graph.add("MatMul", one, two)
    common = [left.shape[axis] for axis in left_common]
    one = _as_matrices(graph, one, left, common, left_free, left_sum)
    two = _as_matrices(graph, two, right, common, right_sum, right_free)
    product = graph.add("MatMul", one, two)
    is_done = len(left_free) == len(right_free) == 1
    return product if is_done else graph.reshape(product, step.shape)


def _others(value: Value, *groups: Sequence[int]) -> list[int]:
    used = {axis for group in groups for axis in group}
    return [axis for axis in range(len(value.shape)) if axis not in used]


def _ordered(graph: Graph, value: Value, order: tuple[int, ...]) -> str:
    name = graph.whole(value)
    if order == tuple(range(len(order))):
        return name
    return graph.add("Transpose", name, perm=order)


def _as_matrices(
    graph: Graph,
    name: str,
    value: Value,
    common: list[Dim],
    rows: Sequence[int],
    columns: Sequence[int],
) -> str:
    """Matrices whose rows and columns are each of one axis."""
    if len(rows) == len(columns) == 1:
        return name
    sizes = [_product(value, axes) for axes in (rows, columns)]
    return graph.reshape(name, [*common, *sizes])


def _product(value: Value, axes: Sequence[int]) -> Dim:
    size: Dim = 1
    for axis in axes:
        size = size * value.shape[axis]
    return size
