# SPDX-License-Identifier: MIT
"""Exported files: written from a Keras model, and run without it."""

from typing import TYPE_CHECKING

from keras_vit.lazy import attributes

if TYPE_CHECKING:
    from keras_vit.export.folding import Folded as Folded
    from keras_vit.export.folding import fold as fold
    from keras_vit.export.graph import operators as operators
    from keras_vit.export.litert import to_tflite as to_tflite
    from keras_vit.export.metadata import Metadata as Metadata
    from keras_vit.export.onnx import to_onnx as to_onnx
    from keras_vit.export.runner import open_runner as open_runner
    from keras_vit.export.saved_model import to_saved_model as to_saved_model
    from keras_vit.export.worker import Worker as Worker

_HOME = {
    "Folded": "folding",
    "fold": "folding",
    "operators": "graph",
    "to_tflite": "litert",
    "Metadata": "metadata",
    "open_runner": "runner",
    "to_onnx": "onnx",
    "to_saved_model": "saved_model",
    "Worker": "worker",
}
if not TYPE_CHECKING:  # a type checker tells who misspells a name
    __getattr__, __dir__ = attributes(__name__, _HOME)  # a .tflite file runs without TensorFlow
