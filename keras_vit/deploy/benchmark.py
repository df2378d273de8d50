# SPDX-License-Identifier: MIT
"""How fast models run: exported files as they are, models in every runtime that is installed.

Files are timed without Keras or TensorFlow; only a model that has to be exported first brings them.
"""

import dataclasses
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.deploy.latency import Latency, check_numbers, measure
from keras_vit.errors import UserError, not_installed, unknown
from keras_vit.export.metadata import Metadata
from keras_vit.export.quantization import MODES, MODES_OF
from keras_vit.export.runner import format_of
from keras_vit.export.worker import Worker
from keras_vit.run_folder import EXPORT_NAMES, ModelFile, RunFolder

# Modules that run a file, then those that write one; the extra that brings them.
_MODULES = {
    "keras": (("tensorflow",), ""),
    "saved_model": (("tensorflow",), ""),
    "litert": (("ai_edge_litert",), ""),
    "onnx": (("onnxruntime", "onnx"), "onnx"),
}
RUNTIMES = tuple(_MODULES)
_CALIBRATION_IMAGES = 8  # the ranges that they give matter to logits, not to speed


@dataclasses.dataclass(frozen=True)
class BenchmarkPlan:
    """What is timed, and how; made by `make_plan`.

    Attributes:
        files: exported files, by the name that the results give them.
        models: what is exported first, by the name that the results give it: a run folder, a
            `.keras` file, or the configuration of a model with random weights.
        runtimes: what models are exported to.
        modes: how models are quantised, in the runtimes that have the mode.
        threads, batches, seconds, unsafe: see `keras_vit.deploy.latency.measure`.
    """

    files: dict[str, Path]
    models: dict[str, Path | ViTConfig]
    runtimes: tuple[str, ...]
    modes: tuple[str, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    seconds: float
    unsafe: bool = False

    @property
    def needs_keras(self) -> bool:
        """Whether something has to be exported first."""
        return bool(self.models)


@dataclasses.dataclass(frozen=True)
class _Timed:
    """A file with what `measure` needs to know about it."""

    path: Path
    image_shape: tuple[int, ...]
    flops: int | None


def make_plan(
    subjects: Sequence[str],
    runtimes: Sequence[str] | None = None,
    modes: Sequence[str] | None = None,
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    image_size: int | None = None,
    seconds: float = 5.0,
    unsafe: bool = False,
) -> BenchmarkPlan:
    """Finds what is to be timed, without importing Keras.

    Args:
        subjects: run folders, model files (`.keras`, `.tflite`, `.onnx`, SavedModel folders), or
            names of models as `keras-vit list models` shows them.
        runtimes: of `RUNTIMES`; None for those of the files, and for models all that are installed.
        modes: of `keras_vit.export.quantization.MODES`, for models; None for float32.
        threads, batches, seconds, unsafe: see `keras_vit.deploy.latency.measure`.
        image_size: height and width in pixels of models that are named; None for 224.

    Raises:
        UserError: for a subject that does not exist or that does not go with the rest, a runtime
            whose package is missing, more threads than cores.
    """
    for runtime in runtimes or ():
        if runtime not in RUNTIMES:
            raise unknown("runtime", runtime, RUNTIMES)
    for mode in modes or ():
        if mode not in MODES:
            raise unknown("quantize", mode, MODES)
    check_numbers(threads, batches)
    files, models = {}, {}
    for subject in subjects:
        found = _find(subject, image_size)
        (models if _is_model(found) else files)[subject] = found
    for name, path in files.items():
        _check_file(name, path, runtimes)
    if not models and modes is not None:
        raise UserError("quantize: files are timed as they are. Name a run or a model with it.")
    modes = tuple(modes or ("none",))
    chosen = tuple(runtimes or filter(_installed, RUNTIMES))
    if models:
        for runtime in chosen:
            _check_installed(runtime, _MODULES[runtime][0])
        if not any(_modes_of(runtime, modes) for runtime in chosen):
            raise UserError(f"quantize: none of {', '.join(chosen)} has {' or '.join(modes)}.")
    return BenchmarkPlan(
        files,
        models,
        chosen,
        tuple(dict.fromkeys(modes)),
        tuple(dict.fromkeys(threads)),
        tuple(dict.fromkeys(batches)),
        seconds,
        unsafe,
    )


def benchmark(plan: BenchmarkPlan) -> list[Latency]:
    """Exports what is not exported yet into a temporary folder, and times everything in turns.

    Where a batch is above 1, the LiteRT files that are made take any number of images.

    Args:
        plan: what is timed.

    Returns:
        See `keras_vit.deploy.latency.measure`. A model's files are named by runtime and mode, with
        the model in front where there is more than one subject.

    Raises:
        UserError: for a file that cannot be run or that takes other batches, or subjects that take
            images of different sizes.
    """
    timed = {name: _timed_file(path, plan.batches) for name, path in plan.files.items()}
    alone = len(plan.files) + len(plan.models) == 1
    with tempfile.TemporaryDirectory() as scratch:
        for i, (name, source) in enumerate(plan.models.items()):
            prefix = "" if alone else f"{name} "
            for kind, file in _exported(source, plan, Path(scratch) / str(i)).items():
                timed[prefix + kind] = file
        shapes = {name: file.image_shape for name, file in timed.items()}
        if len(set(shapes.values())) > 1:
            said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise UserError(f"expected subjects that take the same images, received {said}.")
        return measure(
            {name: file.path for name, file in timed.items()},
            next(iter(shapes.values())),
            plan.threads,
            plan.batches,
            plan.seconds,
            {name: file.flops for name, file in timed.items() if file.flops is not None},
            unsafe=plan.unsafe,
        )


def _find(subject: str, image_size: int | None) -> Path | ViTConfig:
    """A run folder, a model file, or the configuration that a name stands for."""
    path = Path(subject)
    if path.exists() or format_of(path) is not None:
        ModelFile.find(path)  # raises what speaks against it
        if image_size is not None:
            raise UserError(f"image_size: {subject} has its own. It goes with a model's name.")
        return path
    try:
        return ViTConfig.of(subject, **({} if image_size is None else {"image_size": image_size}))
    except UserError as error:
        if not str(error).startswith("unknown model"):
            raise
        raise UserError(f"{subject}: no such file or folder, and {error}") from error


def _is_model(found: Path | ViTConfig) -> bool:
    return isinstance(found, ViTConfig) or ModelFile.find(found).needs_keras


def _check_file(name: str, path: Path, runtimes: Sequence[str] | None) -> None:
    format = format_of(path)
    if runtimes is not None and format not in runtimes:
        raise UserError(
            f"{name}: runs in {format}, and --runtime names {', '.join(runtimes)}. Leave it out, "
            "or name the run: it is exported to each runtime."
        )
    _check_installed(format, _MODULES[format][0][:1])


def _installed(runtime: str) -> bool:
    return all(map(importlib.util.find_spec, _MODULES[runtime][0]))


def _check_installed(runtime: str, modules: Sequence[str]) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise not_installed(runtime, module, _MODULES[runtime][1])


def _modes_of(runtime: str, modes: Sequence[str]) -> list[str]:
    return [mode for mode in modes if mode in MODES_OF.get(runtime, ("none",))]


def _timed_file(path: Path, batches: Sequence[int]) -> _Timed:
    if format_of(path) == "saved_model":
        metadata = Metadata.read(path)
        if metadata is None:
            raise UserError(
                f"{path}: nothing says its input size. Expected a folder that `keras-vit export` "
                "made."
            )
        shape = (None, *metadata.image_size, metadata.channels)
    else:
        with Worker(path) as model:
            shape, metadata = model.input_shape, Metadata.read(path, model.metadata)
    if shape[0] is not None and set(batches) != {shape[0]}:
        raise UserError(
            f"{path}: expected a batch of {shape[0]}, which the file was made for, received "
            f"{', '.join(map(str, batches))}. `keras-vit export RUN --batch dynamic` makes a file "
            "for any batch."
        )
    return _Timed(path, shape[1:], metadata and metadata.flops)


def _exported(source: Path | ViTConfig, plan: BenchmarkPlan, scratch: Path) -> dict[str, _Timed]:
    """A model's files, by runtime and mode; those that are not there yet are written."""
    from keras_vit.deploy.candidates import FORMATS, Candidate, ExportOptions, write
    from keras_vit.models import config_of, vit

    print("exporting what is to be timed", file=sys.stderr)
    model = vit(source) if isinstance(source, ViTConfig) else ModelFile.find(source).load()
    config = config_of(model)
    shape = (*config.image_size, config.channels)
    labels = tuple(map(str, range(config.num_classes)))
    metadata = Metadata(model.name, labels, config.image_size, config.channels)
    pixels = np.random.default_rng(0).integers(0, 256, (_CALIBRATION_IMAGES, *shape))
    batch = 1 if max(plan.batches) == 1 else None
    found = {}
    for runtime in plan.runtimes:
        for mode in _modes_of(runtime, plan.modes):
            path = _existing(source, runtime, mode, batch)
            if path is None and runtime == "keras":
                path = scratch / "model.keras"
                scratch.mkdir(exist_ok=True)
                model.save(path)
            elif path is None:
                path = scratch / mode / FORMATS[runtime]
                candidate = Candidate(runtime, mode, path)
                options = ExportOptions(quantize=mode, batch=batch)
                write(candidate, model, metadata, options, pixels.astype("float32"))
            name = runtime if mode == "none" else f"{runtime} {mode}"
            found[name] = _Timed(path, shape, config.forward_flops())
    return found


def _existing(source: Path | ViTConfig, runtime: str, mode: str, batch: int | None) -> Path | None:
    """The file that a run has already, if it is of this mode and takes this batch."""
    if isinstance(source, ViTConfig) or mode != "none":
        return None
    if runtime == "keras":
        return ModelFile.find(source).path
    path = RunFolder(source).exports_folder / EXPORT_NAMES[runtime]
    if not path.exists() or (runtime == "litert" and _batch_of(path) != batch):
        return None
    return path


def _batch_of(path: Path) -> int | None:
    with Worker(path) as model:
        return model.input_shape[0]
