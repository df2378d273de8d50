# SPDX-License-Identifier: MIT
"""A file on its way out: planned, written, run, compared, and then kept or rejected."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.deploy.comparison import Agreement
from keras_vit.errors import UserError, unknown
from keras_vit.export.merging import check_merge
from keras_vit.export.quantization import AUTO, MODES, MODES_OF
from keras_vit.run_folder import EXPORT_NAMES

SLOWER = 1.1  # times of float32 that count as slower, above the noise of the measurement


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """How models are exported.

    Attributes:
        quantize: a key of `keras_vit.export.quantization.MODES`, or "auto", the smallest file that
            loses at most `max_drop` and is not slower than float32. A SavedModel is float32 always.
        input_dtype: "float32" or "uint8", of LiteRT and ONNX files.
        batch: images in a batch of a LiteRT file, None for any number.
        attention: whether LiteRT and ONNX files have the last block's attention as second output.
        max_drop: top-1 that a quantised or merging file may lose, in points of 100.
        merge: how many patches the blocks compute less, because those that are alike are merged
            (`keras_vit.export.merging`), as a share; 0 merges none.
    """

    quantize: str = "none"
    input_dtype: str = "float32"
    batch: int | None = 1
    attention: bool = False
    max_drop: float = 0.5
    merge: float = 0.0

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
    def lossy(self) -> bool:
        """Whether files are asked for that do not compute quite what the model does."""
        return self.quantize != "none" or self.merge > 0

    @property
    def whole_pixels(self) -> bool:
        """Whether a file takes integers."""
        return self.input_dtype == "uint8" or self.quantize == "int8_io"

    def may_do_without(self, mode: str) -> bool:
        """Whether another mode can be kept where this one cannot be written or opened."""
        return self.quantize == "auto" and mode != "none"


# eq=False: two of them are compared by nobody, and arrays have no single answer.
@dataclasses.dataclass(frozen=True, eq=False)
class CheckedExport:
    """A file on its way out. Each step returns it with more of its fields filled in.

    Attributes:
        format: a key of `EXPORT_NAMES`.
        mode: how it is quantised.
        merge: how many patches its blocks compute less by merging, as a share.
        path: where it lies: with its own name only once it is kept or rejected.
        wanted: whether it was asked for, and is not just what others are compared with.
        refused: why it could not be written or opened, or None. Then nothing below is filled in.
        logits: what it made of the images that it is checked on, float32 `(n, classes)`.
        scores: `top1` and `top5`, or `map`, 0 to 1; None each where the images have no labels.
        drop: how much of the first score it loses, in points of 100.
        agreement: its logits next to those of the Keras model.
        logit_sqnr: power of the model's logits to that of the difference, in dB; may be infinite.
        bytes: its size.
        ms_per_image: median time of a batch of one, in milliseconds.
        gpu: of a LiteRT file, what this machine's GPU made of it, in a sentence.
        float16: of a LiteRT file in floats, what float16 does to it, in a sentence.
        worst_layers: of a quantised LiteRT file, the dense layers that lost most, in dB.
        problem: what speaks against it, in a sentence, or None.
    """

    format: str
    mode: str
    path: Path
    merge: float = 0.0
    wanted: bool = True
    refused: str | None = None
    logits: np.ndarray | None = None
    scores: dict[str, float | None] = dataclasses.field(default_factory=dict)
    drop: float = 0.0
    agreement: Agreement | None = None
    logit_sqnr: float = np.inf
    bytes: int = 0
    ms_per_image: float = 0.0
    gpu: str | None = None
    float16: str | None = None
    worst_layers: dict[str, float] | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The format, and what makes it differ from the model."""
        mode = "" if self.mode == "none" else f" {self.mode}"
        return f"{self.format}{mode}" + (f" merge {self.merge:g}" if self.merge else "")

    @property
    def quantized(self) -> bool:
        """Whether its numbers have fewer bits than those of the model."""
        return self.mode != "none"

    @property
    def lossy(self) -> bool:
        """Whether it does not compute quite what the model does."""
        return self.quantized or self.merge > 0

    @property
    def runs(self) -> bool:
        """Whether there is a file that can be opened."""
        return self.refused is None

    def against(self, problem: str | None) -> "CheckedExport":
        """With one more thing that speaks against it; the first is the one that is told."""
        return dataclasses.replace(self, problem=self.problem or problem)

    def slower_than(self, plain: "CheckedExport") -> bool:
        """Whether it takes longer than the plain file of its format, noise allowed for."""
        return self.ms_per_image > SLOWER * plain.ms_per_image

    def to_report(self) -> dict[str, Any]:
        """Its entry under `exports` of `report.json`."""
        found: dict[str, Any] = {
            "format": self.format,
            "path": self.path.name,
            "quantize": self.mode,
            **self._merging(),
            **self._score(),
            "agreement": self.agreement.agreement,
            "max_abs_diff": self.agreement.max_abs_diff,
            "bytes": self.bytes,
            "ms_per_image": self.ms_per_image,
            **self._notes(),
            "ok": self.problem is None,
        }
        if not np.isfinite(found["max_abs_diff"]):
            del found["max_abs_diff"]  # JSON has no infinity
        return found if self.problem is None else {**found, "problem": self.problem}

    def to_card(self, plain: "CheckedExport") -> dict[str, Any]:
        """Its row of the quantisation card: what mode and merging cost and gain.

        Args:
            plain: the file of the same format that is not quantised and merges nothing.

        Returns:
            `format`, `quantize`, with merging `merge`, and `notes`; and, of a file that runs,
            `bytes` and `ms_per_image`, both also as `size_ratio` and `latency_ratio` to the plain
            file; `top1` or `map`, None without labels; `drop` in points; `agreement`, 0 to 1;
            `logit_sqnr` in dB, None without any error; and for LiteRT `worst_layers`, `gpu` and of
            float files `float16`.
        """
        row: dict[str, Any] = {"format": self.format, "quantize": self.mode, **self._merging()}
        row["notes"] = self._remarks(plain)
        if not self.runs:
            return row
        row |= {
            **self._score(),
            "drop": self.drop,
            "agreement": self.agreement.agreement,
            "bytes": self.bytes,
            "ms_per_image": self.ms_per_image,
            **self._notes(),
            "logit_sqnr": _decibels(self.logit_sqnr),
            "size_ratio": self.bytes / plain.bytes,
            "latency_ratio": self.ms_per_image / plain.ms_per_image,
        }
        if self.worst_layers is not None:
            row["worst_layers"] = {k: _decibels(v) for k, v in self.worst_layers.items()}
        return row

    def _score(self) -> dict[str, float | None]:
        return {name: self.scores[name] for name in ("top1", "map") if name in self.scores}

    def _merging(self) -> dict[str, float]:
        return {"merge": self.merge} if self.merge else {}

    def _notes(self) -> dict[str, str]:
        notes = {"gpu": self.gpu, "float16": self.float16}
        return {name: note for name, note in notes.items() if note is not None}

    def _remarks(self, plain: "CheckedExport") -> list[str]:
        if not self.runs:
            return [f"refused: {self.refused}"]
        rejected = [f"rejected: {self.problem}"] if self.problem is not None else []
        return rejected + ["slower than float32"] * self.slower_than(plain)


