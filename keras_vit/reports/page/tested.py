# SPDX-License-Identifier: MIT
"""A model that has answered labelled images."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vit.data.dataset import Split, split_batches
from keras_vit.errors import UserError
from keras_vit.evaluation import sigmoid, softmax
from keras_vit.preprocessing import Preprocessing
from keras_vit.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

    from keras_vit.training.train import Answered

_BATCH = 64  # images in memory at a time
_FEW = 500  # images


@dataclasses.dataclass(frozen=True)
class Tested:
    """A model that has answered.

    Attributes:
        labels: names of its classes.
        split: the images, with their labels.
        preprocessing: how the model sees them.
        logits: float `(n, classes)`, finite.
        model: a float32 model that maps are made with; None of a file that only answers.
    """

    labels: Sequence[str]
    split: Split
    preprocessing: Preprocessing
    logits: np.ndarray
    model: "keras.Model | None"

    @classmethod
    def of_run(cls, run: RunFolder, model: "keras.Model") -> "Tested":
        """Has the model of a run answer its test images.

        Raises:
            UserError: when the images are gone, or an answer is not finite.
        """
        _, labels, split = run.split("test")
        preprocessing = run.metadata.preprocessing
        logits = _logits(model, split, preprocessing)
        if not np.isfinite(logits).all():
            raise UserError("the model answers NaN or infinity to some test images")
        return cls(labels, split, preprocessing, logits, model)

    @classmethod
    def of_training(cls, run: RunFolder, model: "keras.Model", answered: "Answered") -> "Tested":
        """The answers that the results of a training were computed from: nothing is read anew."""
        metadata = run.metadata
        return cls(metadata.labels, answered.images, metadata.preprocessing, answered.logits, model)

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Float images `(n, height, width, channels)` as the model sees them."""
        if not len(places):
            return np.empty((0, 1, 1, 1), "float32")
        return np.concatenate(
            list(split_batches(self.split.take(places), self.preprocessing, _BATCH))
        )

    def name(self, place: int) -> str:
        """What an image is called, without its folder."""
        return Path(self.split.name_of(place)).name

    @property
    def several(self) -> bool:
        """Whether an image may show several classes."""
        return self.split.labels.ndim == 2

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Float64 `(n, classes)`, 0 to 1."""
        return (sigmoid if self.several else softmax)(self.logits.astype("float64"))


def _logits(model: "keras.Model", split: Split, preprocessing: Preprocessing) -> np.ndarray:
    """Logits `(n, classes)`. A graph takes longer to make than few images to answer without one."""
    from keras import ops

    traced = model.predict_function is not None or len(split) > _FEW
    batches = split_batches(split, preprocessing, _BATCH, "looking for mistakes")
    if traced:
        return np.concatenate([model.predict_on_batch(x) for x in batches])
    return np.concatenate([ops.convert_to_numpy(model(x, training=False)) for x in batches])
