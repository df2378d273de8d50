# SPDX-License-Identifier: MIT
"""Exported files before they are handed over: which there are, and what speaks against each."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.data.pipeline.encoded import read_encoded
from keras_vit.deploy.comparison import Agreement, compare
from keras_vit.errors import UserError, unknown
from keras_vit.export import Metadata, to_onnx, to_saved_model, to_tflite
from keras_vit.export.quantization import AUTO, MODES, MODES_OF, signal_to_noise
from keras_vit.files import size_in_bytes
from keras_vit.models import config_of
from keras_vit.progress import step

_SAME_DECIBELS = 15  # of the power of logits to that of a difference; other logits have 0 or less
FORMATS = {"saved_model": "saved_model", "litert": "model.tflite", "onnx": "model.onnx"}


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """How models are exported.

    Attributes:
        quantize: a key of `keras_vit.export.quantization.MODES`, or "auto", the smallest file that
            loses at most `max_drop` and is not slower than float32. A SavedModel is float32 always.
        input_dtype: "float32" or "uint8", of LiteRT and ONNX files.
        batch: images in a batch of a LiteRT file, None for any number.
        attention: whether LiteRT and ONNX files have the last block's attention as second output.
        max_drop: top-1 that a quantised file may lose, in points of 100.
    """

    quantize: str = "none"
    input_dtype: str = "float32"
    batch: int | None = 1
    attention: bool = False
    max_drop: float = 0.5

    def modes(self, format: str) -> tuple[str, ...]:
        """Modes to try for a format, the first that is good enough being the one to keep.

        Raises:
            UserError: for a mode that does not exist or that the format does not have.
        """
        if self.quantize not in (*MODES, "auto"):
            raise unknown("quantize", self.quantize, (*MODES, "auto"))
        if format == "saved_model":
            return ("none",)
        if self.quantize == "auto":
            return tuple(mode for mode in AUTO if mode in MODES_OF[format])
        if self.quantize not in MODES_OF[format]:
            raise UserError(
                f"quantize={self.quantize!r} does not go with the format {format}, which has "
                f"{', '.join(MODES_OF[format])} and auto."
            )
        return (self.quantize,)

    @property
    def whole_pixels(self) -> bool:
        """Whether a file takes integers."""
        return self.input_dtype == "uint8" or self.quantize == "int8_io"


@dataclasses.dataclass
class Candidate:
    """A file that may be handed over.

    Attributes:
        format: a key of `FORMATS`.
        mode: how it is quantised.
        path: where it lies while it is checked.
        wanted: whether it was asked for, and is not just what others are compared with.
        refused: why it could not be written, or None.
    """

    format: str
    mode: str
    path: Path
    wanted: bool = True
    refused: str | None = None

    @property
    def name(self) -> str:
        """The format, and the mode where there is one."""
        return self.format if self.mode == "none" else f"{self.format} {self.mode}"


def plan(formats: Sequence[str], options: ExportOptions, scratch: Path) -> list[Candidate]:
    """The files to write, for each format those to choose from and then float32.

    Raises:
        UserError: for a format or a mode that does not exist, and a mode that none of the formats
            has.
    """
    if options.quantize != "none" and set(formats) == {"saved_model"}:
        raise UserError(
            f"--quantize {options.quantize}: a SavedModel is always float32. Add litert or onnx to "
            "--format, or leave --quantize off."
        )
    found = []
    for format in formats:
        if format not in FORMATS:
            raise unknown("format", format, FORMATS)
        modes = options.modes(format)
        for mode in dict.fromkeys((*modes, "none")):
            path = scratch / mode / FORMATS[format]
            found.append(Candidate(format, mode, path, wanted=mode in modes))
    return found


def write(
    candidate: Candidate,
    model: keras.Model,
    metadata: Metadata,
    options: ExportOptions,
    calibration: np.ndarray | None,
) -> None:
    """Writes the file of a candidate, or notes why there is none.

    Raises:
        UserError: when there is no other mode to choose.
    """
    metadata = dataclasses.replace(metadata, flops=config_of(model).forward_flops())
    path, form = candidate.path, {"input_dtype": options.input_dtype}
    form |= {"attention": options.attention, "quantize": candidate.mode}
    try:
        with step(f"exporting {candidate.name}"):
            if candidate.format == "saved_model":
                to_saved_model(model, path, metadata, read_encoded)
            elif candidate.format == "onnx":
                to_onnx(model, path, metadata, **form)
            else:
                form |= {"batch": options.batch, "calibration": calibration}
                to_tflite(model, path, metadata, **form)
    except UserError as error:
        if options.quantize != "auto" or candidate.mode == "none":
            raise
        candidate.refused = str(error)


def problem_of(
    candidate: Candidate,
    agreement: Agreement,
    drop: float,
    max_drop: float,
    weight_bytes: int,
    explain: Callable[[Agreement], str],
) -> str | None:
    """What speaks against a file, in one sentence, or None.

    Args:
        candidate: the file.
        agreement: its logits beside those of the Keras model.
        drop: top-1 that it loses, in points.
        max_drop: what a quantised file may lose.
        weight_bytes: size of the model's weights in float32.
        explain: says where logits differ.
    """
    size = size_in_bytes(candidate.path)
    # Folding leaves a few weights out; a converter that loses them leaves nearly all of them out.
    least = 0.8 * MODES[candidate.mode].share * weight_bytes
    most = 1.2 * weight_bytes + 4_000_000  # with the graphs, and not with the weights twice
    if not least <= size <= most:
        return f"{size:,} bytes, expected {least:,.0f} to {most:,.0f} for weights of this number"
    if not agreement.finite or (candidate.mode == "none" and not agreement.ok):
        return explain(agreement)
    if candidate.mode != "none" and drop > max_drop:
        return f"top-1 falls by {drop:.2f} points (limit {max_drop:g})"
    return None


def same_logits(candidate: Candidate, logits: np.ndarray, again: np.ndarray) -> bool:
    """Whether a file has given the same logits twice, in another way each time."""
    if candidate.mode == "none":
        return compare(logits, again).ok
    # Scales of quantised activations may depend on the batch and on the device.
    return bool(np.isfinite(again).all()) and signal_to_noise(logits, again) > _SAME_DECIBELS
