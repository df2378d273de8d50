# SPDX-License-Identifier: MIT
"""Runs a model file of any format as `f(images) -> logits`.

LiteRT and ONNX files run without TensorFlow.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from keras_vit.errors import UserError, not_installed

Runner = Callable[[np.ndarray], np.ndarray]
TENSORFLOW_FREE = ("litert", "onnx")


def open_runner(path: str | os.PathLike, threads: int = 1) -> Runner:
    """Opens a model file.

    Args:
        path: a `.tflite` or `.onnx` file, a SavedModel folder or a `.keras` file.
        threads: threads of the LiteRT interpreter or of ONNX Runtime; TensorFlow chooses its own.

    Returns:
        A function from pixels, any real dtype `(n, height, width, channels)`, 0 to 255, to logits,
        float32 `(n, classes)`. A file that takes integers gets the nearest ones.

    Raises:
        UserError: for a path that is none of these or cannot be read.
    """
    return _opened(path, _OPENERS, threads)


def input_shape(path: str | os.PathLike) -> tuple[int | None, ...]:
    """Shape of the images that a `.tflite` or `.onnx` file takes: `(batch, height, width,
    channels)`, with None where any number goes.

    Raises:
        UserError: for a path that is none of these or cannot be read.
    """
    return _opened(path, {"litert": _litert_shape, "onnx": _onnx_shape})


def _opened(path: str | os.PathLike, openers: Mapping[str, Callable], *arguments):
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    if format_of(path) not in openers:
        expected = " or ".join(_WORDS[format] for format in openers)
        raise UserError(f"{path}: expected {expected}.")
    try:
        return openers[format_of(path)](path, *arguments)
    except UserError:
        raise
    except Exception as error:  # each runtime has classes of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: cannot be opened as a {format_of(path)} model ({reason})."
        ) from error


def format_of(path: str | os.PathLike) -> str | None:
    """ "litert", "onnx", "saved_model", "keras", or None for anything else."""
    path = Path(path)
    if path.is_dir():
        return "saved_model" if (path / "saved_model.pb").exists() else None
    return {".tflite": "litert", ".onnx": "onnx", ".keras": "keras"}.get(path.suffix)


def keras_runner(model) -> Runner:
    """A Keras model as a runner."""

    def run(images):
        return np.asarray(model.predict_on_batch(np.asarray(images, "float32")))

    return run


def quantized(images: np.ndarray, entry: dict) -> np.ndarray:
    """Images as a LiteRT input takes them: float32, or the nearest integers of its scale."""
    dtype, (scale, zero_point) = entry["dtype"], entry["quantization"]
    if not np.issubdtype(dtype, np.integer):
        return images.astype(dtype)
    values = images / scale + zero_point if scale else images
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def dequantized(values: np.ndarray, result: dict) -> np.ndarray:
    """What a LiteRT tensor stands for, as float32."""
    scale, zero_point = result["quantization"]
    values = values.astype("float32")
    return (values - zero_point) * np.float32(scale) if scale else values


def _open_litert(path: Path, threads: int) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    # Attention may be an output too, of rank four.
    result = next(o for o in interpreter.get_output_details() if len(o["shape"]) == 2)
    dynamic = entry["shape_signature"][0] == -1

    def run_batch(images):
        if dynamic and interpreter.get_input_details()[0]["shape"][0] != len(images):
            interpreter.resize_tensor_input(entry["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], quantized(images, entry))
        interpreter.invoke()
        return dequantized(interpreter.get_tensor(result["index"]), result)

    def run(images):
        images = np.asarray(images)
        _check_shape(path, images, entry["shape"])
        if dynamic:
            return run_batch(images)
        return np.concatenate([run_batch(image[None]) for image in images])

    return run


def _litert_shape(path: Path) -> tuple[int | None, ...]:
    from ai_edge_litert.interpreter import Interpreter

    (entry, *_) = Interpreter(model_path=str(path)).get_input_details()
    return tuple(None if size == -1 else int(size) for size in entry["shape_signature"])


def _onnx_shape(path: Path) -> tuple[int | None, ...]:
    shape = onnx_session(path).get_inputs()[0].shape
    return tuple(size if isinstance(size, int) else None for size in shape)


def _open_onnx(path: Path, threads: int) -> Runner:
    session = onnx_session(path, threads)
    entry = session.get_inputs()[0]
    dtype = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}[entry.type]
    details = {"dtype": np.dtype(dtype), "quantization": (0.0, 0)}

    def run(images):
        images = np.asarray(images)
        _check_shape(path, images, entry.shape)
        return session.run(["logits"], {entry.name: quantized(images, details)})[0]

    return run


def onnx_session(path: str | os.PathLike, threads: int = 1):
    """An ONNX Runtime session on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed(str(path), "onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _open_saved_model(path: Path, threads: int) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    if "serving_default" not in loaded.signatures:
        raise UserError(
            f"{path}: has no signature serving_default, only {list(loaded.signatures)}."
        )
    serve = loaded.signatures["serving_default"]
    (name, spec), *others = serve.structured_input_signature[1].items()
    if others:
        raise UserError(f"{path}: its serving_default takes several inputs; expected pixels alone.")

    def run(images, keep_alive=loaded):  # the signature does not hold the variables by itself
        images = np.asarray(images)
        _check_shape(path, images, spec.shape)
        outputs = serve(**{name: tf.constant(images, dtype=spec.dtype)})
        return next(iter(outputs.values())).numpy()

    return run


def _open_keras(path: Path, threads: int) -> Runner:
    import keras

    import keras_vit.layers  # noqa: F401 (registers them)

    return keras_runner(keras.saving.load_model(path, compile=False))


def _check_shape(path: Path, images: np.ndarray, expected) -> None:
    wanted = tuple(int(size) for size in expected[1:])
    if images.shape[1:] != wanted:
        raise UserError(f"{path}: expected images of shape {wanted}, received {images.shape[1:]}.")


_WORDS = {
    "litert": "a .tflite file",
    "onnx": "an .onnx file",
    "saved_model": "a SavedModel folder (with saved_model.pb)",
    "keras": "a .keras file",
}
_OPENERS = {
    "litert": _open_litert,
    "onnx": _open_onnx,
    "saved_model": _open_saved_model,
    "keras": _open_keras,
}
