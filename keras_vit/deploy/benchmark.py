# SPDX-License-Identifier: MIT
"""How fast models run: exported files as they are, models in every runtime that is installed.

Files are timed without Keras or TensorFlow; only a model that has to be exported first brings them.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.deploy.benchmark_plan import BenchmarkPlan, Form
from keras_vit.deploy.checked_export import CheckedExport, ExportOptions
from keras_vit.deploy.latency import Latency, time_files
from keras_vit.errors import UserError
from keras_vit.export.metadata import Metadata
from keras_vit.export.runner import RUNTIMES
from keras_vit.export.worker import Worker
from keras_vit.model_file import ModelFile
from keras_vit.run_folder import EXPORT_NAMES

if TYPE_CHECKING:
    from keras_vit.export.folding import Folded

_CALIBRATION_IMAGES = 8  # the ranges that they give matter to logits, not to speed


@dataclasses.dataclass(frozen=True)
class _Timed:
    """A file with what `time_files` needs to know about it."""

    path: Path
    image_shape: tuple[int, ...]
    flops: int | None
    runtime: str | None = None


def run_benchmark(
    plan: BenchmarkPlan, time: Callable[..., list[Latency]] = time_files
) -> list[Latency]:
    """Exports what is not exported yet into a temporary folder, and times everything in turns.

    Where a batch is above 1, the LiteRT files that are made take any number of images.

    Args:
        plan: what is timed.
        time: what times the files; a test hands in another.

    Returns:
        See `keras_vit.deploy.time_files`. A model's files are named by their form, with the model
        in front where there is more than one subject.

    Raises:
        UserError: for a file that cannot be run or that takes other batches, or subjects that take
            images of different sizes.
    """
    timed = {name: _timed_file(file, plan.batches) for name, file in plan.files.items()}
    alone = len(plan.files) + len(plan.models) == 1
    with tempfile.TemporaryDirectory() as scratch:
        for i, (name, source) in enumerate(plan.models.items()):
            folder, prefix = Path(scratch, str(i)), "" if alone else f"{name} "
            folder.mkdir()
            for kind, file in _exported(source, plan, folder).items():
                timed[prefix + kind] = file
        shapes = {name: file.image_shape for name, file in timed.items()}
        if len(set(shapes.values())) > 1:
            said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise UserError(f"expected subjects that take the same images, received {said}.")
        return time(
            {name: file.path for name, file in timed.items()},
            next(iter(shapes.values())),
            plan.threads,
            plan.batches,
            plan.seconds,
            {name: file.flops for name, file in timed.items() if file.flops is not None},
            unsafe=plan.unsafe,
            runtimes={name: file.runtime for name, file in timed.items() if file.runtime},
        )


def _timed_file(file: ModelFile, batches: Sequence[int]) -> _Timed:
    path = file.path
    if file.format == "saved_model":
        metadata = Metadata.read(path)
        if metadata is None:
            raise UserError(
                f"{path}: nothing says its input size. Expected a folder that `keras-vit export` "
                "made."
            )
        shape: tuple[int | None, ...] = (None, *metadata.image_size, metadata.channels)
    else:
        with Worker(path, runtime=file.runtime) as model:
            shape, metadata = model.input_shape, Metadata.read(path, model.metadata)
    if shape[0] is not None and set(batches) != {shape[0]}:
        raise UserError(
            f"{path}: expected a batch of {shape[0]}, which the file was made for, received "
            f"{', '.join(map(str, batches))}. `keras-vit export RUN --batch dynamic` makes a file "
            "for any batch."
        )
    flops = None if metadata is None else metadata.flops
    return _Timed(path, shape[1:], flops, file.runtime)


def _exported(
    source: ModelFile | ViTConfig, plan: BenchmarkPlan, scratch: Path
) -> dict[str, _Timed]:
    """A model's files, by the names of their forms; those that are not there yet are written."""
    from keras_vit.export.folding import fold
    from keras_vit.models import config_of, vit

    print("exporting what is to be timed", file=sys.stderr)
    model = vit(source) if isinstance(source, ViTConfig) else source.load()
    config, batch = config_of(model), 1 if max(plan.batches) == 1 else None
    folded = fold(model) if set(plan.runtimes) != {"keras"} else None
    found: dict[str, _Timed] = {}
    written: dict[tuple[str, str, float], Path] = {}  # OpenVINO runs what ONNX Runtime runs
    for form in plan.files_of_a_model:
        format = RUNTIMES[form.runtime]
        key = (format, form.mode, form.merge)
        path = written.get(key) or _existing(source, format, form, batch)
        if path is None and format == "keras":
            path = scratch / "timed.keras"
            model.save(path)
        elif path is None:
            path = _written(scratch, format, form, folded, batch)
        written[key] = path
        shape = (*config.image_size, config.channels)
        found[form.name] = _Timed(path, shape, config.forward_flops(), form.runtime)
    return found


def _existing(
    source: ModelFile | ViTConfig, format: str, form: Form, batch: int | None
) -> Path | None:
    """The file that a run has already, if it is of this form and takes this batch."""
    if isinstance(source, ViTConfig) or form.mode != "none" or form.merge:
        return None
    if format == "keras":
        return source.path
    if source.run is None or source.path != source.run.model_file:
        return None
    path = source.run.exports_folder / EXPORT_NAMES[format]
    if not path.exists() or (format == "litert" and _batch_of(path) != batch):
        return None
    return path


def _written(scratch: Path, format: str, form: Form, folded: "Folded", batch: int | None) -> Path:
    """Writes a file that only has to be as fast as a real one: its classes are numbers, and what is
    calibrated has seen noise."""
    from keras_vit.deploy.exporting import write

    config = folded.config
    shape = (_CALIBRATION_IMAGES, *config.image_size, config.channels)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    labels = tuple(map(str, range(config.num_classes)))
    channels: Any = config.channels  # Metadata checks it
    metadata = Metadata(folded.name, labels, config.image_size, channels)
    path = scratch / form.mode / f"merge-{form.merge:g}" / EXPORT_NAMES[format]
    planned = CheckedExport(format, form.mode, path, form.merge)
    options = ExportOptions(quantize=form.mode, batch=batch)
    return write(planned, folded, metadata, options, noise).path


def _batch_of(path: Path) -> int | None:
    with Worker(path) as model:
        return model.input_shape[0]
