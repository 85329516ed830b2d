"""From a function of JAX to an ONNX model: its jaxpr, equation by equation.

A table (`primitives.py`) says which nodes each primitive becomes. One that is not in the table is
an error with its name, so that nothing is left out in silence, and a change of the network needs
no change here as long as it computes with these.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend import core
from onnx import helper

from maskformer_jax.errors import InputError
from maskformer_jax.export.graph import Graph, Step, Value, type_of
from maskformer_jax.export.primitives import ELEMENTWISE, INLINED, OTHERS, SAME

# What ATLAS' onnxruntime reads; newer ones read it too.
OPSET, IR_VERSION = 20, 9
# Constants are computed here up to this size or that of what they are computed of.
LARGEST_FOLDED = 2**16


def to_onnx(
    function: Callable[..., Sequence[jax.Array]],
    inputs: dict[str, jax.ShapeDtypeStruct],
    outputs: Sequence[str],
    name: str,
) -> onnx.ModelProto:
    """A function as an ONNX model.

    Args:
        function: of as many arrays as there are inputs; gives as many as there are outputs.
        inputs: name -> shape, whose axes may be symbols of `jax.export`, and type.
        outputs: their names.
        name: of the graph.

    Raises:
        InputError: the function computes something that is not in the table; it is named.
    """
    closed = jax.jit(lambda *x: function(*x)).trace(*inputs.values()).jaxpr
    shapes = {
        key: tuple(d if isinstance(d, int) else str(d) for d in x.shape)
        for key, x in inputs.items()
    }
    graph = Graph(shapes)
    given = [Value(key, x.shape, str(x.dtype)) for key, x in inputs.items()]
    found = translate(graph, closed.jaxpr, closed.consts, given)
    ends = []
    for key, value in zip(outputs, found, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.whole(value)], [key]))
        shape = [d if isinstance(d, int) else str(d) for d in value.shape]
        ends.append(helper.make_tensor_value_info(key, type_of(value.dtype), shape))
    nodes, constants = _needed(graph, outputs)
    starts = [
        helper.make_tensor_value_info(key, type_of(x.dtype), shapes[key])
        for key, x in inputs.items()
    ]
    made = helper.make_graph(nodes, name, starts, ends, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "maskformer_jax"
    onnx.checker.check_model(model, full_check=True)
    return model


def _needed(
    graph: Graph, outputs: Sequence[str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants without those that no output is made of."""
    read, nodes = set(outputs), []
    for node in reversed(graph.nodes):
        if read & set(node.output):
            read.update(node.input)
            nodes.append(node)
    return nodes[::-1], [x for x in graph.constants.values() if x.name in read]


def translate(
    graph: Graph, jaxpr: core.Jaxpr, constants: Sequence[Any], inputs: Sequence[Value]
) -> list[Value]:
    """Adds the equations of a jaxpr to a graph.

    Args:
        graph: to add to.
        jaxpr: the equations.
        constants: of the jaxpr.
        inputs: of the jaxpr.

    Returns:
        What the jaxpr returns.

    Raises:
        InputError: there is no translation of a primitive.
    """
    known = dict(zip(jaxpr.constvars, map(_constant, constants), strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, core.Literal):
            return _constant(np.asarray(atom.val, atom.aval.dtype))
        return known[atom]

    for equation in jaxpr.eqns:
        found = _results(graph, equation, [read(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _constant(array: Any) -> Value:
    array = np.asarray(array)
    return Value("", array.shape, str(array.dtype), constant=array)


def _results(graph: Graph, equation: core.JaxprEqn, inputs: list[Value]) -> list[Value]:
    """The results of one equation."""
    name, parameters = equation.primitive.name, equation.params
    if name in INLINED:
        inner = parameters[INLINED[name]]
        return translate(graph, inner.jaxpr, inner.consts, inputs)
    if name in SAME:
        return inputs
    shapes = [(variable.aval.shape, str(variable.aval.dtype)) for variable in equation.outvars]
    if (arrays := _folded(equation, inputs)) is not None:
        return list(map(_constant, arrays))
    if name == "split":
        sizes, number = graph.constant(parameters["sizes"], "int64"), len(shapes)
        whole, axis = graph.whole(inputs[0]), parameters["axis"]
        parts = graph.add("Split", whole, sizes, outputs=number, axis=axis)
        parts = [parts] if number == 1 else parts
        return [Value(x, *shape) for x, shape in zip(parts, shapes, strict=True)]
    step = Step(inputs, parameters, *shapes[0])
    if name == "broadcast_in_dim":
        return [_broadcast(graph, step)]
    if name in ELEMENTWISE:
        is_whole = any(x.is_whole and x.shape == step.shape for x in inputs)
        return [Value(ELEMENTWISE[name](graph, step), *shapes[0], is_whole)]
    if name in OTHERS:
        return [Value(OTHERS[name](graph, step), *shapes[0])]
    raise InputError(
        f"the network computes with `{name}` of JAX, which can't be exported to ONNX; "
        "--format stablehlo exports everything"
    )


def _broadcast(graph: Graph, step: Step) -> Value:
    """New axes of length 1; to repeat the values is left to who reads them."""
    (value,), shape, kept = step.inputs, step.shape, step.parameters["broadcast_dimensions"]
    new = [axis for axis in range(len(shape)) if axis not in kept]
    is_whole = value.is_whole and all(shape[axis] == 1 for axis in new)
    is_whole &= all(shape[axis] == length for axis, length in zip(kept, value.shape, strict=True))
    if value.constant is not None:
        return Value("", shape, step.dtype, is_whole, np.expand_dims(value.constant, new))
    name = value.name
    if new:
        name = graph.add("Unsqueeze", name, graph.constant(new, "int64"))
    return Value(name, shape, step.dtype, is_whole)


def _folded(equation: core.JaxprEqn, values: Sequence[Value]) -> list[np.ndarray] | None:
    """The results of an equation of constants; none where they are not known, or too large."""
    shapes = [variable.aval.shape for variable in equation.outvars]
    is_length = equation.primitive.name == "dim_as_value"
    if is_length or any(x.constant is None or not x.is_whole for x in values):
        return None
    if any(not isinstance(dim, int) for shape in shapes for dim in shape):
        return None
    most = max([LARGEST_FOLDED, *(x.constant.size for x in values)])
    if sum(int(np.prod(shape)) for shape in shapes) > most:
        return None
    with jax.ensure_compile_time_eval():
        found = equation.primitive.bind(*(x.constant for x in values), **equation.params)
    return [np.asarray(x) for x in (found if equation.primitive.multiple_results else [found])]
