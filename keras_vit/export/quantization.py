# SPDX-License-Identifier: MIT
"""Quantisation: the modes, and what each layer loses."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Mode:
    """How a file is quantised.

    Attributes:
        share: bytes of a matrix in the file, as a share of float32.
        calibrated: whether it needs real images.
    """

    share: float
    calibrated: bool = False


MODES: dict[str, Mode] = {
    "none": Mode(1.0),
    "float16": Mode(0.5),  # half the size; computed in float32 on a CPU
    "dynamic_int8": Mode(0.25),  # matrices in int8, activations quantised row by row as they come
    "static_int8": Mode(0.25, calibrated=True),  # products in int8, the rest in float32
    "int8_io": Mode(0.25, calibrated=True),  # all in int8, input and output too: for NPUs
}
MODES_OF = {"saved_model": ("none",), "litert": tuple(MODES), "onnx": ("none", "dynamic_int8")}
AUTO = ("dynamic_int8", "static_int8", "float16", "none")  # smallest first; all keep float outputs


def signal_to_noise(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Ratio of the power of a signal to that of its error, in dB; infinite without error."""
    reference = np.asarray(reference, "float64")
    noise = np.square(candidate - reference).sum()
    return float(10 * np.log10(np.square(reference).sum() / noise)) if noise else float("inf")


def layer_signal_to_noise(
    reference: str | os.PathLike,
    candidate: str | os.PathLike,
    layers: Sequence[str],
    images: np.ndarray,
) -> dict[str, float]:
    """What each dense layer's output has lost, errors of the layers before it included.

    Both files run on LiteRT's own kernels, without XNNPACK, which keeps no values in between.

    Args:
        reference: a float32 LiteRT file.
        candidate: a quantised file of the same graph.
        layers: names of the dense layers in the order of the graph.
        images: `(n, height, width, channels)`, 0 to 255.

    Returns:
        Signal to noise in dB, by layer. Empty when the files do not have these layers.
    """
    outputs = [_dense_outputs(file, images) for file in (reference, candidate)]
    if any(len(found) != len(layers) for found in outputs):
        return {}
    return {
        name: signal_to_noise(first, second)
        for name, first, second in zip(layers, *outputs, strict=True)
    }


def _dense_outputs(file: str | os.PathLike, images: np.ndarray) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from keras_vit.export.runner import dequantized, quantized

    interpreter = Interpreter(
        model_content=Path(file).read_bytes(),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    steps = [o for o in interpreter._get_ops_details() if o["op_name"] == "FULLY_CONNECTED"]
    entry = interpreter.get_input_details()[0]
    found: list[list] = [[] for _ in steps]
    for image in images:
        interpreter.set_tensor(entry["index"], quantized(image[None], entry))
        interpreter.invoke()
        for values, step in zip(found, steps, strict=True):
            tensor = tensors[int(step["outputs"][0])]
            values.append(dequantized(interpreter.get_tensor(tensor["index"]), tensor))
    return [np.concatenate(values) for values in found]
