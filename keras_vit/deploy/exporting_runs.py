# SPDX-License-Identifier: MIT
"""Exports the model of a run, or one that stands alone, to a folder of its own."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import Split, split_batches
from keras_vit.deploy.checked_export import ExportOptions
from keras_vit.deploy.checking import Runners
from keras_vit.deploy.exporting import export_model
from keras_vit.deploy.original import CheckImages, Original
from keras_vit.errors import UserError
from keras_vit.export import Metadata
from keras_vit.export.merging import check_merge
from keras_vit.export.quantization import MODES
from keras_vit.export.runner import keras_runner
from keras_vit.files import write_text
from keras_vit.model_file import ModelFile
from keras_vit.origins import say_restrictions
from keras_vit.predictor import Predictor
from keras_vit.run_folder import EXPORT_NAMES, QUANTIZATION_FILE, RunFolder

_CALIBRATION_IMAGES = 256
_NOISE_IMAGES = 64
_BATCH = 64
_AS_TRAINED = ExportOptions()
_ALL_IN_NEW_PROCESSES = Runners(formats_in_new_process=tuple(EXPORT_NAMES))


def export_run(
    target: str | os.PathLike,
    out: str | os.PathLike,
    formats: Sequence[str],
    check: str | None = None,
    data_dir: str | None = None,
    options: ExportOptions = _AS_TRAINED,
    runners: Runners = _ALL_IN_NEW_PROCESSES,
) -> dict:
    """Exports the model of a run to another folder; see `export_model`.

    Args:
        target: a run folder, or a `.keras` file, in one or alone.
        out: folder for the files, and for `quantization.json` with quantisation or merging.
        formats: keys of `EXPORT_NAMES`.
        check: labelled images to run the exports on (see `keras_vit.data.load`); None is the run's
            own test split. A model without a run is then checked on noise.
        data_dir: where TFDS keeps its data sets.
        options: quantisation and the form of the files.
        runners: how the files are run.
    """
    _check_outside_runs(Path(out))
    check_merge(options.merge, options.quantize, options.attention)
    file = ModelFile.find(target)
    model = file.load()
    metadata = file.numbered(model) if file.run is None else file.metadata()
    say_restrictions(metadata.origins)
    original, split = Original(model, file.path, metadata), None
    if check is not None or file.run is not None:
        name, classes, split = file.test_split(check, data_dir)
        split = Predictor(keras_runner(model), metadata, file.path).matched(name, classes, split)
    calibration = _calibration(file.run, metadata, split, data_dir, options)
    images = _check_images(metadata, split, calibration)
    report = export_model(original, Path(out), images, formats, options, runners)
    if "quantization" in report:
        text = json.dumps(report["quantization"], indent=2) + "\n"
        write_text(Path(out) / QUANTIZATION_FILE, text)
    return report


def _check_outside_runs(out: Path) -> None:
    """A second set of exports in a run's folder would contradict its report."""
    out = out.absolute()
    for folder in (out, *out.parents):
        run = RunFolder(folder)
        if run.exists and run.command_file.exists():
            raise UserError(
                f"--out: {out} belongs to the run {folder}, whose files stay as its report has "
                "them. Name a folder outside of it."
            )


def _check_images(
    metadata: Metadata, split: Split | None, calibration: np.ndarray | None
) -> CheckImages:
    """The images of a split, or noise where there is none."""
    if split is not None:
        batches = _pixels(metadata, split, "running model and exports")
        return CheckImages(batches, split.labels, split.name_of, calibration)
    print("no images to check on: noise is used, which says little of accuracy", file=sys.stderr)
    shape = (_NOISE_IMAGES, *metadata.preprocessing.shape)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    return CheckImages([noise], calibration=calibration)


def _calibration(
    run: RunFolder | None,
    metadata: Metadata,
    split: Split | None,
    data_dir: str | None,
    options: ExportOptions,
) -> np.ndarray | None:
    """Images for the modes that need them: of the training split where there is a run."""
    wanted = options.quantize == "auto" or MODES.get(options.quantize, MODES["none"]).calibrated
    if not wanted or (run is None and split is None):
        return None
    source = split if run is None else run.split("train", data_dir)[2]
    chosen = np.random.default_rng(0).permutation(len(source))[:_CALIBRATION_IMAGES]
    return np.concatenate(list(_pixels(metadata, source.take(np.sort(chosen)))))


def _pixels(
    metadata: Metadata, split: Split, doing: str = "reading images for calibration"
) -> Iterable[np.ndarray]:
    """Batches of a split as the model takes them."""
    return split_batches(split, metadata.preprocessing, _BATCH, doing)
