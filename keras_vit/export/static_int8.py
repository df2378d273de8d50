# SPDX-License-Identifier: MIT
"""Selective static int8 of a LiteRT file: its dense layers and the products of attention.

XNNPACK computes both in int8, the product of two activations only where the zero point of the
second one is 0, so keys and values get ranges that are even about 0. What moves numbers between
them moves int8. Softmax, norms and the residual stream stay in float32: XNNPACK has no int8 kernels
for most of them. GELU stands between two changes of type, which XNNPACK makes one table of.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_vit.errors import not_installed
from keras_vit.export.graph import Graph, Operator, Tensor, graph_of
from keras_vit.quiet import without_lines

_MOVES = ("RESHAPE", "TRANSPOSE", "SPLIT")
_HEADS_AXES = 4  # rank of the products of attention; those of token merging are of rank three


def static_int8(content: bytes, calibration: np.ndarray) -> bytes:
    """Quantises a float32 LiteRT file, activations with fixed ranges.

    Args:
        content: the file, with one input `pixels`.
        calibration: images as the file takes them, `(n, height, width, channels)`.

    Raises:
        UserError: when the extra `quantize` is not installed.
    """
    try:
        from litert_quantizer import calibrator, quantizer, recipe
        from litert_quantizer.utils import qsv_utils
    except ImportError as error:
        raise not_installed("static_int8", "litert-quantizer", "quantize") from error
    graph = graph_of(content)
    chosen = _int8_operators(graph)
    (rule,) = recipe.static_wi8_ai8()
    quantize = quantizer.Quantizer(bytearray(content))
    quantize.load_quantization_recipe([{**rule, **of_one} for of_one in _rules(chosen)])
    examples = {"serving_default": [{"pixels": image[None]} for image in calibration]}
    with (
        contextlib.redirect_stderr(io.StringIO()),  # progress bars
        without_lines(),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # that keeping every tensor takes memory
        # True minima and maxima. Quantizer.calibrate has a moving average instead, which cuts off
        # outlying activations; it does not take another rule, hence the private attribute.
        found = calibrator.Calibrator(content, qsv_update_func=qsv_utils.min_max_update)
        found.calibrate(examples, quantize._recipe_manager)
        ranges = found.get_model_qsvs()
        for tensor, largest in _even_ranges(chosen, ranges):
            _make_even(ranges[tensor.name], largest)
        return bytes(quantize.quantize(ranges).quantized_model)


def _int8_operators(graph: Graph) -> list[Operator]:
    """Dense layers, products of attention, and what moves the numbers of one into another.

    A move counts where one of them writes what it reads, and one of them reads each of its results:
    queries and keys that are normalised or turned first are floats until then.
    """
    chosen = [operator for operator in graph.operators if _multiplies(operator)]
    chosen += [operator for operator in graph.operators if operator.kind in _MOVES]
    while True:
        written = {id(tensor) for operator in chosen for tensor in operator.outputs}
        read = {id(tensor) for operator in chosen for tensor in operator.inputs}
        kept = [
            operator
            for operator in chosen
            if operator.kind not in _MOVES
            or (id(_moved(operator)) in written and all(id(t) in read for t in operator.outputs))
        ]
        if len(kept) == len(chosen):
            return chosen
        chosen = kept


def _multiplies(operator: Operator) -> bool:
    if operator.kind == "BATCH_MATMUL":
        return len(operator.outputs[0].shape) == _HEADS_AXES
    return operator.kind == "FULLY_CONNECTED"


def _moved(operator: Operator) -> Tensor:
    """What a move reads beside its constants: a shape, an order of axes."""
    return next(t for t in operator.inputs if t is not None and not t.constant)


def _rules(chosen: Sequence[Operator]) -> Iterator[dict[str, str]]:
    """A rule of the recipe for each operator, which the quantizer knows by its outputs."""
    for operator in chosen:
        names = ";".join(re.escape(tensor.name) for tensor in operator.outputs)
        yield {"regex": f"^{names};?$", "operation": operator.kind}


def _even_ranges(chosen: Sequence[Operator], ranges: Mapping) -> Iterator[tuple[Tensor, float]]:
    """Tensors whose range has to be even about 0, each with its largest number.

    These are keys and values, and what they are taken from, queries included: what is only moved
    has the range of what it was.
    """
    moves = {id(t): o for o in chosen if o.kind in _MOVES for t in o.outputs}
    for product in chosen:
        if product.kind != "BATCH_MATMUL":
            continue
        for tensor, second in zip(product.inputs, (False, True), strict=True):
            way = [tensor]
            while id(way[-1]) in moves:
                way.append(_moved(moves[id(way[-1])]))
            if second or len(way) > 1:
                found = ranges[way[-1].name]
                largest = max(abs(float(np.min(found["min"]))), abs(float(np.max(found["max"]))))
                yield from ((each, largest) for each in way)


def _make_even(found: dict[str, Any], largest: float) -> None:
    """A range of which int8 has 0 as zero point: -128 to 127 steps of `largest` / 127."""
    found["min"] = np.full_like(found["min"], -largest * 128 / 127)
    found["max"] = np.full_like(found["max"], largest)
