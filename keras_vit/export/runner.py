# SPDX-License-Identifier: MIT
"""Runs a model file of any format as `f(images) -> logits`.

LiteRT and ONNX files run without TensorFlow. Each format has a runtime of its own name; ONNX files
run in OpenVINO too.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keras_vit.errors import UserError, not_installed, unknown
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import check_regular

Runner = Callable[[np.ndarray], np.ndarray]
TENSORFLOW_FREE = ("litert", "onnx")
# Of each runtime, the format of the files that it runs.
RUNTIMES = {name: name for name in ("keras", "saved_model", "litert", "onnx")} | {
    "openvino": "onnx"
}
_REASON = 300  # characters of what a library says


@dataclasses.dataclass(frozen=True)
class OpenModel:
    """A model file that runs in this process.

    Attributes:
        path: the file or folder.
        compute: from pixels of the right shape to logits, in the words of its runtime.
        input_shape: `(batch, height, width, channels)`, with None where any number goes.
        metadata: the text of its `metadata.json` where the runtime alone can read it, or None.
    """

    path: Path
    compute: Runner
    input_shape: tuple[int | None, ...]
    metadata: str | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Logits, float32 `(n, classes)`, of pixels of any real dtype `(n, height, width,
        channels)`, 0 to 255; a file that takes integers gets the nearest ones.

        Raises:
            UserError: for images of another shape, and when the file cannot be run.
        """
        images, wanted = np.asarray(images), self.input_shape[1:]
        sizes = zip(wanted, images.shape[1:], strict=False)
        if images.ndim != 4 or any(size not in (None, given) for size, given in sizes):
            raise UserError(
                f"{self.path}: expected images of shape {wanted}, received {images.shape[1:]}."
            )
        with _named(self.path, "run"):
            logits = np.asarray(self.compute(images), "float32")
        if logits.ndim != 2 or len(logits) != len(images):
            raise UserError(
                f"{self.path}: expected logits of shape ({len(images)}, classes), received "
                f"{logits.shape}."
            )
        return logits


def open_runner(
    path: str | os.PathLike, threads: int = 1, unsafe: bool = False, runtime: str | None = None
) -> OpenModel:
    """Opens a model file in this process, which it can end: a damaged one may crash its runtime.

    For files that this program has just written, and for the process of `keras_vit.export.Worker`,
    which runs all others.

    Args:
        path: a `.tflite` or `.onnx` file, a SavedModel folder or a `.keras` file.
        threads: of LiteRT, ONNX Runtime or OpenVINO; TensorFlow chooses its own.
        unsafe: whether a SavedModel may contain any operator, see
            `keras_vit.export.saved_model_check`.
        runtime: of `RUNTIMES`, see `runtime_of`.

    Returns:
        From pixels to logits.

    Raises:
        UserError: for a path that is none of these or cannot be read, and for a runtime that does
            not run it.
    """
    path = Path(path)
    format = check_path(path)
    open_in = _OPENERS[runtime_of(path, runtime)]
    with _named(path, f"opened as {_WORDS[format]}"):
        opened = open_in(path, threads, unsafe)
        shape = opened.input_shape
        if len(shape) != 4 or not all(size is None or size > 0 for size in shape):
            raise UserError(
                f"{path}: expected a model of images (batch, height, width, channels), received "
                f"one of shape {shape}."
            )
    return opened


def check_path(path: Path) -> str:
    """The format of a model file; a `UserError` for a path that is none."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    format = format_of(path)
    if format is None:
        raise UserError(f"{path}: expected {' or '.join(_WORDS.values())}.")
    if not path.is_dir():
        check_regular(path, limits.MODEL)  # a runtime would wait for a pipe
    return format


@contextlib.contextmanager
def _named(path: Path, done: str) -> Iterator[None]:
    """Turns whatever a runtime raises into one line that names the file."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path}: cannot be {done}: it needs more memory than there is.") from error
    except Exception as error:  # each runtime has classes of its own
        reason = next(iter(str(error).splitlines()), "")[:_REASON] or type(error).__name__
        raise UserError(f"{path}: cannot be {done} ({reason}).") from error


def format_of(path: str | os.PathLike) -> str | None:
    """ "litert", "onnx", "saved_model", "keras", or None for anything else."""
    path = Path(path)
    if path.is_dir():
        return "saved_model" if (path / "saved_model.pb").exists() else None
    return {".tflite": "litert", ".onnx": "onnx", ".keras": "keras"}.get(path.suffix)


