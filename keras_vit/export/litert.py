# SPDX-License-Identifier: MIT
"""LiteRT (TensorFlow Lite)."""

import os
import re
from pathlib import Path

import keras
import numpy as np

from keras_vit.errors import UserError, unknown
from keras_vit.export.folding import Folded, folded_weights
from keras_vit.export.forward import forward
from keras_vit.export.lint import check_rules
from keras_vit.export.merging import check_merge
from keras_vit.export.metadata import Metadata
from keras_vit.export.quantization import MODES
from keras_vit.export.static_int8 import static_int8
from keras_vit.export.value_means import without_value_means
from keras_vit.files import replacing

DTYPES = ("float32", "uint8")


def to_tflite(
    model: keras.Model | Folded,
    path: str | os.PathLike,
    metadata: Metadata | None = None,
    quantize: str = "none",
    input_dtype: str = "float32",
    batch: int | None = 1,
    attention: bool = False,
    calibration: np.ndarray | None = None,
) -> Path:
    """Writes a LiteRT file of built-in operators only.

    The input is `pixels`, `(batch, height, width, channels)`, 0 to 255; the outputs are `logits`
    and, on request, `attention` (see `keras_vit.export.forward`).

    Args:
        model: a model built by `keras_vit.vit`, float32, or what `fold` made of it; with token
            merging `fold(model).merging(share)`.
        path: the `.tflite` file to write.
        metadata: labels and input size, kept inside the file (`unzip -l` lists them).
        quantize: a mode of `keras_vit.export.quantization.MODES`.
        input_dtype: "float32" or "uint8"; with "int8_io" anything but "uint8" means int8.
        batch: images in a batch, or None for any number.
        attention: whether the attention of the last block is a second output.
        calibration: real images for "static_int8" and "int8_io", any real dtype
            `(n, height, width, channels)`, 0 to 255; 200 or more.

    Returns:
        The path.

    Raises:
        UserError: where the result would not run everywhere or not mean the same (see
            `keras_vit.export.lint`); for a mode that lacks images or its package.
    """
    if Path(path).suffix != ".tflite":
        raise UserError(f"{path}: expected a name that ends in .tflite.")
    if quantize not in MODES:
        raise unknown("quantize", quantize, MODES)
    if input_dtype not in DTYPES:
        raise unknown("input_dtype", input_dtype, DTYPES)
    if MODES[quantize].calibrated and calibration is None:
        raise UserError(f"quantize={quantize!r} needs real images for calibration.")
    folded = folded_weights(model)
    check_merge(folded.merge, quantize, attention)
    if MODES[quantize].calibrated:
        folded = without_value_means(folded, calibration)
    content = _converted(folded, quantize, input_dtype, batch, attention, calibration, path)
    if quantize == "static_int8":
        content = static_int8(content, calibration.astype(input_dtype))
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        check_rules(temporary, path)
        if metadata is not None:
            metadata.append_to(temporary)
    return Path(path)


def _converted(folded, quantize, input_dtype, batch, attention, calibration, path) -> bytes:
    import tensorflow as tf

    from keras_vit.export.saved_model import exported_module
    from keras_vit.export.tensorflow_ops import TensorFlowOps

    config, module = folded.config, exported_module(folded)
    ops = TensorFlowOps(module.weights)
    wanted = ("logits", "attention") if attention else ("logits",)
    # The converter itself puts integers around a graph that is all int8.
    dtype = tf.float32 if quantize == "int8_io" else tf.as_dtype(input_dtype)
    shape = (batch, *config.image_size, config.channels)

    @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name="pixels")], autograph=False)
    def serve(pixels):
        return forward(ops, config, tf.cast(pixels, tf.float32), wanted, folded.merge)

    # With the module, whose variables the converter can see; from a Keras model it would write a
    # small file without weights that computes NaN.
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [serve.get_concrete_function()], module
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize in ("float16", "dynamic_int8", "int8_io"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8_io":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            [image[None].astype("float32")] for image in calibration
        )
        converter.inference_input_type = tf.uint8 if input_dtype == "uint8" else tf.int8
        converter.inference_output_type = tf.int8
    return convert(converter, path)


def convert(converter, path: str | os.PathLike) -> bytes:
    """Runs a converter; operators that LiteRT lacks become a `UserError`."""
    try:
        return converter.convert()
    except Exception as error:  # the converter's own class is not public
        if "supported_ops" not in str(error) and "neither a custom op" not in str(error):
            raise
        missing = sorted(set(re.findall(r"tf\.\w+", str(error))))
        raise UserError(
            f"{path}: LiteRT has no operator of its own for {', '.join(missing)}."
        ) from error
