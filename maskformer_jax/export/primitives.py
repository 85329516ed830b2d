"""Which nodes of ONNX each primitive of JAX becomes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend import core

from maskformer_jax.errors import InputError
from maskformer_jax.export.graph import Graph, Value, folded, type_of
from maskformer_jax.export.indexing import dynamic_slice, gather, scatter_add
from maskformer_jax.export.products import dot_general

Shape = tuple[Any, ...]
Inputs = Sequence[Value]
Parameters = dict[str, Any]
# Nodes for `inputs`, whose result has this shape and type; the name of their tensor.
Translation = Callable[[Graph, Inputs, Parameters, Shape, str], str]


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
    if (arrays := folded(equation, inputs)) is not None:
        return list(map(_constant, arrays))
    if name == "broadcast_in_dim":
        return [_broadcast(graph, inputs[0], parameters, *shapes[0])]
    if name == "split":
        sizes = graph.constant(parameters["sizes"], "int64")
        whole, number = graph.whole(inputs[0]), len(shapes)
        parts = graph.add("Split", whole, sizes, outputs=number, axis=parameters["axis"])
        return [
            Value(x, *s) for x, s in zip([parts] if number == 1 else parts, shapes, strict=True)
        ]
    shape, dtype = shapes[0]
    if name in ELEMENTWISE:
        is_whole = any(x.is_whole and x.shape == shape for x in inputs)
        tensor = ELEMENTWISE[name](graph, inputs, parameters, shape, dtype)
        return [Value(tensor, shape, dtype, is_whole)]
    if name in OTHERS:
        return [Value(OTHERS[name](graph, inputs, parameters, shape, dtype), shape, dtype)]
    raise InputError(
        f"the network computes with `{name}` of JAX, which can't be exported to ONNX; "
        "--format stablehlo exports everything"
    )


def _broadcast(
    graph: Graph, value: Value, parameters: Parameters, shape: Shape, dtype: str
) -> Value:
    """New axes of length 1; to repeat the values is left to who reads them."""
    kept = parameters["broadcast_dimensions"]
    new = [axis for axis in range(len(shape)) if axis not in kept]
    is_whole = value.is_whole and all(shape[axis] == 1 for axis in new)
    is_whole &= all(shape[axis] == length for axis, length in zip(kept, value.shape, strict=True))
    if value.constant is not None:
        return Value("", shape, dtype, is_whole, np.expand_dims(value.constant, new))
    name = value.name
    if new:
        name = graph.add("Unsqueeze", name, graph.constant(new, "int64"))
    return Value(name, shape, dtype, is_whole)


def _operation(name: str, **attributes: Any) -> Translation:
    """The same operation on the same inputs, along whose axes of length 1 it repeats."""

    def add(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
        del parameters, shape, dtype
        return graph.add(name, *map(graph.name_of, inputs), **attributes)

    return add


def _chain(*names: str) -> Translation:
    """One operation on the result of another."""

    def add(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
        del parameters, shape, dtype
        found = graph.add(names[0], *map(graph.name_of, inputs))
        for name in names[1:]:
            found = graph.add(name, found)
        return found

    return add


def _with_one(first: str, second: str) -> Translation:
    """log(x + 1), or exp(x) - 1."""

    def add(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
        del parameters, shape
        one, found = graph.constant(1, dtype), graph.name_of(inputs[0])
        for name in (first, second):
            found = graph.add(name, found, *([one] if name in ("Add", "Sub") else []))
        return found

    return add


def _logical(of_bools: str, of_numbers: str) -> Translation:
    def add(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
        name = of_bools if dtype == "bool" else of_numbers
        return _operation(name)(graph, inputs, parameters, shape, dtype)

    return add


def _select(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    """`Where`, which onnxruntime has not for truth values."""
    del parameters, shape
    if inputs[0].dtype != "bool":
        raise InputError("a choice between more than two arrays can't be exported to ONNX")
    which, if_false, if_true = map(graph.name_of, inputs)
    if dtype != "bool":
        return graph.add("Where", which, if_true, if_false)
    otherwise = graph.add("And", graph.add("Not", which), if_false)
    return graph.add("Or", graph.add("And", which, if_true), otherwise)


def _cast(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del parameters, shape
    if inputs[0].dtype == dtype:
        return graph.name_of(inputs[0])
    return graph.add("Cast", graph.name_of(inputs[0]), to=type_of(dtype))


def _power(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del shape
    return graph.add("Pow", graph.name_of(inputs[0]), graph.constant(parameters["y"], dtype))


def _clamp(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del parameters, shape, dtype
    low, values, high = map(graph.name_of, inputs)
    return graph.add("Min", graph.add("Max", values, low), high)


def _square(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del parameters, shape, dtype
    name = graph.name_of(inputs[0])
    return graph.add("Mul", name, name)


def _transpose(graph: Graph, inputs: Inputs, parameters: Parameters, *_: Any) -> str:
    return graph.add("Transpose", graph.whole(inputs[0]), perm=parameters["permutation"])


def _reshape(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del parameters, dtype
    return graph.reshape(graph.whole(inputs[0]), shape)


def _concatenate(graph: Graph, inputs: Inputs, parameters: Parameters, *_: Any) -> str:
    return graph.add("Concat", *map(graph.whole, inputs), axis=parameters["dimension"])


def _stack(graph: Graph, inputs: Inputs, parameters: Parameters, *_: Any) -> str:
    axis = graph.constant([parameters["axis"]], "int64")
    parts = [graph.add("Unsqueeze", graph.whole(x), axis) for x in inputs]
    return graph.add("Concat", *parts, axis=parameters["axis"])


def _slice(graph: Graph, inputs: Inputs, parameters: Parameters, *_: Any) -> str:
    begins, ends = (graph.shape(parameters[x]) for x in ("start_indices", "limit_indices"))
    axes = graph.constant(np.arange(len(inputs[0].shape)))
    strides = [] if parameters["strides"] is None else [graph.shape(parameters["strides"])]
    return graph.add("Slice", graph.whole(inputs[0]), begins, ends, axes, *strides)


def _pad(graph: Graph, inputs: Inputs, parameters: Parameters, *_: Any) -> str:
    low, high, inner = zip(*parameters["padding_config"], strict=True)
    if any(inner):
        raise InputError("padding between entries can't be exported to ONNX")
    widths = graph.shape([*low, *high])
    return graph.add("Pad", graph.whole(inputs[0]), widths, graph.name_of(inputs[1]))


def _iota(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del inputs
    axis, zero = parameters["dimension"], graph.constant(0, "int64")
    number = graph.add("Squeeze", graph.size(shape[axis]))
    counted = graph.add("Range", zero, number, graph.constant(1, "int64"))
    counted = graph.add("Cast", counted, to=type_of(dtype))
    lengths = [shape[place] if place == axis else 1 for place in range(len(shape))]
    return graph.add("Expand", graph.reshape(counted, lengths), graph.shape(shape))


def _tile(graph: Graph, inputs: Inputs, parameters: Parameters, *_: Any) -> str:
    return graph.add("Tile", graph.whole(inputs[0]), graph.shape(parameters["reps"]))


def _length(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
    del inputs, shape
    return graph.add("Cast", graph.add("Squeeze", graph.size(parameters["dim"])), to=type_of(dtype))


def _reduction(name: str) -> Translation:
    """Over axes; truth values are numbers for onnxruntime."""

    def add(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
        del shape
        axes, values = graph.constant(parameters["axes"], "int64"), graph.whole(inputs[0])
        if dtype != "bool":
            return graph.add(name, values, axes, keepdims=0)
        numbers = graph.add("Cast", values, to=type_of("int32"))
        found = graph.add(name, numbers, axes, keepdims=0)
        return graph.add("Cast", found, to=type_of("bool"))

    return add


def _place(name: str) -> Translation:
    def add(graph: Graph, inputs: Inputs, parameters: Parameters, shape: Shape, dtype: str) -> str:
        del shape
        values, (axis,) = graph.whole(inputs[0]), parameters["axes"]
        if inputs[0].dtype == "bool":
            values = graph.add("Cast", values, to=type_of("int32"))
        return graph.add("Cast", graph.add(name, values, axis=axis, keepdims=0), to=type_of(dtype))

    return add


# Primitive -> its parameter that holds what it calls.
INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
SAME = {"copy", "copy_p", "optimization_barrier", "stop_gradient"}
_NAMES = {
    **{"abs": "Abs", "add": "Add", "add_any": "Add", "asinh": "Asinh", "cos": "Cos"},
    **{
        "div": "Div",
        "eq": "Equal",
        "erf": "Erf",
        "exp": "Exp",
        "floor": "Floor",
        "ge": "GreaterOrEqual",
    },
    **{"gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid", "lt": "Less"},
    **{"max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "pow": "Pow", "sign": "Sign"},
    **{"sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh"},
}
ELEMENTWISE: dict[str, Translation] = {
    **{primitive: _operation(name) for primitive, name in _NAMES.items()},
    "and": _logical("And", "BitwiseAnd"),
    "or": _logical("Or", "BitwiseOr"),
    "not": _logical("Not", "BitwiseNot"),
    "rem": _operation("Mod", fmod=1),
    "ne": _chain("Equal", "Not"),
    "rsqrt": _chain("Sqrt", "Reciprocal"),
    "log1p": _with_one("Add", "Log"),
    "expm1": _with_one("Exp", "Sub"),
    "select_n": _select,
    "convert_element_type": _cast,
    "integer_pow": _power,
    "square": _square,
    "clamp": _clamp,
}
OTHERS: dict[str, Translation] = {
    "argmax": _place("ArgMax"),
    "argmin": _place("ArgMin"),
    "concatenate": _concatenate,
    "dim_as_value": _length,
    "dot_general": dot_general,
    "dynamic_slice": dynamic_slice,
    "expand_dims": _reshape,
    "gather": gather,
    "iota": _iota,
    "pad": _pad,
    "reduce_and": _reduction("ReduceMin"),
    "reduce_max": _reduction("ReduceMax"),
    "reduce_min": _reduction("ReduceMin"),
    "reduce_or": _reduction("ReduceMax"),
    "reduce_prod": _reduction("ReduceProd"),
    "reduce_sum": _reduction("ReduceSum"),
    "reshape": _reshape,
    "scatter-add": scatter_add,
    "slice": _slice,
    "squeeze": _reshape,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
}
