# SPDX-License-Identifier: MIT
"""What a benchmark times: found, and refused where it cannot be, without importing Keras."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_vit.config import ViTConfig
from keras_vit.deploy.latency import check_numbers
from keras_vit.errors import UserError, not_installed, unknown
from keras_vit.export.merging import check_merge
from keras_vit.export.quantization import MODES, MODES_OF
from keras_vit.export.runner import RUNTIMES, format_of
from keras_vit.model_file import ModelFile

# Of each runtime the modules that run a file, then those that write one; what extra brings them.
_MODULES = {
    "keras": (("tensorflow",), ""),
    "saved_model": (("tensorflow",), ""),
    "litert": (("ai_edge_litert",), ""),
    "onnx": (("onnxruntime", "onnx"), "onnx"),
    "openvino": (("openvino", "onnx"), "openvino"),
}


@dataclasses.dataclass(frozen=True)
class Form:
    """What a model is timed as.

    Attributes:
        runtime: what runs it.
        mode: how it is quantised.
        merge: how many patches its blocks compute less by merging, as a share.
    """

    runtime: str
    mode: str = "none"
    merge: float = 0.0

    @property
    def name(self) -> str:
        """As the results call it."""
        mode = f" {self.mode}" if self.mode != "none" else ""
        return f"{self.runtime}{mode}" + (f" merge {self.merge:g}" if self.merge else "")


@dataclasses.dataclass(frozen=True)
class BenchmarkPlan:
    """What is timed, and how; made by `plan_benchmark`.

    Attributes:
        files: exported files, each with what runs it, by the name that the results give them.
        models: what is exported first, by the name that the results give it: a `.keras` file, with
            its run, or the configuration of a model with random weights.
        runtimes: what models are exported to.
        modes: how models are quantised, in the runtimes that have the mode.
        merges: shares of the patches that models merge, 0 for none, in exported files.
        threads, batches, seconds, unsafe: see `keras_vit.deploy.time_files`.
    """

    files: dict[str, ModelFile]
    models: dict[str, ModelFile | ViTConfig]
    runtimes: tuple[str, ...]
    modes: tuple[str, ...]
    merges: tuple[float, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    seconds: float
    unsafe: bool = False

    @property
    def needs_keras(self) -> bool:
        """Whether something has to be exported first."""
        return bool(self.models)

    @property
    def files_of_a_model(self) -> list[Form]:
        """Every file that a model is timed as; in Keras, which trains it, it merges nothing."""
        return [
            Form(runtime, mode, merge)
            for runtime in self.runtimes
            for mode in _modes_of(runtime, self.modes)
            for merge in (self.merges if runtime != "keras" else (0.0,))
        ]


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def plan_benchmark(
    subjects: Sequence[str],
    runtimes: Sequence[str] | None = None,
    modes: Sequence[str] | None = None,
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    image_size: int | None = None,
    seconds: float = 5.0,
    unsafe: bool = False,
    is_installed: Callable[[str], bool] = _is_installed,
    merges: Sequence[float] | None = None,
) -> BenchmarkPlan:
    """Finds what is to be timed.

    Args:
        subjects: run folders, model files (`.keras`, `.tflite`, `.onnx`, SavedModel folders), or
            names of models as `keras-vit list models` shows them.
        runtimes: of `keras_vit.export.runner.RUNTIMES`; None for all that are installed.
        modes: of `keras_vit.export.quantization.MODES`, for models; None for float32.
        threads, batches, seconds, unsafe: see `keras_vit.deploy.time_files`.
        image_size: height and width in pixels of models that are named; None for 224.
        is_installed: whether a module can be imported; a test hands in another.
        merges: shares of the patches that models merge (`keras_vit.export.merging`), each timed
            next to the file that merges none.

    Raises:
        UserError: for a subject that does not exist or that does not go with the rest, a runtime
            whose package is missing, more threads than cores.
    """
    _check_words("runtime", runtimes, list(RUNTIMES))
    _check_words("quantize", modes, list(MODES))
    check_numbers(threads, batches)
    for merge in merges or ():
        for mode in modes or ("none",):
            check_merge(merge, mode)
    found = {subject: _find(subject, image_size) for subject in subjects}
    models = {subject: source for subject, source in found.items() if _is_model(source)}
    files: dict[str, ModelFile] = {}
    for name, source in found.items():
        if name not in models and isinstance(source, ModelFile):
            files |= _in_runtimes(name, source, runtimes, is_installed)
    for what, wanted in (("quantize", modes), ("merge", merges)):
        if not models and wanted is not None:
            raise UserError(f"{what}: files are timed as they are. Name a run or a model with it.")
    plan = BenchmarkPlan(
        files,
        models,
        tuple(runtimes or (r for r in RUNTIMES if all(map(is_installed, _MODULES[r][0])))),
        tuple(dict.fromkeys(modes or ("none",))),
        tuple(dict.fromkeys((0.0, *(merges or ())))),
        tuple(dict.fromkeys(threads)),
        tuple(dict.fromkeys(batches)),
        seconds,
        unsafe,
    )
    if models:
        _check_runtimes(plan, is_installed)
    return plan


def _check_words(what: str, words: Sequence[str] | None, known: Sequence[str]) -> None:
    for word in words or ():
        if word not in known:
            raise unknown(what, word, known)


def _find(subject: str, image_size: int | None) -> ModelFile | ViTConfig:
    """The model file of a run or alone, or the configuration that a name stands for."""
    path = Path(subject)
    if path.exists() or format_of(path) is not None:
        found = ModelFile.find(path)
        if image_size is not None:
            raise UserError(f"image_size: {subject} has its own. It goes with a model's name.")
        return found
    try:
        return ViTConfig.of(subject, **({} if image_size is None else {"image_size": image_size}))
    except UserError as error:
        if not str(error).startswith("unknown model"):
            raise
        raise UserError(f"{subject}: no such file or folder, and {error}") from error


def _is_model(found: ModelFile | ViTConfig) -> bool:
    return isinstance(found, ViTConfig) or found.needs_keras


def _in_runtimes(
    name: str,
    file: ModelFile,
    runtimes: Sequence[str] | None,
    is_installed: Callable[[str], bool],
) -> dict[str, ModelFile]:
    """A file in each runtime that is wanted and runs it, by the names of the results."""
    able = [runtime for runtime, format in RUNTIMES.items() if format == file.format]
    if runtimes is None:
        others = [r for r in able if r != file.format and is_installed(_MODULES[r][0][0])]
        wanted = [file.format, *others]
    else:
        wanted = [runtime for runtime in able if runtime in runtimes]
    if not wanted:
        raise UserError(
            f"{name}: runs in {' and '.join(able)}, and --runtime names "
            f"{', '.join(runtimes or ())}. Leave it out, or name the run: it is exported to each "
            "runtime."
        )
    for runtime in wanted:
        _check_installed(runtime, _MODULES[runtime][0][:1], is_installed)
    return {
        name if len(wanted) == 1 else f"{name} {runtime}": dataclasses.replace(
            file, runtime=runtime
        )
        for runtime in wanted
    }


def _check_runtimes(plan: BenchmarkPlan, is_installed: Callable[[str], bool]) -> None:
    """Raises a `UserError` where models cannot be exported to what was asked for."""
    for runtime in plan.runtimes:
        _check_installed(runtime, _MODULES[runtime][0], is_installed)
    if not plan.files_of_a_model:
        runtimes, modes = ", ".join(plan.runtimes), " or ".join(plan.modes)
        raise UserError(f"quantize: none of {runtimes} has {modes}.")


def _check_installed(
    runtime: str, modules: Sequence[str], is_installed: Callable[[str], bool]
) -> None:
    for module in modules:
        if not is_installed(module):
            raise not_installed(runtime, module, _MODULES[runtime][1])


def _modes_of(runtime: str, modes: Sequence[str]) -> list[str]:
    return [mode for mode in modes if mode in MODES_OF.get(runtime, ("none",))]
