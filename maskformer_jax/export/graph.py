"""An ONNX graph in the making, with axes of any length."""

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maskformer_jax.errors import InputError

TYPES = {
    "float32": TensorProto.FLOAT,
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}
Dim = Any


class Value(NamedTuple):
    """An array of the graph.

    Attributes:
        name: of the tensor; a constant has none until a node reads it.
        shape: its axes, numbers or expressions of the lengths of inputs.
        dtype: its type.
        is_whole: False: the tensor has axes of length 1 where the array has longer ones, along
            which it is constant.
        constant: its values, if they are known.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    is_whole: bool = True
    constant: np.ndarray | None = None


class Step(NamedTuple):
    """What an equation of a jaxpr is given, and its result.

    Attributes:
        inputs: arrays.
        parameters: of the primitive.
        shape: of the result.
        dtype: of the result.
    """

    inputs: Sequence[Value]
    parameters: dict[str, Any]
    shape: tuple[Dim, ...]
    dtype: str


class Graph:
    """The nodes and constants of a graph, as they are added.

    Args:
        inputs: name -> shape of each input; a word is an axis of any length.
    """

    def __init__(self, inputs: dict[str, tuple[int | str, ...]]):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[bytes, onnx.TensorProto] = {}
        self.number = 0
        self._dims: dict[str, str] = {}
        self._axes = {}
        for name, shape in inputs.items():
            for axis, length in enumerate(shape):
                if isinstance(length, str):
                    self._axes.setdefault(length, (name, axis))

    def add(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; the name of its output, or of its outputs.

        Args:
            operation: of ONNX.
            inputs: names of tensors.
            outputs: their number.
            attributes: of the node.
        """
        names = [f"t{self.number + place}" for place in range(outputs)]
        self.number += outputs
        self.nodes.append(helper.make_node(operation, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: Any, dtype: str | None = None) -> str:
        """The name of a constant tensor."""
        array = np.ascontiguousarray(array, dtype=dtype).reshape(np.shape(array))
        key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self.constants:
            name = f"c{len(self.constants)}"
            self.constants[key] = numpy_helper.from_array(array, name)
        return self.constants[key].name

    def cast(self, name: str, dtype: str) -> str:
        """A tensor of another type."""
        return self.add("Cast", name, to=type_of(dtype))

    def name_of(self, value: Value) -> str:
        """The tensor of a value, which may have axes of length 1 that the value has not."""
        return value.name if value.constant is None else self.constant(value.constant)

    def whole(self, value: Value) -> str:
        """The tensor of a value, with all its axes."""
        if value.is_whole:
            return self.name_of(value)
        return self.add("Expand", self.name_of(value), self.shape(value.shape))

    def size(self, dim: Dim) -> str:
        """The length of an axis, an int64 tensor `[1]`.

        Lengths are polynomials in those of the inputs; their text is their definition.
        """
        if isinstance(dim, int | np.integer):
            return self.constant([int(dim)], "int64")
        text = str(dim)
        if text not in self._dims:
            self._dims[text] = self._evaluated(ast.parse(text.replace("^", "**")).body[0].value)
        return self._dims[text]

    def _evaluated(self, node: ast.expr) -> str:
        binary = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Pow: "Pow"}
        functions = {"floordiv": "Div", "mod": "Mod", "max": "Max", "min": "Min"}
        match node:
            case ast.Constant(value=int(value)):
                return self.constant([value], "int64")
            case ast.Name(id=name):
                tensor, axis = self._axes[name]
                return self.add("Shape", tensor, start=axis, end=axis + 1)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.add("Neg", self._evaluated(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in binary:
                return self.add(binary[type(op)], self._evaluated(left), self._evaluated(right))
            case ast.Call(func=ast.Name(id=name), args=args) if name in functions:
                return self.add(functions[name], *map(self._evaluated, args))
        raise InputError(f"a length {ast.unparse(node)!r} can't be exported")

    def shape(self, dims: Sequence[Dim]) -> str:
        """A shape as an int64 tensor."""
        if all(isinstance(dim, int | np.integer) for dim in dims):
            return self.constant(np.array(dims, np.int64))
        parts = [self.size(dim) for dim in dims]
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=0)

    def reshape(self, name: str, dims: Sequence[Dim]) -> str:
        """A tensor with other axes."""
        known = [isinstance(dim, int | np.integer) for dim in dims]
        if sum(known) == len(dims) - 1 and all(d for d, k in zip(dims, known, strict=True) if k):
            inferred = [int(d) if k else -1 for d, k in zip(dims, known, strict=True)]
            return self.add("Reshape", name, self.constant(inferred, "int64"))
        return self.add("Reshape", name, self.shape(dims), allowzero=1)


def type_of(dtype: Any) -> int:
    """The number by which ONNX knows a type.

    Raises:
        InputError: it is not exported.
    """
    if str(dtype) not in TYPES:
        raise InputError(f"arrays of {dtype} can't be exported; there are {', '.join(TYPES)}")
    return TYPES[str(dtype)]
