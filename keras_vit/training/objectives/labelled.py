# SPDX-License-Identifier: MIT
"""What classification and distillation share, as both have labels."""

import sys

import keras
import numpy as np

from keras_vit.data import ImageSet
from keras_vit.data.dataset import split_batches
from keras_vit.deploy import CheckImages, Original, Runners
from keras_vit.deploy.exporting import export_answered
from keras_vit.deploy.on_tensorflow import export_on_tensorflow
from keras_vit.errors import UserError
from keras_vit.origins import origins_of
from keras_vit.recipes import Classify, Distill, Recipe
from keras_vit.run_folder import RunFolder
from keras_vit.training.objectives.base import metadata_for

EXPORTS = ("saved_model", "litert")  # what needs no extra


def check_task(objective: Classify | Distill, task: str) -> None:
    """Raises a `UserError` when images show several classes and the loss is for one."""
    loss = getattr(objective, "loss", "softmax")
    if task == "multi" and loss == "softmax":
        raise UserError(
            "images in this data set have several labels or none, and a softmax chooses one: "
            f"the objective is {objective.kind} with {loss}. Type --set objective.loss=sigmoid."
        )


def make_metrics(task: str = "single", num_classes: int = 2) -> list[keras.metrics.Metric]:
    """What the best epoch is chosen by.

    Args:
        task: "single" for top-1 accuracy, called `accuracy` in logs; "multi" for the mean over the
            classes of the area under the precision-recall curve, called `average_precision`. It has
            200 thresholds, where the report ranks every image.
        num_classes: length of a label.
    """
    if task == "multi":
        area = keras.metrics.AUC(
            curve="PR",
            multi_label=True,
            num_labels=num_classes,
            from_logits=True,
            name="average_precision",
        )
        return [area]
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]


def deliver(
    model: keras.Model,
    recipe: Recipe,
    images: ImageSet,
    run: RunFolder,
    runners: Runners | None = None,
) -> tuple[dict, np.ndarray]:
    """Measures a model and its exports on the test split; see `Objective.finish`."""
    test, wanted = images.test, formats()
    here = keras.backend.backend() == "tensorflow"
    checked, logits = export_answered(
        Original(model, run.model_file, metadata_for(recipe, images, origins_of(model))),
        run.exports_folder,
        CheckImages(
            split_batches(test, recipe.preprocessing, recipe.part_size), test.labels, test.name_of
        ),
        formats=wanted if here else (),
        runners=runners or Runners(),
    )
    if wanted and not here:
        checked["exports"] = _exported_elsewhere(images, run, wanted)
    folder = run.exports_folder.name  # the report names files from the run folder on
    exports = [{**e, "path": f"{folder}/{e['path']}"} for e in checked["exports"]]
    return {**checked, "exports": exports}, logits


def formats() -> tuple[str, ...]:
    """The exports of a run."""
    return EXPORTS


def _exported_elsewhere(images: ImageSet, run: RunFolder, wanted: tuple[str, ...]) -> list[dict]:
    """The exports of a run on another backend than TensorFlow, which a process of it writes."""
    try:
        return export_on_tensorflow(run, images.test, wanted)["exports"]
    except UserError as error:
        print(
            f"note: there are no exports of this run on {keras.backend.backend()}: {error}\n"
            f"KERAS_BACKEND=tensorflow keras-vit export {run.path} --out FOLDER makes them, "
            "where it finds images to check them on",
            file=sys.stderr,
        )
        return []
