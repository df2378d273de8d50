# SPDX-License-Identifier: MIT
"""Measures a trained model on labelled images: its answers, or what its features are worth."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vit.data.by_name import load
from keras_vit.data.dataset import Split, split_batches
from keras_vit.errors import UserError
from keras_vit.evaluation import few_shot_accuracy, knn_accuracy, wilson_interval
from keras_vit.evaluation.imagenet import class_places, real_accuracy, real_labels
from keras_vit.export.metadata import Metadata
from keras_vit.model_file import ModelFile
from keras_vit.predictor import Predictor
from keras_vit.progress import step
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_json

if TYPE_CHECKING:
    import keras

# The logits of a split, by a model; see `Predictor.logits`.
Answer = Callable[[Predictor, Split], np.ndarray]
_BATCH = 64  # images that the features are computed of at a time


@dataclasses.dataclass(frozen=True)
class Measured:
    """A model that has answered labelled images.

    Attributes:
        file: the model.
        predictor: the same, opened.
        data: what the images are called.
        split: the images, with labels of the model.
        logits: float32 `(n, classes)`, finite.
    """

    file: ModelFile
    predictor: Predictor
    data: str
    split: Split
    logits: np.ndarray

    @property
    def result(self) -> dict:
        """`model`, `data`, and what `Predictor.evaluate` returns."""
        named = {"model": str(self.predictor.path), "data": self.data}
        return named | self.predictor.summary(self.split, self.logits)


def measured(
    target: str | os.PathLike | ModelFile,
    source: str | None = None,
    data_dir: str | None = None,
    classes: str = "names",
    unsafe: bool = False,
    answer: Answer = Predictor.logits,
) -> Measured:
    """Has a model answer, see `measure`."""
    file = ModelFile.find(target)
    predictor = Predictor.open(file, unsafe)
    name, found, split = file.test_split(source, data_dir)
    if classes == "names":
        split = predictor.matched(name, found, split)
    else:
        places = class_places(found, classes, len(predictor.metadata.labels))
        split = dataclasses.replace(split, labels=places[split.labels])
    return Measured(file, predictor, name, split, answer(predictor, split))


def measure(
    target: str | os.PathLike | ModelFile,
    source: str | None = None,
    data_dir: str | None = None,
    classes: str = "names",
    labels: str | os.PathLike | None = None,
    unsafe: bool = False,
    answer: Answer = Predictor.logits,
) -> dict:
    """What `keras-vit evaluate` finds.

    Args:
        target: see `ModelFile.find`.
        source, data_dir: see `ModelFile.test_split`.
        classes: "names" where the data have all classes of the model or some of them, else what the
            folders are called by; see `keras_vit.evaluation.class_places`.
        labels: a ReaL file (see `keras_vit.evaluation.real_labels`), whose labels take the place of
            those of the folders.
        unsafe: see `Predictor.open`.
        answer: computes the logits, maybe with other processes.

    Returns:
        `model`, `data`, and what `Predictor.evaluate` returns; with `labels` instead of that
        `images`, `top1` and `top1_interval` of the images that have labels, and `unlabelled`.
    """
    if labels is None:
        return measured(target, source, data_dir, classes, unsafe, answer).result
    file = ModelFile.find(target)
    predictor = Predictor.open(file, unsafe)
    name, _, split = file.test_split(source, data_dir)
    result = {"model": str(predictor.path), "data": name}
    return result | _measure_real(predictor, split, Path(labels), answer)


def probe(
    target: str | os.PathLike | ModelFile,
    source: str | None = None,
    data_dir: str | None = None,
    ridge: bool = True,
    knn: bool = True,
) -> dict:
    """What the features of a model are worth to a classifier that is fitted in closed form.

    Args:
        target: a run folder or a `.keras` file.
        source: images of any classes, see `keras_vit.data.load`; None, or the source that the model
            was trained on, is the training and the test split of its run.
        data_dir: where TFDS keeps its data sets.
        ridge: whether to fit ridge regressions to 1, 5, 10 and 25 images of each class.
        knn: whether to let the 20 nearest training images vote.

    Returns:
        `model`, `data`, `train` and `test` (numbers of images), `features` (how many the head of
        the model takes); and, where asked for, `few_shot`, shots -> top-1 accuracy, and `knn`.
    """
    import keras

    file = ModelFile.find(target)
    model, metadata = file.load(), file.metadata()
    name, *splits = _probed_splits(file, source, data_dir)
    if splits[0].labels.ndim != 1:
        raise UserError(f"{name}: expected one class to an image, which is what a probe answers.")
    features = keras.Model(model.input, model.get_layer("head").input)
    train, test = (_values(features, metadata, split) for split in splits)
    arguments = (train, splits[0].labels, test, splits[1].labels)
    result = {
        "model": str(file.path),
        "data": name,
        "train": len(train),
        "test": len(test),
        "features": train.shape[1],
    }
    if ridge:
        with step("fitting ridge regressions"):
            result["few_shot"] = {str(k): v for k, v in few_shot_accuracy(*arguments).items()}
    if knn:
        with step("looking for nearest neighbours"):
            result["knn"] = knn_accuracy(*arguments)
    return result


def _probed_splits(
    file: ModelFile, source: str | None, data_dir: str | None
) -> tuple[str, Split, Split]:
    """What the data are called, the images that a probe is fitted to, and those it is tested on."""
    run = file.trained_on(source)
    if run is not None:
        (name, _, train), (_, _, test) = (run.split(n, data_dir) for n in ("train", "test"))
        return name, train, test
    if source is None:
        raise UserError(
            f"{file.path} does not stand in a run folder. Name a data set to probe it on."
        )
    images, _ = load(source, data_dir)
    return images.name, images.train, images.test


def _values(features: "keras.Model", metadata: Metadata, split: Split) -> np.ndarray:
    """Features, float32 `(n, features)`, of every image of a split."""
    batches = split_batches(split, metadata.preprocessing, _BATCH)
    parts = [features.predict_on_batch(batch) for batch in batches]
    return np.concatenate(parts).astype("float32")


def _measure_real(predictor: Predictor, split: Split, path: Path, answer: Answer) -> dict:
    if not split.files:
        raise UserError("--labels: expected images that are files, whose names tell their labels.")
    try:
        table = read_json(path, limit=limits.MANIFEST)
        sets = real_labels(table, split.files)
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path}: expected JSON, a list of classes for each image ({error})."
        ) from error
    accuracy, count = real_accuracy(answer(predictor, split), sets)
    if not count:
        raise UserError(f"{path}: none of the {len(split):,} images has a label.")
    return {
        "images": count,
        "unlabelled": len(split) - count,
        "top1": accuracy,
        "top1_interval": list(wilson_interval(accuracy, count)),
    }
