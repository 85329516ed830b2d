"""Which nodes of ONNX each primitive of JAX becomes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.export.graph import Graph, Step
from maskformer_jax.export.indexing import dynamic_slice, gather, scatter_add
from maskformer_jax.export.products import dot_general

# Adds nodes; the name of the tensor that is their result.
Translation = Callable[[Graph, Step], str]


def _operation(name: str, **attributes: Any) -> Translation:
    """The same operation on the same inputs, along whose axes of length 1 it repeats."""

    def add(graph: Graph, step: Step) -> str:
        return graph.add(name, *map(graph.name_of, step.inputs), **attributes)

    return add


def _chain(*names: str) -> Translation:
    """One operation on the result of another."""

    def add(graph: Graph, step: Step) -> str:
        found = graph.add(names[0], *map(graph.name_of, step.inputs))
        for name in names[1:]:
            found = graph.add(name, found)
        return found

    return add


def _with_one(first: str, second: str) -> Translation:
    """log(x + 1), or exp(x) - 1."""

    def add(graph: Graph, step: Step) -> str:
        one, found = graph.constant(1, step.dtype), graph.name_of(step.inputs[0])
        for name in (first, second):
            found = graph.add(name, found, *([one] if name in ("Add", "Sub") else []))
        return found

    return add


def _logical(of_bools: str, of_numbers: str) -> Translation:
    def add(graph: Graph, step: Step) -> str:
        name = of_bools if step.dtype == "bool" else of_numbers
        return _operation(name)(graph, step)

    return add


def _select(graph: Graph, step: Step) -> str:
    """`Where`, which onnxruntime has not for truth values."""
    if step.inputs[0].dtype != "bool":
        raise InputError("a choice between more than two arrays can't be exported to ONNX")
    which, if_false, if_true = map(graph.name_of, step.inputs)
    if step.dtype != "bool":
        return graph.add("Where", which, if_true, if_false)
    otherwise = graph.add("And", graph.add("Not", which), if_false)
    return graph.add("Or", graph.add("And", which, if_true), otherwise)


def _cast(graph: Graph, step: Step) -> str:
    if step.inputs[0].dtype == step.dtype:
        return graph.name_of(step.inputs[0])
    return graph.cast(graph.name_of(step.inputs[0]), step.dtype)


def _power(graph: Graph, step: Step) -> str:
    exponent = graph.constant(step.parameters["y"], step.dtype)
    return graph.add("Pow", graph.name_of(step.inputs[0]), exponent)


def _clamp(graph: Graph, step: Step) -> str:
    low, values, high = map(graph.name_of, step.inputs)
    return graph.add("Min", graph.add("Max", values, low), high)


def _square(graph: Graph, step: Step) -> str:
    name = graph.name_of(step.inputs[0])
    return graph.add("Mul", name, name)


def _transpose(graph: Graph, step: Step) -> str:
    return graph.add("Transpose", graph.whole(step.inputs[0]), perm=step.parameters["permutation"])


def _reshape(graph: Graph, step: Step) -> str:
    return graph.reshape(graph.whole(step.inputs[0]), step.shape)


def _concatenate(graph: Graph, step: Step) -> str:
    return graph.add("Concat", *map(graph.whole, step.inputs), axis=step.parameters["dimension"])


def _stack(graph: Graph, step: Step) -> str:
    axis = graph.constant([step.parameters["axis"]], "int64")
    parts = [graph.add("Unsqueeze", graph.whole(x), axis) for x in step.inputs]
    return graph.add("Concat", *parts, axis=step.parameters["axis"])


def _slice(graph: Graph, step: Step) -> str:
    begins, ends = (graph.shape(step.parameters[x]) for x in ("start_indices", "limit_indices"))
    axes = graph.constant(np.arange(len(step.inputs[0].shape)))
    strides = step.parameters["strides"]
    more = [] if strides is None else [graph.shape(strides)]
    return graph.add("Slice", graph.whole(step.inputs[0]), begins, ends, axes, *more)


def _pad(graph: Graph, step: Step) -> str:
    low, high, inner = zip(*step.parameters["padding_config"], strict=True)
    if any(inner):
        raise InputError("padding between entries can't be exported to ONNX")
    widths = graph.shape([*low, *high])
    return graph.add("Pad", graph.whole(step.inputs[0]), widths, graph.name_of(step.inputs[1]))


def _iota(graph: Graph, step: Step) -> str:
    axis, zero = step.parameters["dimension"], graph.constant(0, "int64")
    number = graph.add("Squeeze", graph.size(step.shape[axis]))
    counted = graph.add("Range", zero, number, graph.constant(1, "int64"))
    counted = graph.cast(counted, step.dtype)
    lengths = [step.shape[place] if place == axis else 1 for place in range(len(step.shape))]
    return graph.add("Expand", graph.reshape(counted, lengths), graph.shape(step.shape))


def _tile(graph: Graph, step: Step) -> str:
    return graph.add("Tile", graph.whole(step.inputs[0]), graph.shape(step.parameters["reps"]))


def _length(graph: Graph, step: Step) -> str:
    return graph.cast(graph.add("Squeeze", graph.size(step.parameters["dim"])), step.dtype)


def _reduction(name: str) -> Translation:
    """Over axes; truth values are numbers for onnxruntime."""

    def add(graph: Graph, step: Step) -> str:
        axes, values = graph.constant(step.parameters["axes"], "int64"), graph.whole(step.inputs[0])
        if step.dtype != "bool":
            return graph.add(name, values, axes, keepdims=0)
        numbers = graph.cast(values, "int32")
        found = graph.add(name, numbers, axes, keepdims=0)
        return graph.cast(found, "bool")

    return add


def _place(name: str) -> Translation:
    def add(graph: Graph, step: Step) -> str:
        values, (axis,) = graph.whole(step.inputs[0]), step.parameters["axes"]
        if step.inputs[0].dtype == "bool":
            values = graph.cast(values, "int32")
        return graph.cast(graph.add(name, values, axis=axis, keepdims=0), step.dtype)

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
