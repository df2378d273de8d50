# SPDX-License-Identifier: MIT
"""Exports a model: each file is written, run on the same images as the model, and handed over."""

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.pipeline.encoded import read_encoded
from keras_vit.deploy.checked_export import (
    CheckedExport,
    ExportOptions,
    choose,
    plain_of,
    plan_exports,
)
from keras_vit.deploy.checking import Runners, check
from keras_vit.deploy.original import CheckImages, Original, Reference
from keras_vit.errors import UserError
from keras_vit.export import Metadata, to_onnx, to_saved_model, to_tflite
from keras_vit.export.folding import Folded
from keras_vit.export.quantization import MODES, layer_signal_to_noise
from keras_vit.export.runner import TENSORFLOW_FREE
from keras_vit.export.value_means import without_value_means
from keras_vit.files import size_in_bytes
from keras_vit.progress import step
from keras_vit.run_folder import EXPORT_NAMES

_TIMED_SECONDS = 2.0  # of each file, where the fastest is looked for
_LAYER_IMAGES = 8  # that the layers are compared on
_WORST_LAYERS = 5
_AS_TRAINED = ExportOptions()
_REAL = Runners()


def export_model(
    original: Original,
    folder: Path,
    images: CheckImages,
    formats: Sequence[str] = ("saved_model", "litert"),
    options: ExportOptions = _AS_TRAINED,
    runners: Runners = _REAL,
) -> dict:
    """Exports a model, runs every file on the same images as the model, and compares.

    A file gets its name only when nothing speaks against it. `export_answered` also gives back what
    the model made of the images.

    Args:
        original: the model.
        folder: where the files go; none of them may exist.
        images: what the model and its files are run on.
        formats: keys of `EXPORT_NAMES`.
        options: quantisation and the form of the files.
        runners: how the files are run.

    Returns:
        `top1` and `top5` of the model (`map` with several classes to an image), None without
        labels; `per_class`, see `Reference.per_class`; `keras`, its `path`, `bytes` and
        `ms_per_image`; and `exports`, a list with one entry for each format. An export that
        disagrees has `ok` false and `problem`, and its file is named `*.rejected`. Of LiteRT files
        `gpu` says what this machine's GPU made of them, and `float16` what float16 does, which
        phones' GPUs compute in. Paths are names of files. With quantisation or merging also
        `quantization`, one entry for each file that was written, see `CheckedExport.to_card`;
        `kept` says which of them there is now.
    """
    return export_answered(original, folder, images, formats, options, runners)[0]


def export_answered(
    original: Original,
    folder: Path,
    images: CheckImages,
    formats: Sequence[str] = ("saved_model", "litert"),
    options: ExportOptions = _AS_TRAINED,
    runners: Runners = _REAL,
) -> tuple[dict, np.ndarray]:
    """What `export_model` returns, and the logits of the model, float32 `(n, classes)`."""
    _check_nothing_is_there(folder, formats)
    folder.mkdir(parents=True, exist_ok=True)
    if options.merge:
        original.folded.merging(options.merge)  # of another model than it goes with, said at once
    with tempfile.TemporaryDirectory(dir=folder, prefix=".checking-") as scratch:
        planned = plan_exports(formats, options, Path(scratch))
        print("exporting, and running each export on the same images", file=sys.stderr)
        written = _written(planned, original, images, options)
        reference, exports = check(original, written, images, options, runners)
        if options.lossy:
            exports = _timed_in_turns(exports, original.metadata, runners)
            exports = _with_worst_layers(exports, original.folded, reference, options)
        chosen = [_hand_over(choose(exports, format, options), folder) for format in formats]
    return _report(original, reference, exports, chosen, options), reference.logits


def _written(
    planned: Sequence[CheckedExport],
    original: Original,
    images: CheckImages,
    options: ExportOptions,
) -> list[CheckedExport]:
    """The files, all of the same weights."""
    if not planned:  # then the model need not be one that can be folded
        return []
    folded = original.folded
    if images.calibration is not None and any(MODES[e.mode].calibrated for e in planned):
        # As `to_tflite` does for such a file: then its layers have counterparts in the others.
        folded = without_value_means(folded, images.calibration)
    return [
        write(export, folded, original.metadata, options, images.calibration) for export in planned
    ]


