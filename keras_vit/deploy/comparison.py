# SPDX-License-Identifier: MIT
"""Compares the logits of an exported model with those of the Keras model."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_vit.export.metadata import Metadata
from keras_vit.export.quantization import signal_to_noise

# Of a logit, relative to max(1, |logit|): float32 kernels that sum in another order stay below a
# tenth of it.
TOLERANCE = 1e-4
_SAME_DECIBELS = 15  # of the power of logits to that of a difference; other logits have 0 or less


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


def same_logits(first: np.ndarray, again: np.ndarray, lossy: bool) -> bool:
    """Whether a file has given the same logits twice, in another way each time.

    Args:
        first, again: float `(n, classes)`.
        lossy: whether the file is quantised or merges tokens: the scales of quantised activations
            may depend on the batch and on the device, and which of two patches that are equally
            alike is merged on the rounding there.
    """
    if not lossy:
        return compare(first, again).ok
    return bool(np.isfinite(again).all()) and signal_to_noise(first, again) > _SAME_DECIBELS


def where_they_differ(
    agreement: Agreement,
    reference: np.ndarray,
    candidate: np.ndarray,
    metadata: Metadata,
    name_of: Callable[[int], str],
) -> str:
    """Says where an export differs from the model, in one sentence.

    Args:
        agreement: what `compare` found of the two.
        reference, candidate: see `compare`.
        metadata: what the classes are called.
        name_of: what the image at a position is called.
    """
    worst = name_of(agreement.worst)
    if not agreement.finite:
        return f"logits that are not finite, first for {worst}"
    text = (
        f"max |d logit| {agreement.max_abs_diff:.1e}, {agreement.max_rel_diff:.1e} of max(1, "
        f"|logit|) (limit {agreement.tolerance:.0e}), for {worst}"
    )
    if agreement.disagreeing:
        first = agreement.disagreeing[0]
        said, expected = metadata.answer(candidate[first]), metadata.answer(reference[first])
        text += (
            f"; {len(agreement.disagreeing)} of {len(reference)} images get another class, first "
            f"{name_of(first)}: {said} where Keras says {expected}"
        )
    return text
