# SPDX-License-Identifier: MIT
"""How to load what a run left, in the words of each runtime."""

from typing import NamedTuple

from keras_vit.run_folder import EXPORT_NAMES, RunFolder


class Snippet(NamedTuple):
    """A piece of Python that runs in the folder of the run.

    Attributes:
        runtime: what it is for.
        needs: what has to be installed.
        code: lines of Python; `images` is float32 `(n, height, width, channels)`, 0 to 255, and
            `logits` is what it ends with, of an encoder `features`.
    """

    runtime: str
    needs: str
    code: str


_KERAS = """from keras.saving import load_model
import keras_vit  # its layers

model = load_model("{file}")
{gives} = model.predict(images)"""

_SAVED_MODEL = """import tensorflow as tf

model = tf.saved_model.load("{file}")
(logits,) = model.signatures["serving_default"](tf.constant(images)).values()"""

_LITERT = """import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("{file}")
interpreter.allocate_tensors()
pixels = interpreter.get_input_details()[0]["index"]
answer = next(o["index"] for o in interpreter.get_output_details() if len(o["shape"]) == 2)
logits = []
for image in images:
    interpreter.set_tensor(pixels, image[None])
    interpreter.invoke()
    logits.append(interpreter.get_tensor(answer)[0])
logits = np.stack(logits)"""

_ONNX = """import onnxruntime

session = onnxruntime.InferenceSession("{file}")
(logits,) = session.run(["logits"], {{session.get_inputs()[0].name: images}})"""

_EXPORTS = {
    "saved_model": ("SavedModel", "tensorflow", _SAVED_MODEL),
    "litert": ("LiteRT", "ai-edge-litert", _LITERT),
    "onnx": ("ONNX Runtime", "onnxruntime", _ONNX),
}


def snippets(run: RunFolder) -> tuple[Snippet, ...]:
    """One for each file that is there."""
    found = []
    if run.model_file.exists():
        gives = "features" if run.labels == () else "logits"
        code = _KERAS.format(file=run.model_file.name, gives=gives)
        found.append(Snippet("Keras", "keras-vit-toolkit", code))
    for format, name in EXPORT_NAMES.items():
        if (run.exports_folder / name).exists():
            runtime, needs, code = _EXPORTS[format]
            file = f"{run.exports_folder.name}/{name}"
            found.append(Snippet(runtime, needs, code.format(file=file)))
    return tuple(found)