def write(
    export: CheckedExport,
    folded: Folded,
    metadata: Metadata,
    options: ExportOptions,
    calibration: np.ndarray | None,
) -> CheckedExport:
    """Writes the file of an export, or notes in `refused` why there is none.

    Raises:
        UserError: when there is no other mode to choose.
    """
    folded = folded.merging(export.merge)
    flops = folded.config.forward_flops()
    metadata = dataclasses.replace(metadata, flops=flops, merge=export.merge)
    path = export.path
    form: dict[str, Any] = {"input_dtype": options.input_dtype, "attention": options.attention}
    form["quantize"] = export.mode
    try:
        with step(f"exporting {export.name}"):
            if export.format == "saved_model":
                to_saved_model(folded, path, metadata, read_encoded)
            elif export.format == "onnx":
                to_onnx(folded, path, metadata, **form)
            else:
                form |= {"batch": options.batch, "calibration": calibration}
                to_tflite(folded, path, metadata, **form)
    except UserError as error:
        if not options.may_do_without(export.mode):
            raise
        return dataclasses.replace(export, refused=str(error))
    return export


def _check_nothing_is_there(folder: Path, formats: Sequence[str]) -> None:
    for format in formats:
        path = folder / EXPORT_NAMES.get(format, format)
        if path.exists():
            raise UserError(
                f"{path} already exists and is never overwritten. Name another folder with --out."
            )


def _timed_in_turns(
    exports: Sequence[CheckedExport], metadata: Metadata, runners: Runners
) -> list[CheckedExport]:
    """Times the files that are chosen from anew, each with a process and a core to itself.

    Next to Keras and to each other in one process, as in the first measurement, small files take up
    to seven times as long on a machine that is busy, and not the same ones each time.
    """
    files = {e.name: e.path for e in exports if e.runs and e.format in TENSORFLOW_FREE}
    shape = metadata.preprocessing.shape
    timed = runners.time(files, shape, seconds=_TIMED_SECONDS)
    times = {latency.name: latency.median_ms for latency in timed}
    return [
        dataclasses.replace(export, ms_per_image=times.get(export.name, export.ms_per_image))
        for export in exports
    ]


def _with_worst_layers(
    exports: Sequence[CheckedExport], folded: Folded, reference: Reference, options: ExportOptions
) -> list[CheckedExport]:
    """Fills in the dense layers of quantised LiteRT files that lost most."""
    layers, images = folded.dense_layers(options.attention), reference.images[:_LAYER_IMAGES]

    def compared(export: CheckedExport) -> CheckedExport:
        if not (export.format == "litert" and export.runs and export.quantized):
            return export
        if export.merge:  # other tokens, which have no counterparts
            return export
        plain = plain_of(exports, "litert")
        found = layer_signal_to_noise(plain.path, export.path, layers, images)
        worst = sorted(found.items(), key=lambda item: item[1])[:_WORST_LAYERS]
        return dataclasses.replace(export, worst_layers=dict(worst))

    with step("comparing the layers of quantised files"):
        return list(map(compared, exports))


def _hand_over(export: CheckedExport, folder: Path) -> CheckedExport:
    """Gives a file its name in `folder`: its own, or where something speaks against it another."""
    path = folder / EXPORT_NAMES[export.format]
    if export.problem is not None:
        path = _free(path.with_name(f"{path.name}.rejected"))
    export.path.replace(path)
    return dataclasses.replace(export, path=path)


def _free(path: Path) -> Path:
    """The path, or the first of path-2, path-3, ... that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _report(
    original: Original,
    reference: Reference,
    exports: Sequence[CheckedExport],
    chosen: Sequence[CheckedExport],
    options: ExportOptions,
) -> dict:
    """What `export_model` returns."""
    report = {
        **reference.scores(reference.logits),
        "per_class": reference.per_class(original.metadata.labels),
        "keras": {
            "path": original.path.name,
            "bytes": size_in_bytes(original.path),
            "ms_per_image": reference.ms_per_image,
        },
        "exports": [export.to_report() for export in chosen],
    }
    if options.lossy:
        kept = {export.name for export in chosen if export.problem is None}
        report["quantization"] = [
            {**export.to_card(plain_of(exports, export.format)), "kept": export.name in kept}
            for export in exports
            if export.format != "saved_model" or options.merge
        ]
    return report
