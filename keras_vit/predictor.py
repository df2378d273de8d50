# SPDX-License-Identifier: MIT
"""A trained model of any format, from image files to named classes.

A `.tflite` file is used without importing TensorFlow or Keras.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_vit.data.image_set import Split
from keras_vit.data.images import read_image, split_batches
from keras_vit.data.sources import load, load_for_test
from keras_vit.errors import UserError
from keras_vit.evaluation import softmax, summarize
from keras_vit.export.metadata import Metadata
from keras_vit.export.runner import Runner, format_of, open_runner
from keras_vit.recipes import Distill, Recipe, of_run


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one file.

    Attributes:
        path: the file.
        classes: names of the most probable classes, best first; empty on an error.
        scores: their probabilities, 0 to 1.
        error: why the file could not be used, or None.
    """

    path: str
    classes: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model with what is needed to use it.

    Attributes:
        run: from pixels to logits.
        metadata: labels, input size and cropping.
        path: the file or folder that was opened.
    """

    run: Runner
    metadata: Metadata
    path: Path

    @classmethod
    def open(cls, target: str | os.PathLike) -> "Predictor":
        """Opens a run folder, a `.keras` or `.tflite` file, or a SavedModel folder.

        Raises:
            UserError: for anything else, saying what was expected.
        """
        path, _ = locate(target)
        return cls(open_runner(path), metadata_of(target), path)

    @staticmethod
    def needs_keras(target: str | os.PathLike) -> bool:
        """Whether opening a target imports Keras and TensorFlow, which takes seconds."""
        return format_of(locate(target)[0]) != "litert"

    def predict(
        self, paths: Iterable[str], top_k: int = 1, batch_size: int = 32
    ) -> Iterator[Prediction]:
        """Classifies image files; one that cannot be read gives a prediction with an `error`.

        Args:
            paths: image files.
            top_k: how many classes to name.
            batch_size: images that are held in memory at a time.
        """
        batch = []
        for path in paths:
            try:
                batch.append((path, self.read(path)))
            except UserError as error:
                yield from self._classify(batch, top_k)
                batch = []
                yield Prediction(str(path), error=str(error))
            if len(batch) == batch_size:
                yield from self._classify(batch, top_k)
                batch = []
        yield from self._classify(batch, top_k)

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """Reads an image file as this model wants it: float32 `(height, width, channels)`."""
        m = self.metadata
        return read_image(path, m.image_size, m.channels, m.crop)

    def evaluate(self, split: Split, batch_size: int = 64) -> dict:
        """Measures a split.

        Args:
            split: labelled images, at least one.
            batch_size: images that are held in memory at a time.

        Returns:
            Plain data: `images`, their number, `top1` and its 95 % interval, `top5`, scores of each
            class, confusions and calibration; see `keras_vit.evaluation.summarize`.

        Raises:
            UserError: when a logit is not finite: nothing that follows would mean anything.
        """
        m = self.metadata
        logits = [
            self.run(pixels)
            for pixels in split_batches(split, m.image_size, m.channels, m.crop, batch_size)
        ]
        logits = np.concatenate(logits)
        broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(broken):
            raise UserError(
                f"{self.path}: expected finite logits, received NaN or infinity for {len(broken):,}"
                f" of {len(split):,} images, first {split.name_of(broken[0])}. Train or export the "
                "model again."
            )
        return summarize(logits, split.labels, m.labels)

    def check_classes(self, name: str, classes: Sequence[str]) -> None:
        """Raises a `UserError` unless the classes of a data set are those of the model, in
        order."""
        if tuple(classes) != self.metadata.labels:
            differing = sorted(set(classes) ^ set(self.metadata.labels))
            what = (
                f"they differ in {', '.join(differing[:10])}" if differing else "the order differs"
            )
            raise UserError(
                f"{name}: expected the {len(self.metadata.labels)} classes of {self.path}, "
                f"received {len(classes)}: {what}."
            )

    def _classify(self, batch, top_k: int) -> Iterator[Prediction]:
        if not batch:
            return
        probabilities = softmax(self.run(np.stack([pixels for _, pixels in batch])))
        for (path, _), row in zip(batch, probabilities, strict=True):
            order = np.argsort(-row, kind="stable")[:top_k]
            yield Prediction(
                str(path),
                tuple(self.metadata.labels[i] for i in order),
                tuple(float(row[i]) for i in order),
            )


def locate(target: str | os.PathLike) -> tuple[Path, Recipe | None]:
    """Finds the model file of a target, and the recipe of the run that it belongs to.

    Args:
        target: a run folder, a `.keras` or `.tflite` file, or a SavedModel folder.
    """
    target = Path(target)
    if not target.exists():
        raise UserError(f"{target}: no such file or folder. Train a model with `keras-vit train`.")
    path = target
    if target.is_dir() and (target / "recipe.json").exists():
        path = target / "model.keras"
        if not path.exists():
            raise UserError(
                f"{target}: this run has no model.keras; it ended before its first epoch."
            )
    if format_of(path) is None:
        raise UserError(
            f"{target}: expected a run folder (with recipe.json), a .keras or .tflite file, or a "
            "SavedModel folder (with saved_model.pb)."
        )
    return path, _recipe_of(path)


def find_teacher(recipe: Recipe) -> None:
    """Raises the error of a recipe whose teacher is not there, without Keras."""
    objective = recipe.objective
    if isinstance(objective, Distill):
        if objective.teacher is None:
            raise UserError(
                "objective.teacher: expected the run folder or model file of the teacher. Name it "
                "with --set objective.teacher=runs/teacher."
            )
        locate(objective.teacher)


def metadata_of(target: str | os.PathLike) -> Metadata:
    """Labels and input size of a target, from the file itself or from the run folder around it."""
    path, recipe = locate(target)
    metadata = Metadata.read(path) if format_of(path) != "keras" else None
    return metadata or _metadata_beside(path, recipe)


def open_keras(target: str | os.PathLike) -> tuple["keras.Model", Metadata]:  # noqa: F821
    """Loads the Keras model of a run folder or `.keras` file, with its metadata."""
    import keras

    import keras_vit.layers  # noqa: F401 (registers the layers)

    path, _ = locate(target)
    if format_of(path) != "keras":
        raise UserError(f"{path}: expected a run folder or a .keras file.")
    return keras.saving.load_model(path, compile=False), metadata_of(target)


def test_split(
    target: str | os.PathLike, source: str | None, data_dir: str | None = None
) -> tuple[str, tuple[str, ...], Split]:
    """Finds labelled images to measure a model on.

    Args:
        target: the model.
        source: where they are (see `keras_vit.data.load`); None, or the source that the model was
            trained on, is the test split of its run.
        data_dir: where TFDS keeps its data sets.

    Returns:
        The name of the data, the class names, and the split: "test" where there is one,
        "validation" else, all of a source that is not divided.

    Raises:
        UserError: when no source is named and the model does not stand in a run folder.
    """
    path, recipe = locate(target)
    if source is None and recipe is None:
        raise UserError(
            f"{path} does not stand in a run folder, so its test images are not known. Name a data "
            "set or a folder of images."
        )
    if recipe is not None and source in (None, recipe.data.source):
        plan = recipe.data
        images = load(
            plan.source,
            data_dir or plan.data_dir,
            plan.test,
            plan.validation,
            plan.split_seed,
            plan.on_bad,
            decode=False,  # a test image that breaks is named when it is read
        )
        return images.name, images.classes, images.test
    return (source, *load_for_test(source, data_dir))


def _recipe_of(path: Path) -> Recipe | None:
    for folder in (path.parent, path.parent.parent):  # the run folder, or its export/
        if (folder / "recipe.json").exists():
            return of_run(folder)
    return None


def _metadata_beside(path: Path, recipe: Recipe | None) -> Metadata:
    """What a model file without metadata needs, from the run folder around it."""
    file = path.parent / "labels.txt"
    if recipe is None or not file.exists():
        raise UserError(
            f"{path}: nothing says its labels and input size. Expected it in a run folder with "
            "recipe.json and labels.txt, or a file that `keras-vit export` made."
        )
    labels = tuple(file.read_text(encoding="utf-8").splitlines())
    if not labels:
        raise UserError(
            f"{path}: is an encoder that was trained without labels, and names no classes. Train a "
            f"head on it: keras-vit train DATA --init {path.parent}"
        )
    return Metadata(
        recipe.name, labels, recipe.model.image_size, recipe.model.channels, recipe.data.crop
    )
