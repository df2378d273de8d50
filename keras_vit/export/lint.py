# SPDX-License-Identifier: MIT
"""Rules that every LiteRT file keeps, so that it means the same on a CPU, a GPU and an NPU.

LiteRT's GPU path takes some operators that it then computes wrongly, and says "fully accelerated".
The CPU cannot tell, so the shapes themselves are checked. "Measured" below means
`benchmarks/export/gpu_operators.py`, which cuts a graph after each operator and compares the GPU
path with the CPU.
"""

import os
from collections.abc import Iterator

import numpy as np

from keras_vit.errors import UserError
from keras_vit.export.graph import Graph, Operator, Tensor, read_graph

# What the exported graphs are made of; each of them has been compared on the GPU path.
_CHECKED = {
    *("ADD", "BATCH_MATMUL", "CAST", "CONCATENATION", "CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED"),
    *("GELU", "LOG", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "QUANTIZE", "REDUCE_MAX"),
    *("RELU", "RELU6", "RESHAPE", "RSQRT", "SLICE", "SOFTMAX", "SPLIT", "SQUARED_DIFFERENCE"),
    *("STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE"),
    *("SHAPE", "PACK"),  # of a dynamic batch; a GPU then refuses the whole file
}
_ELEMENTWISE = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"}
_LARGEST_HALF = float(np.finfo("float16").max)


def lint(path: str | os.PathLike) -> list[str]:
    """What is wrong with a `.tflite` file, in one sentence for each broken rule and operator.

    Empty for a file that keeps all rules.
    """
    graph = read_graph(path)
    rules = (_foreign, _unchecked, _numbers, _shapes, _sums_of_rows)
    return [sentence for rule in rules for sentence in rule(graph)]


def check_rules(file: str | os.PathLike, path: str | os.PathLike) -> None:
    """Raises a `UserError` that names `path` when `file` breaks a rule."""
    broken = lint(file)
    if broken:
        shown = "; ".join(broken[:3]) + (f"; and {len(broken) - 3} more" if broken[3:] else "")
        raise UserError(f"{path}: {shown}. Nothing was written.")


def _foreign(graph: Graph) -> Iterator[str]:
    """No Python runtime has TensorFlow's ("Flex") or custom operators (LiteRT issue 6458).

    Variables mean that the converter lost the weights: the output would be NaN.
    """
    kinds = sorted({operator.kind for operator in graph.operators})
    foreign = [k for k in kinds if k.startswith("CUSTOM:") or k in ("VAR_HANDLE", "READ_VARIABLE")]
    if foreign:
        yield f"uses operators outside LiteRT's own: {', '.join(foreign)}"


def _unchecked(graph: Graph) -> Iterator[str]:
    kinds = {o.kind for o in graph.operators if not o.kind.startswith("CUSTOM:")}
    for kind in sorted(kinds - _CHECKED - {"VAR_HANDLE", "READ_VARIABLE"}):
        yield f"uses {kind}, which has not been compared on a GPU"


def _numbers(graph: Graph) -> Iterator[str]:
    """GPUs of phones compute in float16, float32 files included: larger constants are infinite."""
    for tensor in graph.tensors:
        if tensor.constant and tensor.dtype.kind == "f":
            largest = np.abs(tensor.values).max()
            if not np.isfinite(largest):
                yield f"{tensor.name}: holds numbers that are not finite"
            elif largest > _LARGEST_HALF:
                yield f"{tensor.name}: holds {largest:.3g}, infinite in float16"


def _shapes(graph: Graph) -> Iterator[str]:
    for operator in graph.operators:
        for rule in (_low_rank, _constant_of_rows, _padding, _strided):
            if (broken := rule(operator)) is not None:
                yield f"{operator.kind} {_described(operator)}: {broken}"


def _sums_of_rows(graph: Graph) -> Iterator[str]:
    """In int8 it fails on Mali GPUs (LiteRT issue 9277)."""
    dense = [o.outputs[0] for o in graph.operators if o.kind == "FULLY_CONNECTED"]
    low = {id(tensor) for tensor in dense if len(tensor.shape) == 3}
    for operator in graph.operators:
        if operator.kind == "ADD" and any(id(t) in low for t in _present(operator)):
            yield f"ADD {_described(operator)}: a dense layer of rank 3 below a sum"


def _low_rank(operator: Operator) -> str | None:
    """Refused by the GPU path (measured; "GPU blocked by rank-5 tensor patterns", the card of
    DeiT-S of litert-community)."""
    ranks = [len(t.shape) for t in (*operator.inputs, *operator.outputs) if t is not None]
    return f"rank {max(ranks)}, GPUs take 4 at most" if max(ranks) > 4 else None


def _constant_of_rows(operator: Operator) -> str | None:
    """Below rank four the first axis of both is the batch, and of a constant only its first row
    is read (measured; LiteRT pull request 9664)."""
    if operator.kind not in _ELEMENTWISE:
        return None
    rank = len(operator.outputs[0].shape)
    for tensor in _present(operator):
        if tensor.constant and len(tensor.shape) == rank < 4 and rank > 1 and tensor.shape[0] > 1:
            return "a constant below rank 4 with a first axis; GPUs read its first row alone"
    return None


def _padding(operator: Operator) -> str | None:
    """Other ranks are refused (2) or pad another axis (3; measured; LiteRT issues 8980, 9272)."""
    if operator.kind in ("PAD", "PADV2", "MIRROR_PAD") and len(operator.inputs[0].shape) != 4:
        return "padding below rank 4, which GPUs do along another axis"
    return None


def _strided(operator: Operator) -> str | None:
    """With int8 weights the stride of a 1 x 1 kernel is ignored (measured)."""
    if operator.kind != "CONV_2D" or operator.inputs[1].dtype.itemsize != 1:
        return None
    pointwise = operator.inputs[1].shape[1:3] == (1, 1)
    if pointwise and (operator.options["strideH"], operator.options["strideW"]) != (1, 1):
        return "an int8 1 x 1 kernel with a stride, which GPUs ignore"
    return None


def _present(operator: Operator) -> list[Tensor]:
    return [tensor for tensor in operator.inputs if tensor is not None]


def _described(operator: Operator) -> str:
    shapes = " and ".join(str(list(tensor.shape)) for tensor in _present(operator))
    return f"of {shapes}" if shapes else "without inputs"