def runtime_of(path: str | os.PathLike, runtime: str | None) -> str | None:
    """What runs a file: the runtime that was named, or the one of its format.

    Args:
        path: a file or folder.
        runtime: of `RUNTIMES`, or None.

    Returns:
        A runtime; None for a path of no format.

    Raises:
        UserError: for a runtime that does not exist, or that runs files of another format.
    """
    format = format_of(path)
    if runtime is None:
        return format
    if runtime not in RUNTIMES:
        raise unknown("runtime", runtime, RUNTIMES)
    if RUNTIMES[runtime] != format:
        raise UserError(
            f"{path}: {runtime} runs {_WORDS[RUNTIMES[runtime]].partition(' ')[2]}s. Leave the "
            "runtime out, or name the run: it has a file for each runtime."
        )
    return runtime


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


def _open_litert(path: Path, threads: int, unsafe: bool) -> OpenModel:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    # Attention may be an output too, of rank four.
    results = [o for o in interpreter.get_output_details() if len(o["shape"]) == 2]
    if not results:
        raise UserError(f"{path}: expected an output of shape (batch, classes); it has none.")
    result, shape = results[0], _sizes(entry["shape_signature"])
    dynamic, step = None in shape, shape[0] or 0

    def run_batch(images):
        if dynamic and tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(entry["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(entry["index"], quantized(images, entry))
        interpreter.invoke()
        return dequantized(interpreter.get_tensor(result["index"]), result)

    def run(images):
        if shape[0] is None:
            return run_batch(images)
        if len(images) % step:
            raise UserError(f"{path}: takes {step} images at a time, received {len(images)}.")
        return np.concatenate(
            [run_batch(images[i : i + step]) for i in range(0, len(images), step)]
        )

    return OpenModel(path, run, shape)


def _open_onnx(path: Path, threads: int, unsafe: bool) -> OpenModel:
    session = onnx_session(path, threads)
    entry = session.get_inputs()[0]
    if entry.type not in _ONNX_TYPES:
        raise UserError(f"{path}: expected an input of float or uint8, received {entry.type}.")
    details = {"dtype": np.dtype(_ONNX_TYPES[entry.type]), "quantization": (0.0, 0)}

    def run(images):
        return session.run(["logits"], {entry.name: quantized(images, details)})[0]

    text = session.get_modelmeta().custom_metadata_map.get("metadata.json")
    return OpenModel(path, run, _sizes(entry.shape), text)


def _open_openvino(path: Path, threads: int, unsafe: bool) -> OpenModel:
    try:
        import openvino
    except ImportError as error:
        raise not_installed(str(path), "openvino", "openvino") from error
    model = openvino.Core().read_model(path)
    (entry,) = model.inputs
    dtype = np.dtype(entry.get_element_type().to_dtype())
    hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    # As accurate as the file: on some CPUs it would choose bfloat16 by itself. Cores that this
    # process is confined to are found by the system, not by OpenVINO.
    hints |= {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    request = openvino.compile_model(model, "CPU", hints).create_infer_request()

    def run(images):
        pixels = quantized(images, {"dtype": dtype, "quantization": (0.0, 0)})
        return request.infer([pixels], share_inputs=True)["logits"].copy()

    key = ["framework", "metadata.json"]
    text = model.get_rt_info(key).astype(str) if model.has_rt_info(key) else None
    shape = [size.get_length() if size.is_static else None for size in entry.get_partial_shape()]
    return OpenModel(path, run, _sizes(shape), text)


def _sizes(shape) -> tuple[int | None, ...]:
    """A shape with None where a runtime has -1 or a name."""
    return tuple(int(n) if not isinstance(n, str | None) and n >= 0 else None for n in shape)


def onnx_session(path: Path, threads: int = 1):
    """An ONNX Runtime session on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed(str(path), "onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _open_saved_model(path: Path, threads: int, unsafe: bool) -> OpenModel:
    from keras_vit.export.saved_model_check import check_saved_model

    if not unsafe:
        check_saved_model(path)
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
        outputs = serve(**{name: tf.constant(images, dtype=spec.dtype)})
        return next(iter(outputs.values())).numpy()

    return OpenModel(path, run, tuple(spec.shape))


def _open_keras(path: Path, threads: int, unsafe: bool) -> OpenModel:
    from keras_vit.models.keras_file import load_keras

    model = load_keras(path)
    return OpenModel(path, keras_runner(model), tuple(model.input.shape))


_WORDS = {
    "litert": "a .tflite file",
    "onnx": "an .onnx file",
    "saved_model": "a SavedModel folder (with saved_model.pb)",
    "keras": "a .keras file",
}
_ONNX_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
_OPENERS = {
    "litert": _open_litert,
    "onnx": _open_onnx,
    "openvino": _open_openvino,
    "saved_model": _open_saved_model,
    "keras": _open_keras,
}
