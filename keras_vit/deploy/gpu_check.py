# SPDX-License-Identifier: MIT
"""LiteRT files on the GPU of this machine, where it has one."""

import sys
from collections.abc import Sequence

import numpy as np

from keras_vit.deploy.candidates import same_logits
from keras_vit.errors import UserError
from keras_vit.export.folding import fold
from keras_vit.export.gpu import run_on_gpu
from keras_vit.export.half import half_logits

_NO_DEVICE = "not run: no Vulkan device here"


def check_gpu(entries: Sequence[dict], images: np.ndarray) -> None:
    """Runs LiteRT files on the GPU, and notes as a problem that it gives other logits than the CPU.

    Each entry gets `gpu`, what was found, in one sentence. A file that the GPU refuses is no
    problem: it is then run on a CPU, and right.

    Args:
        entries: what `keras_vit.deploy.export` found of each file.
        images: the first of those that `logits` of an entry are for, `(n, height, width,
            channels)`.
    """
    files = [entry for entry in entries if entry["format"] == "litert"]
    for entry in files:
        entry["gpu"] = _compared(entry, images)
        if entry["gpu"] == _NO_DEVICE:
            print(
                "LiteRT files were not run on a GPU: there is no Vulkan device here. Their graphs "
                "keep the rules of keras_vit/export/lint.py.",
                file=sys.stderr,
            )
            return


def _compared(entry: dict, images: np.ndarray) -> str:
    candidate, expected = entry["candidate"], entry["logits"][: len(images)]
    try:
        found = run_on_gpu(candidate.path, images)
    except UserError as error:  # its process crashed: a driver's fault as likely as the file's
        return f"not run: {error}"
    if found.device is None:
        return _NO_DEVICE
    if found.logits is None:
        return f"refused by {found.device}: {found.reason}"
    if all(same_logits(candidate, expected, logits) for logits in found.logits):
        return f"same logits on {found.device}"
    entry["problem"] = entry["problem"] or f"other logits on the GPU ({found.device})"
    return f"other logits on {found.device}"


def in_half(model, images: np.ndarray, expected: np.ndarray) -> str:
    """What a phone's GPU makes of the graph in float16, simulated, in one sentence.

    Args:
        model: the Keras model.
        images: a few images, pixels `(n, height, width, channels)`.
        expected: its logits for them, `(n, classes)`.
    """
    folded = fold(model)
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
