# SPDX-License-Identifier: MIT
"""What files are made of and compared with: a Keras model, and what it makes of some images."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_vit.evaluation import headline, predicted_classes
from keras_vit.export.folding import Folded, fold
from keras_vit.export.metadata import Metadata


@dataclasses.dataclass(frozen=True)
class Original:
    """The model that files are made of, and compared with.

    Attributes:
        model: a float32 model built by `keras_vit.vit`.
        path: its file.
        metadata: labels and input size.
    """

    model: keras.Model
    path: Path
    metadata: Metadata

    @functools.cached_property
    def folded(self) -> Folded:
        """Its weights as files have them, derived once for all of these."""
        return fold(self.model)

    @property
    def weight_bytes(self) -> int:
        """Size of its weights in float32."""
        return 4 * self.model.count_params()


@dataclasses.dataclass(frozen=True)
class CheckImages:
    """What a model and its files are run on.

    Attributes:
        batches: pixels `(batch, height, width, channels)`, 0 to 255; gone through once.
        labels: the true classes, int `(n,)`, or 0 and 1 of shape `(n, classes)`, or None.
        name_of: what a message calls the image at a position.
        calibration: images for the modes that need them, `(n, height, width, channels)`, or None.
    """

    batches: Iterable[np.ndarray]
    labels: np.ndarray | None = None
    name_of: Callable[[int], str] = "image {}".format
    calibration: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the Keras model makes of the images.

    Attributes:
        logits: float32 `(n, classes)`.
        truth: what logits are measured by: the labels, or without any the model's own answers.
        labelled: whether there are labels.
        ms_per_image: median time of a batch of one, in milliseconds.
        images: the first batches of images, 64 images or more where there are as many.
    """

    logits: np.ndarray
    truth: np.ndarray
    labelled: bool
    ms_per_image: float
    images: np.ndarray

    def scores(self, logits: np.ndarray) -> dict[str, float | None]:
        """`top1` and `top5`, or `map`, of logits for the same images; None without labels."""
        found = headline(logits, self.truth)
        return found if self.labelled else dict.fromkeys(found)

    def per_class(self, classes: Sequence[str]) -> list[dict[str, str | int]]:
        """`class`, `images` and `right`, how many of these are named rightly, of each class; empty
        without labels and where an image may show several classes."""
        if not self.labelled or self.truth.ndim == 2:
            return []
        right = self.truth[predicted_classes(self.logits, self.truth) == self.truth]
        counts = [np.bincount(each, minlength=len(classes)) for each in (self.truth, right)]
        return [
            {"class": name, "images": int(images), "right": int(named)}
            for name, images, named in zip(classes, *counts, strict=True)
        ]

    def drop(self, logits: np.ndarray) -> float:
        """What logits lose of the first score, in points of 100."""
        ours, theirs = (headline(each, self.truth) for each in (self.logits, logits))
        return 100 * (next(iter(ours.values())) - next(iter(theirs.values())))