def plan_exports(
    formats: Sequence[str], options: ExportOptions, scratch: Path
) -> list[CheckedExport]:
    """The files to write, for each format those to choose from and then the plain one.

    Raises:
        UserError: for a format or a mode that does not exist, a mode that none of the formats has,
            and for what does not go with merging.
    """
    check_merge(options.merge, options.quantize, options.attention)
    if options.quantize != "none" and set(formats) == {"saved_model"}:
        raise UserError(
            f"--quantize {options.quantize}: a SavedModel is always float32. Add litert or onnx to "
            "--format, or leave --quantize off."
        )
    planned = []
    for format in formats:
        if format not in EXPORT_NAMES:
            raise unknown("format", format, EXPORT_NAMES)
        wanted = [(mode, options.merge) for mode in options.modes(format)]
        for mode, merge in dict.fromkeys((*wanted, ("none", 0.0))):
            path = scratch / mode / f"merge-{merge:g}" / EXPORT_NAMES[format]
            chosen = (mode, merge) in wanted
            planned.append(CheckedExport(format, mode, path, merge, wanted=chosen))
    return planned


def choose(exports: Sequence[CheckedExport], format: str, options: ExportOptions) -> CheckedExport:
    """The file of a format to hand over; `problem` says whether as a good one or a rejected one."""
    plain = plain_of(exports, format)
    wanted = [e for e in exports if e.format == format and e.wanted and e.runs]
    too_slow = options.quantize == "auto"
    good = [e for e in wanted if e.problem is None and not (too_slow and e.slower_than(plain))]
    # "auto" tries the smallest first, and ends with float32.
    return good[0] if good else wanted[-1]


def plain_of(exports: Sequence[CheckedExport], format: str) -> CheckedExport:
    """The file of a format that computes what the model does, which is always planned."""
    return next(e for e in exports if e.format == format and not e.lossy)


def _decibels(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None  # JSON has no infinity
