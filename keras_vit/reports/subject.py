# SPDX-License-Identifier: MIT
"""A model that is explained, with its class names and images."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vit.data.dataset import split_batches
from keras_vit.errors import UserError
from keras_vit.model_file import ModelFile
from keras_vit.preprocessing import Preprocessing
from keras_vit.run_folder import RunFolder

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model that is explained.

    Attributes:
        model: a model built by `keras_vit.vit`, with classes.
        labels: names of its classes.
        preprocessing: how its images are made.
        file: the model file of a run or a `.keras` file; None of a published checkpoint.
    """

    model: "keras.Model"
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    file: ModelFile | None

    @classmethod
    def open(cls, target: str | os.PathLike) -> "Subject":
        """Opens a run folder, a `.keras` file, or whatever `keras_vit.load_model` takes.

        Raises:
            UserError: for anything else, and for a model without classes.
        """
        path = Path(target)
        if RunFolder(path).exists or path.suffix in (".keras", ".tflite", ".onnx"):
            file = ModelFile.find(target)
            model = file.load()
            metadata = file.metadata() if file.run else file.numbered(model)
            return cls(model, metadata.labels, metadata.preprocessing, file)
        from keras_vit.loading import load_model
        from keras_vit.models import config_of

        model = load_model(target)
        config = config_of(model)
        if not config.num_classes:
            raise UserError(f"{target}: has no classes that something in an image could speak for.")
        labels = tuple(f"class {number}" for number in range(config.num_classes))
        seen = Preprocessing(config.image_size, config.channels, model.view)
        return cls(model, labels, seen, None)

    def test_images(self, count: int) -> tuple[list[str], np.ndarray, list[str | None]]:
        """Images of the test split of the model's run, drawn at random, of each class in turn.

        Returns:
            Their names, float pixels, and names of their classes.

        Raises:
            UserError: for a model of no run.
        """
        if self.file is None:
            raise UserError(
                "the test images of a published checkpoint are not known here: name images."
            )
        name, _, split = self.file.test_split()
        # Not the first ones, which may all be of one class.
        split = split.take(_in_turn(split.labels)[:count])
        names = [f"{Path(name).name} {Path(split.name_of(i)).stem}" for i in range(len(split))]
        true = [_classes(label, self.labels) for label in split.labels]
        return names, np.concatenate(list(split_batches(split, self.preprocessing, 64))), true


def _in_turn(labels: np.ndarray) -> np.ndarray:
    """All places in a fixed random order: one of each class, then one more of each, and so on.

    Args:
        labels: `(n,)`, or `(n, classes)` of zeros and ones, which are not in turn.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    if labels.ndim == 2:
        return order
    turns = np.zeros(len(labels), int)
    for label in np.unique(labels):
        places = order[labels[order] == label]
        turns[places] = np.arange(len(places))
    return order[np.lexsort((labels[order], turns[order]))]


def _classes(label: np.ndarray, labels: Sequence[str]) -> str | None:
    """The class of a number, or the classes of a row of zeros and ones."""
    if not np.ndim(label):
        return labels[int(label)]
    return " + ".join(labels[int(place)] for place in np.flatnonzero(label)) or None
