# SPDX-License-Identifier: MIT
"""The operators of `keras_vit.export.forward` as nodes of an ONNX graph."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET = 17  # the newest whose ReduceMean takes its axes as an attribute


class OnnxOps:
    """Collects nodes; values are names of tensors.

    Args:
        weights: float32 arrays by name.

    Attributes:
        nodes: in an order in which they can be computed.
        initializers: the weights and constants that the nodes use, by name.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._weights = weights
        self._scope: list[str] = []
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scope.append(name)
        yield
        self._scope.pop()

    def has(self, name: str) -> bool:
        return name in self._weights

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def weight_shape(self, name: str) -> tuple[int, ...]:
        return self._weights[name].shape

    def constant(self, name: str, array: np.ndarray) -> str:
        if name not in self.initializers:
            array = np.asarray(array, order="C")
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def number(self, value: float) -> str:
        return self.constant(f"number {value!r}", np.asarray(value, "float32"))

    def dense(self, x: str, name: str, columns: slice = slice(None)) -> str:
        """x @ kernel + bias, of these columns."""
        kernel, bias = f"{name}/kernel", f"{name}/bias"
        x = self._node("MatMul", x, self._columns(kernel, columns))
        return self.add(x, self._columns(bias, columns)) if self.has(bias) else x

    def dense_transposed(self, x: str, name: str, columns: slice) -> str:
        """x @ kernel^T, of these columns."""
        kernel = self._weights[f"{name}/kernel"][:, columns]
        transposed = self.constant(f"{name}/kernel^T{_label(columns)}", kernel.T)
        return self._node("MatMul", x, transposed)

    def add(self, x: str, y: str) -> str:
        return self._node("Add", x, y)

    def subtract(self, x: str, y: str) -> str:
        return self._node("Sub", x, y)

    def multiply(self, x: str, y: str) -> str:
        return self._node("Mul", x, y)

    def matmul(self, x: str, y: str, transpose_b: bool = False) -> str:
        if transpose_b:  # of four-dimensional keys
            y = self.transpose(y, (0, 1, 3, 2))
        return self._node("MatMul", x, y)

    def reshape(self, x: str, shape: tuple[int, ...]) -> str:
        return self._node("Reshape", x, self._integers(shape))

    def transpose(self, x: str, order: tuple[int, ...]) -> str:
        return self._node("Transpose", x, perm=order)

    def split(self, x: str, count: int, axis: int) -> list[str]:
        return self._nodes("Split", [x], count, axis=axis)

    def concatenate(self, parts: list[str], axis: int) -> str:
        return self._node("Concat", *parts, axis=axis)

    def softmax(self, x: str) -> str:
        return self._node("Softmax", x, axis=-1)

    def tanh(self, x: str) -> str:
        return self._node("Tanh", x)

    def log(self, x: str) -> str:
        return self._node("Log", x)

    def relu6(self, x: str) -> str:
        return self._node("Clip", x, self.number(0.0), self.number(6.0))

    def relu(self, x: str) -> str:
        return self._node("Relu", x)

    def rsqrt(self, x: str) -> str:
        return self._node("Reciprocal", self._node("Sqrt", x))

    def activation(self, x: str, kind: str) -> str:
        """GELU spelled out, as ONNX Runtime fuses it; an operator of this name is of opset 20."""
        if kind == "relu":
            return self.relu(x)
        if kind == "silu":
            return self.multiply(x, self._node("Sigmoid", x))
        half = self.multiply(x, self.number(0.5))
        if kind == "gelu":
            curve = self._node("Erf", self.multiply(x, self.number(0.5**0.5)))
        else:
            cube = self.multiply(self.multiply(self.multiply(x, x), x), self.number(0.044715))
            argument = self.multiply(self.add(x, cube), self.number((2 / np.pi) ** 0.5))
            curve = self.tanh(argument)
        return self.multiply(half, self.add(curve, self.number(1.0)))

    def mean(self, x: str, axes: tuple[int, ...], keepdims: bool) -> str:
        return self._node("ReduceMean", x, axes=axes, keepdims=int(keepdims))

    def sum(self, x: str, axes: tuple[int, ...], keepdims: bool = False) -> str:
        return self._node("ReduceSum", x, self._integers(axes), keepdims=int(keepdims))

    def max(self, x: str, axis: int) -> str:
        return self._node("ReduceMax", x, axes=(axis,), keepdims=1)

    def first(self, x: str, count: int, axis: int) -> str:
        return self._slice(x, 0, count, axis)

    def last(self, x: str, count: int, axis: int) -> str:
        return self._slice(x, -count, np.iinfo("int64").max, axis)

    def zeros_before(self, x: str, count: int) -> str:
        return self._node("Pad", x, self._integers((0, count, *[0] * 6)))

    def every_second(self, x: str) -> str:
        """Every second row and column of maps, from the first on."""
        starts, stops, axes, steps = (0, 0), (np.iinfo("int64").max,) * 2, (1, 2), (2, 2)
        return self._node("Slice", x, *map(self._integers, (starts, stops, axes, steps)))

    def convolve(self, x: str, name: str, stride: int) -> str:
        kernel = self.constant(name, self._weights[name].transpose(3, 2, 0, 1))
        x = self.transpose(x, (0, 3, 1, 2))
        x = self._node("Conv", x, kernel, strides=(stride, stride), auto_pad="SAME_UPPER")
        return self.transpose(x, (0, 2, 3, 1))

    def max_pool(self, x: str, size: int, stride: int) -> str:
        x = self.transpose(x, (0, 3, 1, 2))
        window = {"kernel_shape": (size, size), "strides": (stride, stride)}
        x = self._node("MaxPool", x, auto_pad="SAME_UPPER", **window)
        return self.transpose(x, (0, 2, 3, 1))

    def cast_to_float(self, x: str) -> str:
        return self._node("Cast", x, to=TensorProto.FLOAT)

    def name_output(self, x: str, name: str) -> None:
        """Gives a tensor the name that users of the file know."""
        self.nodes.append(helper.make_node("Identity", [x], [name], name=name))

    def _columns(self, name: str, columns: slice) -> str:
        return self.constant(f"{name}{_label(columns)}", self._weights[name][..., columns])

    def _slice(self, x: str, start: int, stop: int, axis: int) -> str:
        return self._node("Slice", x, *(self._integers((i,)) for i in (start, stop, axis)))

    def _node(self, kind: str, *inputs: str, **attributes) -> str:
        return self._nodes(kind, inputs, 1, **attributes)[0]

    def _nodes(self, kind: str, inputs, count: int, **attributes) -> list[str]:
        name = "/".join([*self._scope, f"{kind}_{len(self.nodes)}"])
        outputs = [f"{name}:{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs

    def _integers(self, values: tuple[int, ...]) -> str:
        return self.constant(f"integers {values}", np.asarray(values, "int64"))


def _label(columns: slice) -> str:
    return "" if columns == slice(None) else f" {columns.start}:{columns.stop}"
