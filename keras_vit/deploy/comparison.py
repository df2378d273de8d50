# SPDX-License-Identifier: MIT
"""Compares the logits of an exported model with those of the Keras model."""

import dataclasses
import time
from collections.abc import Mapping

import numpy as np

from keras_vit.export.runner import Runner

# Of a logit, relative to max(1, |logit|): float32 kernels that sum in another order stay below a
# tenth of it.
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two sets of logits agree.

    Attributes:
        agreement: share of images with the same answer, 0 to 1: the top-1 class, or for several
            classes to an image, all that have a logit above 0.
        max_abs_diff: largest absolute difference of a logit.
        max_rel_diff: largest difference of a logit divided by max(1, |logit|).
        worst: position of the image with that difference, or of the first that is not finite.
        disagreeing: positions of images whose answer differs by more than a tie.
        finite: whether every number is finite.
        tolerance: what `max_rel_diff` was compared with.
    """

    agreement: float
    max_abs_diff: float
    max_rel_diff: float
    worst: int
    disagreeing: tuple[int, ...]
    finite: bool
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the export may be used instead of the original."""
        return self.finite and self.max_rel_diff <= self.tolerance and not self.disagreeing


def compare(
    reference: np.ndarray,
    candidate: np.ndarray,
    tolerance: float = TOLERANCE,
    task: str = "single",
) -> Agreement:
    """Compares logits.

    Args:
        reference: float `(n, classes)`, of the Keras model.
        candidate: float `(n, classes)`, of the exported one.
        tolerance: largest difference that is accepted, relative to max(1, |logit|). Classes whose
            reference logits lie closer together than twice this are a tie: to swap them is no
            disagreement. Nor is a logit that close to 0, with several classes to an image.
        task: "single" or "multi", see `Metadata.task`.
    """
    finite = bool(np.isfinite(candidate).all())
    difference = np.abs(np.where(np.isfinite(candidate), candidate - reference, np.inf))
    scale = np.maximum(1, np.abs(reference))
    if task == "multi":
        differs = (reference > 0) != (candidate > 0)
        same = ~differs.any(axis=1)
        margin = 2 * np.where(differs, np.abs(reference) / scale, 0).max(axis=1)
    else:
        first, second = reference.argmax(axis=1), candidate.argmax(axis=1)
        same, rows = first == second, np.arange(len(reference))
        margin = (reference[rows, first] - reference[rows, second]) / scale[rows, first]
    return Agreement(
        agreement=float(np.mean(same)),
        max_abs_diff=float(difference.max()),
        max_rel_diff=float((difference / scale).max()),
        worst=int((difference / scale).max(axis=1).argmax()),
        disagreeing=tuple(int(i) for i in np.flatnonzero(margin > 2 * tolerance)),
        finite=finite,
        tolerance=tolerance,
    )


def median_milliseconds(
    runners: Mapping[str, Runner], images: np.ndarray, rounds: int = 50
) -> dict[str, float]:
    """Median times of a batch of one, in milliseconds of wall clock, after five rounds to warm up.

    The runners take turns, so that a machine that is busy for a while slows all of them.
    """
    times = {name: [] for name in runners}
    for i in range(5 + rounds):
        image = images[i % len(images)][None]
        for name, run in runners.items():
            start = time.perf_counter()
            run(image)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(found[5:])) for name, found in times.items()}
