# SPDX-License-Identifier: MIT
"""LiteRT files on a GPU: that of this machine, where it has one, and a phone's, simulated."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_vit.deploy.checked_export import CheckedExport
from keras_vit.deploy.comparison import same_logits
from keras_vit.deploy.original import Original, Reference
from keras_vit.errors import UserError
from keras_vit.export.folding import Folded
from keras_vit.export.gpu import GpuRun
from keras_vit.export.half import half_logits

_HALF_IMAGES = 2  # in simulated float16
_NO_DEVICE = "not run: no Vulkan device here"
_IN_FLOATS = ("none", "float16")  # modes of which a phone's GPU computes all in float16


def check_on_gpu(
    exports: Sequence[CheckedExport],
    images: np.ndarray,
    run_on_gpu: Callable[[Path, np.ndarray], GpuRun],
) -> list[CheckedExport]:
    """Runs LiteRT files on this machine's GPU, and fills in `gpu` of them.

    Other logits than on the CPU are a problem. A file that the GPU refuses is none: it is then run
    on a CPU, and right.

    Args:
        exports: those that have run on the CPU, and others, which stay as they are.
        images: the first of those that `logits` of an export are for, `(n, height, width,
            channels)`.
        run_on_gpu: see `keras_vit.export.gpu.run_on_gpu`.
    """
    checked: list[CheckedExport] = []
    for export in exports:
        if export.format == "litert" and export.runs:
            if any(other.gpu == _NO_DEVICE for other in checked):  # nor is there one now
                export = dataclasses.replace(export, gpu=_NO_DEVICE)
            else:
                export = _compared(export, images, run_on_gpu)
        checked.append(export)
    return checked


def check_in_half(
    exports: Sequence[CheckedExport], original: Original, reference: Reference
) -> list[CheckedExport]:
    """Fills in `float16` of LiteRT files in floats: what a phone's GPU makes of them.

    Args:
        exports: files of a model; others than those stay as they are.
        original: the model.
        reference: what it makes of some images.
    """
    chosen = [e for e in exports if e.format == "litert" and e.runs and e.mode in _IN_FLOATS]
    if not chosen:
        return list(exports)
    images, said = reference.images[:_HALF_IMAGES], {}
    for export in chosen:
        if export.merge not in said:  # what merges is compared with itself in float32
            expected = (export.logits if export.merge else reference.logits)[:_HALF_IMAGES]
            said[export.merge] = in_half(original.folded.merging(export.merge), images, expected)
    for sentence in said.values():
        if sentence.startswith("overflows"):
            print(
                f"LiteRT on a phone's GPU, which computes in float16: {sentence}", file=sys.stderr
            )
    return [dataclasses.replace(e, float16=said[e.merge]) if e in chosen else e for e in exports]


def in_half(folded: Folded, images: np.ndarray, expected: np.ndarray) -> str:
    """What a phone's GPU makes of the graph in float16, simulated, in one sentence.

    Args:
        folded: the weights of the exported graph.
        images: a few images, pixels `(n, height, width, channels)`.
        expected: logits in float32 for them, `(n, classes)`.
    """
    if any(np.abs(array).max() > np.finfo("float16").max for array in folded.weights.values()):
        return "overflows: a weight is above 65,504"
    found = half_logits(folded, images)
    if found is None:
        return "not simulated for a hybrid"
    if not np.isfinite(found).all():
        return "overflows: a number of the graph is above 65,504"
    worst = float(np.abs(found - expected).max())
    same = float(np.mean(found.argmax(axis=1) == expected.argmax(axis=1)))
    divided = f"residual stream divided by {1 / folded.residual_scale:.0f}"
    note = f", {divided}" if folded.residual_scale < 1 else ""
    return f"finite, {same:.0%} the same class, max |d logit| {worst:.1e}{note}"


def _compared(export: CheckedExport, images: np.ndarray, run_on_gpu: Callable) -> CheckedExport:
    try:
        found = run_on_gpu(export.path, images)
    except UserError as error:  # its process crashed: a driver's fault as likely as the file's
        return dataclasses.replace(export, gpu=f"not run: {error}")
    if found.device is None:
        print(
            "LiteRT files were not run on a GPU: there is no Vulkan device here. Their graphs keep "
            "the rules of keras_vit/export/lint.py.",
            file=sys.stderr,
        )
        return dataclasses.replace(export, gpu=_NO_DEVICE)
    if found.logits is None:
        said = f"refused by {found.device}: {found.reason}"
        return dataclasses.replace(export, gpu=said)
    expected = export.logits[: len(images)]
    if all(same_logits(expected, logits, export.lossy) for logits in found.logits):
        return dataclasses.replace(export, gpu=f"same logits on {found.device}")
    export = export.against(f"other logits on the GPU ({found.device})")
    return dataclasses.replace(export, gpu=f"other logits on {found.device}")
