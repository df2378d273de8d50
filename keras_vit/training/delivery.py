# SPDX-License-Identifier: MIT
"""What a run hands over: the test result, and exports that were run on the same images."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.data.image_set import Split
from keras_vit.data.images import split_batches
from keras_vit.errors import UserError, unknown
from keras_vit.evaluation import headline
from keras_vit.export import Metadata, compare, open_runner, to_saved_model, to_tflite
from keras_vit.export.runner import keras_runner
from keras_vit.export.verify import Agreement, median_milliseconds
from keras_vit.files import size_in_bytes
from keras_vit.predictor import locate, open_keras

# name: file name below the export folder, writer.
FORMATS: dict[str, tuple[str, Callable]] = {
    "saved_model": ("saved_model", to_saved_model),
    "litert": ("model.tflite", to_tflite),
}
_TIMED_IMAGES = 64


def export_and_check(
    model: keras.Model,
    model_path: Path,
    metadata: Metadata,
    folder: Path,
    batches: Iterable[np.ndarray],
    labels: np.ndarray | None = None,
    formats: Sequence[str] = tuple(FORMATS),
    name_of: Callable[[int], str] = "image {}".format,
) -> dict:
    """Exports a model, runs every file on the same images as the model, and compares.

    Args:
        model: a float32 model.
        model_path: its file.
        metadata: labels and input size.
        folder: where the files go; none of them may exist.
        batches: pixels `(batch, height, width, channels)`, 0 to 255.
        labels: the true classes, int `(n,)`, or 0 and 1 of shape `(n, classes)`, or None.
        formats: keys of `FORMATS`.
        name_of: what a message calls the image at a position.

    Returns:
        `top1` and `top5` of the model, `map` with several classes to an image, None without labels;
        `keras`, its `path`, `bytes` and
        `ms_per_image`; and `exports`, a list with one entry for each format. An export that
        disagrees has `ok` false and `problem`, and its file is renamed to `*.rejected`. Paths are
        names of files.
    """
    for format in formats:
        if format not in FORMATS:
            raise unknown("format", format, FORMATS)
    paths = {format: folder / FORMATS[format][0] for format in formats}
    for path in paths.values():
        if path.exists():
            raise UserError(
                f"{path} already exists and is never overwritten. Name another folder with --out."
            )
    print("exporting, and running each export on the same images", file=sys.stderr)
    runners = {"keras": keras_runner(model)}
    for format, path in paths.items():
        FORMATS[format][1](model, path, metadata)
        runners[format] = open_runner(path)
    logits, images = _run_all(runners, batches)

    def scores(name):
        if labels is None:
            return {"map": None} if metadata.task == "multi" else {"top1": None, "top5": None}
        return headline(logits[name], labels)

    exports = []
    for format, path in paths.items():
        agreement = compare(logits["keras"], logits[format], task=metadata.task)
        entry = {
            "format": format,
            "path": path.name,
            **scores(format),
            "agreement": agreement.agreement,
            "max_abs_diff": agreement.max_abs_diff,
            "bytes": size_in_bytes(path),
            "ms_per_image": median_milliseconds(runners[format], images),
            "ok": agreement.ok,
        }
        if not agreement.ok:
            entry["problem"] = explain(
                agreement, logits["keras"], logits[format], metadata, name_of
            )
            entry["path"] += ".rejected"
            path.rename(path.with_name(entry["path"]))
        exports.append(entry)
    return {
        **scores("keras"),
        "keras": {
            "path": model_path.name,
            "bytes": size_in_bytes(model_path),
            "ms_per_image": median_milliseconds(runners["keras"], images),
        },
        "exports": exports,
    }


def export_run(
    target: str | os.PathLike, out: str | os.PathLike, formats: Sequence[str], split: Split
) -> dict:
    """Exports the model of a run to another folder, checked on a split; see `export_and_check`.

    Args:
        target: a run folder, or the `.keras` file in it.
        out: folder for the files.
        formats: keys of `FORMATS`.
        split: labelled images to run the exports on.
    """
    model, metadata = open_keras(target)
    return export_and_check(
        model,
        locate(target)[0],
        metadata,
        Path(out),
        split_batches(split, metadata.image_size, metadata.channels, metadata.crop, 64),
        split.labels,
        formats,
        split.name_of,
    )


def explain(
    agreement: Agreement,
    reference: np.ndarray,
    candidate: np.ndarray,
    metadata: Metadata,
    name_of: Callable[[int], str],
) -> str:
    """Says where an export differs from the model, in one sentence."""
    worst = name_of(agreement.worst)
    if not agreement.finite:
        return f"logits that are not finite, first for {worst}"
    text = (
        f"max |d logit| {agreement.max_abs_diff:.1e} (limit {agreement.tolerance:.0e}), for {worst}"
    )
    if agreement.disagreeing:
        first = agreement.disagreeing[0]
        said, expected = metadata.answer(candidate[first]), metadata.answer(reference[first])
        text += (
            f"; {len(agreement.disagreeing)} of {len(reference)} images get another class, first "
            f"{name_of(first)}: {said} where Keras says {expected}"
        )
    return text


def _run_all(runners, batches) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Logits of every runner on every batch, and the first images, for timing."""
    logits, images = {name: [] for name in runners}, []
    for pixels in batches:
        if sum(map(len, images)) < _TIMED_IMAGES:
            images.append(pixels)
        for name, run in runners.items():
            logits[name].append(run(pixels))
    return {name: np.concatenate(parts) for name, parts in logits.items()}, np.concatenate(images)
