# SPDX-License-Identifier: MIT
"""The page on a model that was measured on images of any kind."""

from typing import TYPE_CHECKING

from keras_vit.errors import UserError
from keras_vit.measuring import Measured
from keras_vit.model_file import ModelFile
from keras_vit.reports.grading import WAITED_FOR
from keras_vit.reports.page.answers import answers_of
from keras_vit.reports.page.facts import Page, reliability_of
from keras_vit.reports.page.tested import Tested
from keras_vit.reports.page.words import figures, sentence

if TYPE_CHECKING:
    import keras

_RUNTIMES = {
    "keras": "Keras",
    "litert": "LiteRT",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "saved_model": "TensorFlow",
}


def gather_measured(measured: Measured) -> Page:
    """The page on a measurement; without maps of a file that only answers.

    Args:
        measured: the model, the images and its answers.
    """
    tested = tested_of(measured)
    answers = answers_of(tested, WAITED_FOR)
    return Page(
        title=f"{measured.file.path.name} on {measured.data}",
        answer=sentence(answers.summary, f"images of {measured.data}"),
        figures=tuple(figures(answers.summary)),
        setting=_setting(measured),
        images="images",
        also=("keras-vit evaluate --format json",),
        answers=answers,
        reliability=reliability_of(answers.summary),
    )


def tested_of(measured: Measured) -> Tested:
    """A measurement, with the model that its maps are made with where there is one."""
    metadata = measured.predictor.metadata
    return Tested(
        metadata.labels,
        measured.split,
        metadata.preprocessing,
        measured.logits,
        _explained(measured.file),
    )


def _explained(file: ModelFile) -> "keras.Model | None":
    if not file.needs_keras:
        return None
    from keras_vit.models import config_of

    model = file.load()
    try:
        config_of(model)
    except UserError:
        return None  # not one of `keras_vit.vit`
    return model


def _setting(measured: Measured) -> tuple[tuple[str, str], ...]:
    metadata = measured.predictor.metadata
    height, width = metadata.image_size
    runtime = _RUNTIMES[measured.file.runtime or measured.file.format]
    color = "grey" if metadata.channels == 1 else "color"
    return (
        ("model", f"{measured.file.path}, run by {runtime}"),
        ("data", f"{measured.data}, {len(measured.split):,} images"),
        ("images", f"{height} x {width} pixels, {color}"),
        ("classes", f"{len(metadata.labels):,}"),
    )
