# SPDX-License-Identifier: MIT
"""ONNX, written node by node from the exported graph: no converter stands between."""

import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from keras_vit.errors import UserError, not_installed
from keras_vit.export.folding import Folded, folded_weights
from keras_vit.export.forward import forward
from keras_vit.export.merging import check_merge
from keras_vit.export.metadata import Metadata
from keras_vit.files import replacing

if TYPE_CHECKING:
    import keras


def to_onnx(
    model: "keras.Model | Folded",
    path: str | os.PathLike,
    metadata: Metadata | None = None,
    quantize: str = "none",
    input_dtype: str = "float32",
    attention: bool = False,
) -> Path:
    """Writes an ONNX file of standard operators with a dynamic batch.

    The input is `pixels`, `(batch, height, width, channels)`, 0 to 255; the outputs are `logits`
    and, on request, `attention` (see `keras_vit.export.forward`).

    Args:
        model: a model built by `keras_vit.vit`, float32, or what `fold` made of it; with token
            merging `fold(model).merging(share)`.
        path: the `.onnx` file to write.
        metadata: labels and input size, kept in the file's `metadata_props`.
        quantize: "none", or "dynamic_int8" for ONNX Runtime's dynamic quantisation of the matrices,
            one scale for each output channel. The scales of activations span the batch, so that
            logits depend a little on the other images in it.
        input_dtype: "float32" or "uint8".
        attention: whether the attention of the last block is a second output.

    Raises:
        UserError: when the extra `onnx` is not installed, or for a model of 2 GB or more.
    """
    onnx = _library("onnx")
    if Path(path).suffix != ".onnx":
        raise UserError(f"{path}: expected a name that ends in .onnx.")
    folded = folded_weights(model)
    check_merge(folded.merge, quantize, attention)
    if folded.nbytes >= 2**31:
        raise UserError(f"{path}: expected weights below 2 GB, the limit of one ONNX file.")
    proto = _graph(folded, input_dtype, attention)
    if metadata is not None:
        onnx.helper.set_model_props(proto, metadata.files())
    onnx.checker.check_model(proto, full_check=True)
    with replacing(path) as temporary:
        if quantize == "dynamic_int8":
            _quantize(proto, temporary)
        else:
            onnx.save(proto, temporary)
    return Path(path)


def _graph(folded: Folded, input_dtype: str, attention: bool):
    from onnx import TensorProto, helper

    from keras_vit.export.onnx_ops import OPSET, OnnxOps

    config, ops = folded.config, OnnxOps(folded.weights)
    wanted = ("logits", "attention") if attention else ("logits",)
    pixels = ops.cast_to_float("pixels") if input_dtype == "uint8" else "pixels"
    for output, value in forward(ops, config, pixels, wanted, folded.merge).items():
        ops.name_output(value, output)
    classes = config.num_classes or config.representation_size or config.width
    shapes = {
        "logits": ["batch", classes],
        "attention": ["batch", config.num_heads, config.num_tokens, config.num_tokens],
    }
    element = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}[input_dtype]
    entry = ["batch", *config.image_size, config.channels]
    graph = helper.make_graph(
        ops.nodes,
        folded.name,
        [helper.make_tensor_value_info("pixels", element, entry)],
        [helper.make_tensor_value_info(w, TensorProto.FLOAT, shapes[w]) for w in wanted],
        list(ops.initializers.values()),
    )
    opsets = [helper.make_opsetid("", OPSET)]
    # The oldest version of the format with this opset: it opens in the most runtimes.
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="keras_vit")


def _quantize(proto, path: Path) -> None:
    _library("onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)  # it asks for a preparation that this graph does not need
    try:
        # Unsigned: on a CPU without VNNI, sums of signed weights times unsigned activations
        # saturate at 16 bits, and 36 dB of signal to noise become 15.
        quantize_dynamic(proto, path, weight_type=QuantType.QUInt8, per_channel=True)
    finally:
        logging.disable(logging.NOTSET)


def _library(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise not_installed("ONNX files", name, "onnx") from error
