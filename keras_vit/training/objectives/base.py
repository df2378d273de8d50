# SPDX-License-Identifier: MIT
"""What a run does that depends on its objective; everything else is the same for all of them."""

import abc
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data import Audit, ImageSet, load
from keras_vit.export import Metadata
from keras_vit.files import replacing
from keras_vit.models import config_of, vit
from keras_vit.models.variables import variables_of
from keras_vit.origins import Origin
from keras_vit.recipes import Recipe
from keras_vit.run_folder import RunFolder


class Objective(abc.ABC):
    """What is learned. An objective keeps nothing between two calls.

    In the order of a run: `load`, `prepare` and `check` before the first step; `learner` and
    `compile_arguments` for `model.fit`; `save` after each best epoch; `finish` at the end. A dry
    run asks for `forward_flops` and `loss_of_chance` too.

    Every `recipe` but that of `load` is complete: it has a model for the classes of the images.
    """

    def load(self, *args, **kwargs) -> tuple[ImageSet, Audit | None]:
        """Reads the images; all is as in `keras_vit.data.load`."""
        return load(*args, **kwargs)

    def prepare(self, images: ImageSet) -> ImageSet:
        """What of the images is used: all of them, if nothing else is said."""
        return images

    @abc.abstractmethod
    def check(self, recipe: Recipe, images: ImageSet) -> None:
        """Raises a `UserError` for a recipe that cannot be carried out on these images."""

    def learner(self, model: keras.Model, recipe: Recipe, images: ImageSet) -> keras.Model:
        """What `fit` trains around a model of `vit`: the model itself, if nothing else is said."""
        return model

    @abc.abstractmethod
    def compile_arguments(self, recipe: Recipe, images: ImageSet) -> dict[str, Any]:
        """Loss and metrics for `compile`, where the learner has none of its own.

        Metrics are weighted ones: of several devices, the last batch of a validation may have been
        filled up with examples of weight 0 (`keras_vit.data.evaluation_batches`).
        """

    @abc.abstractmethod
    def save(self, learner: keras.Model, path: Path) -> None:
        """Saves what a user shares: float32 weights in a model of `vit`, without optimizer.

        Args:
            learner: what `fit` trains.
            path: the `.keras` file.
        """

    @abc.abstractmethod
    def finish(
        self, model: keras.Model, recipe: Recipe, images: ImageSet, run: RunFolder
    ) -> tuple[dict, np.ndarray | None]:
        """Measures the trained model on the test split and writes what a run hands over.

        Args:
            model: read back from `run.model_file`, where `save` wrote it.
            recipe, images: what was trained, and on what.
            run: its folder.

        Returns:
            What the report says of it: at least `keras` and `exports`. And its logits of the test
            images `(n, classes)`; None of one that has no classes.
        """

    @abc.abstractmethod
    def forward_flops(self, recipe: Recipe) -> int:
        """Floating-point operations of one image's forward pass in training."""

    @abc.abstractmethod
    def loss_of_chance(self, recipe: Recipe, images: ImageSet) -> float | None:
        """The loss of a model that knows nothing; None where it is not known."""


def float32_copy(model: keras.Model) -> keras.Model:
    """A model of `vit` with the same weights, whatever precision it was trained in; LoRA adapters
    are merged into the kernels."""
    plain, values = vit(config_of(model)), variables_of(model)
    plain.origins, plain.view = model.origins, model.view
    for variable in plain.weights:
        variable.assign(values[variable.path])
    return plain


def save_whole(model: keras.Model, path: Path) -> None:
    """Saves a model so that a process killed meanwhile leaves the file of before."""
    with replacing(path) as temporary:
        model.save(temporary)


def metadata_for(recipe: Recipe, images: ImageSet, origins: tuple[Origin, ...] = ()) -> Metadata:
    """What the model files of a run say of themselves.

    Args:
        recipe, images: what is trained, and on what.
        origins: what its first weights were made of.
    """
    seen = recipe.preprocessing
    channels: Any = seen.channels  # Metadata checks it, and the task
    task: Any = images.task
    view: dict[str, Any] = dataclasses.asdict(seen.view)
    return Metadata(
        *(recipe.name, images.classes, seen.image_size, channels),
        task=task,
        origins=origins,
        **view,
    )
