# SPDX-License-Identifier: MIT
"""What stands in a LiteRT file: its operators, and the tensors between them.

Read off the flatbuffer alone; nothing is run.
"""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a graph.

    Attributes:
        name: as the converter wrote it.
        shape: its sizes; a dynamic batch counts as 1.
        dtype: of its numbers, in NumPy's words.
        stored: the bytes of a constant, empty for what is computed.
        scale: of its quantised numbers, one or one for each index along `axis`; empty for floats.
        zero_point: the integers that stand for 0.
        axis: along which the scales differ.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    stored: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int

    @property
    def constant(self) -> bool:
        """Whether the file holds its numbers."""
        return bool(self.stored.size)

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The numbers of a constant, as they are stored."""
        return self.stored.view(self.dtype).reshape(self.shape)


@dataclasses.dataclass(frozen=True)
class Operator:
    """A step of a graph.

    Attributes:
        kind: its name in LiteRT; a custom one is `CUSTOM:name`.
        inputs: what it reads, in order; None for one that was left out.
        outputs: what it writes.
        options: the fields of its own table of options, by their names in the schema.
    """

    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: dict[str, object]


@dataclasses.dataclass(frozen=True)
class Graph:
    """The first subgraph of a file, in the order in which it is run."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that an operator reads or writes, each once."""
        found = {id(t): t for o in self.operators for t in (*o.inputs, *o.outputs) if t is not None}
        return tuple(found.values())


def read_graph(path: str | os.PathLike) -> Graph:
    """Reads the graph of a `.tflite` file."""
    return graph_of(Path(path).read_bytes())


def graph_of(content: bytes) -> Graph:
    """The same of what stands in such a file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    kinds = [_kind(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    sub = model.Subgraphs(0)
    tensors = [_tensor(model, sub.Tensors(i)) for i in range(sub.TensorsLength())]

    def chosen(indices):
        return tuple(None if i < 0 else tensors[i] for i in np.atleast_1d(indices))

    steps = [sub.Operators(i) for i in range(sub.OperatorsLength())]
    found = tuple(
        Operator(
            kinds[step.OpcodeIndex()],
            chosen(step.InputsAsNumpy()),
            chosen(step.OutputsAsNumpy()),
            _options(step),
        )
        for step in steps
    )
    return Graph(found, chosen(sub.InputsAsNumpy()), chosen(sub.OutputsAsNumpy()))


def operators(path: str | os.PathLike) -> list[str]:
    """Names of the kinds of operators in a LiteRT file, sorted.

    A custom operator appears as `CUSTOM:name`, a TensorFlow ("Flex") one among them.
    """
    return sorted({operator.kind for operator in read_graph(path).operators})


@functools.cache
def _names(table: str) -> dict[int, str]:
    """Names of the numbers of an enumeration of the schema."""
    from ai_edge_litert import schema_py_generated as schema

    members = vars(getattr(schema, table)).items()
    return {value: name for name, value in members if isinstance(value, int)}


def _kind(code) -> str:
    if code.CustomCode():
        return f"CUSTOM:{code.CustomCode().decode()}"
    # Codes above 127 are in the newer field, the older one holds a placeholder.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return _names("BuiltinOperator").get(number, str(number))


def _tensor(model, tensor) -> Tensor:
    stored = model.Buffers(tensor.Buffer()).DataAsNumpy() if tensor.Buffer() else 0
    quantization = tensor.Quantization()
    scale, zero_point, axis = np.empty(0), np.empty(0, "int64"), 0
    if quantization is not None and quantization.ScaleLength():
        scale, zero_point = quantization.ScaleAsNumpy(), quantization.ZeroPointAsNumpy()
        axis = quantization.QuantizedDimension()
    return Tensor(
        name=(tensor.Name() or b"").decode(),
        shape=tuple(map(int, tensor.ShapeAsNumpy())) if tensor.ShapeLength() else (),
        dtype=np.dtype(_DTYPES.get(_names("TensorType")[tensor.Type()], "V1")),
        stored=stored if isinstance(stored, np.ndarray) else np.empty(0, "uint8"),
        scale=scale,
        zero_point=zero_point,
        axis=axis,
    )


def _options(step) -> dict[str, object]:
    from ai_edge_litert import schema_py_generated as schema

    name = _names("BuiltinOptions")[step.BuiltinOptionsType()]
    table, union = getattr(schema, f"{name}T", None), step.BuiltinOptions()
    if table is None or union is None:
        return {}
    return vars(table.InitFromBuf(union.Bytes, union.Pos))


_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
