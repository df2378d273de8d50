# SPDX-License-Identifier: MIT
"""A trained model of any format, from image files to named classes.

A `.tflite` or `.onnx` file is used without importing TensorFlow or Keras.
"""

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data import split_record
from keras_vit.data.by_name import load, load_for_test
from keras_vit.data.dataset import Split, split_batches
from keras_vit.data.inputs import check_several, is_one_image, name_of, read_any
from keras_vit.errors import UserError
from keras_vit.evaluation import sigmoid, softmax, summarize, summarize_multilabel
from keras_vit.export.metadata import Metadata
from keras_vit.export.runner import Runner, check_path, format_of, open_runner
from keras_vit.export.worker import Worker
from keras_vit.progress import step
from keras_vit.recipes import Distill, Recipe, of_run
from keras_vit.untrusted.reading import read_text
from keras_vit.untrusted.text import visible

_BATCH_BYTES = 1_000_000_000  # of pixels in memory at a time


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        path: the file or URL; for an image in memory "image 3", its place among those that were
            given, from 0.
        classes: names of the most probable classes, best first; empty on an error.
        scores: their probabilities, 0 to 1; of the task "multi" each by itself.
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
    def open(cls, target: str | os.PathLike, unsafe: bool = False) -> "Predictor":
        """Opens a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.

        All but `.keras` files run in a process of their own, see `keras_vit.export.Worker`.

        Args:
            target: what to open.
            unsafe: whether a SavedModel is run even if it is a program: it may then do all that
                the user may.

        Raises:
            UserError: for anything else, saying what was expected, and for a file that is damaged
                or whose metadata are those of another model.
        """
        path, recipe = locate(target)
        in_keras = check_path(path) == "keras"
        with step(f"opening {path.name}"):
            run = open_runner(path) if in_keras else Worker(path, unsafe=unsafe)
        own = run.metadata if path.suffix == ".onnx" else None
        metadata = None if in_keras else Metadata.read(path, own)
        metadata = metadata or _metadata_beside(path, recipe)
        size = (*metadata.image_size, metadata.channels)
        takes = run.input_shape[1:]
        if any(a not in (None, b) for a, b in zip(takes, size, strict=True)):
            raise UserError(
                f"{path}: takes images of shape {takes}, and its metadata say {size}. Export it "
                "again."
            )
        return cls(run, metadata, path)

    @staticmethod
    def needs_keras(target: str | os.PathLike) -> bool:
        """Whether opening a target imports Keras into this process, which takes seconds."""
        return format_of(locate(target)[0]) == "keras"

    def predict(
        self, images: Any, top_k: int | None = None, batch_size: int = 32
    ) -> Prediction | Iterator[Prediction]:
        """Classifies one image, or several.

        An image is a path, a URL (`http://` or `https://`), an image of Pillow's, or an array
        `(height, width)` or `(height, width, 1 or 3)` of pixels of 0 to 255.

        Args:
            images: one image, or an iterable of images, such as a list or an array `(n, height,
                width, channels)`.
            top_k: how many classes to name; None for the one that it is, or where an image may show
                several, for all whose probability is above 1/2.
            batch_size: images that are held in memory at a time.

        Returns:
            A `Prediction` for one image; for several an iterator of them in their order, in which
            an image that cannot be read has an `error`.

        Raises:
            UserError: for one image that cannot be read, and at once for what are no images.
        """
        if top_k is not None and not (isinstance(top_k, Integral) and top_k >= 1):
            raise UserError(f"top_k: expected a whole number of at least 1, received {top_k!r}.")
        if is_one_image(images):
            name = name_of(images, 0)
            return next(self._classify([(name, self.read(images, name))], top_k))
        check_several(images)
        return self._predictions(images, top_k, self._batch_size(batch_size))

    def _predictions(self, images: Iterable, top_k: int | None, batch_size: int):
        batch = []
        for place, image in enumerate(images):
            name = name_of(image, place)
            try:
                batch.append((name, self.read(image, name)))
            except UserError as error:
                yield from self._classify(batch, top_k)
                batch = []
                yield Prediction(name, error=str(error))
            if len(batch) == batch_size:
                yield from self._classify(batch, top_k)
                batch = []
        yield from self._classify(batch, top_k)

    def read(self, image: Any, name: str = "image") -> np.ndarray:
        """Reads an image as this model wants it: float32 `(height, width, channels)`.

        Args:
            image: see `predict`.
            name: what to call an image in memory in an error.
        """
        m = self.metadata
        return read_any(image, name, m.image_size, m.channels, m.crop)

    def evaluate(self, split: Split, batch_size: int = 64) -> dict:
        """Measures a split.

        Args:
            split: labelled images, at least one.
            batch_size: images that are held in memory at a time.

        Returns:
            Plain data: `images`, their number, `top1` and its 95 % interval, `top5`, scores of each
            class, confusions and calibration; see `keras_vit.evaluation.summarize`, or
            `summarize_multilabel` where an image may show several classes.

        Raises:
            UserError: when a logit is not finite: nothing that follows would mean anything.
        """
        logits = self.logits(split, batch_size)
        measure = summarize if self.metadata.task == "single" else summarize_multilabel
        return measure(logits, split.labels, self.metadata.labels)

    def logits(self, split: Split, batch_size: int = 64) -> np.ndarray:
        """Logits of a split, float32 `(n, classes)`; see `evaluate`."""
        m = self.metadata
        size, doing = (m.image_size, m.channels, m.crop), f"testing {self.path.name}"
        batches = split_batches(split, *size, self._batch_size(batch_size), doing)
        logits = np.concatenate([self._logits(pixels) for pixels in batches])
        broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(broken):
            raise UserError(
                f"{self.path}: expected finite logits, received NaN or infinity for {len(broken):,}"
                f" of {len(split):,} images, first {split.name_of(broken[0])}. Train or export the "
                "model again."
            )
        return logits

    def matched(self, name: str, classes: Sequence[str], split: Split) -> Split:
        """A split of other data, with the labels of this model.

        Args:
            name: what messages call the data.
            classes: names of the classes of the split: all that the model knows, or some of them.
            split: labelled images.

        Returns:
            The split; a label is a position in the classes of the model.

        Raises:
            UserError: for a class that the model does not know, images of several classes where
                the model says one, and images without any class.
        """
        task = "single" if split.labels.ndim == 1 else "multi"
        if task != self.metadata.task:
            words = {"single": "one class", "multi": "any number of classes"}
            raise UserError(
                f"{name}: expected images of {words[self.metadata.task]}, as {self.path} knows, "
                f"received images of {words[task]}."
            )
        known = {label: place for place, label in enumerate(self.metadata.labels)}
        strange = sorted(set(classes) - set(known))
        if strange:
            more = f" and {len(strange) - 10} more" if len(strange) > 10 else ""
            raise UserError(
                f"{name}: expected some of the {len(known)} classes of {self.path}, received also "
                f"{', '.join(strange[:10])}{more}. Folders that are called by class numbers or "
                "WordNet ids are measured with `keras-vit evaluate --classes`."
            )
        places = np.array([known[label] for label in classes], dtype="int64")
        if task == "single":
            return dataclasses.replace(split, labels=places[split.labels])
        labels = np.zeros((len(split), len(known)), dtype=split.labels.dtype)
        labels[:, places] = split.labels
        if not labels.any():
            raise UserError(f"{name}: expected images that show classes, received none that does.")
        return dataclasses.replace(split, labels=labels)

    def _logits(self, pixels: np.ndarray) -> np.ndarray:
        logits, labels = self.run(pixels), self.metadata.labels
        if logits.shape[1] != len(labels):
            raise UserError(
                f"{self.path}: has {logits.shape[1]} outputs, and its metadata name {len(labels)} "
                "classes. Export it again."
            )
        return logits

    def _batch_size(self, most: int) -> int:
        """Images that go through at a time: fewer where one is very large."""
        height, width = self.metadata.image_size
        return max(1, min(most, _BATCH_BYTES // (4 * height * width * self.metadata.channels)))

    def _classify(self, batch, top_k: int | None) -> Iterator[Prediction]:
        if not batch:
            return
        several = self.metadata.task == "multi"
        logits = self._logits(np.stack([pixels for _, pixels in batch]))
        for (path, _), row in zip(batch, logits, strict=True):
            if not np.isfinite(row).all():
                raise UserError(
                    f"{self.path}: expected finite logits, received NaN or infinity for {path}. "
                    "Train or export the model again."
                )
        probabilities = sigmoid(logits) if several else softmax(logits)
        for (path, _), row in zip(batch, probabilities, strict=True):
            count = (row > 0.5).sum() if several else 1
            order = np.argsort(-row, kind="stable")[: count if top_k is None else top_k]
            yield Prediction(
                str(path),
                tuple(self.metadata.labels[i] for i in order),
                tuple(float(row[i]) for i in order),
            )


def locate(target: str | os.PathLike) -> tuple[Path, Recipe | None]:
    """Finds the model file of a target, and the recipe of the run that it belongs to.

    Args:
        target: a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.
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
            f"{target}: expected a run folder (with recipe.json), a .keras, .tflite or .onnx "
            "file, or a SavedModel folder (with saved_model.pb)."
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


def open_keras(target: str | os.PathLike, lone: bool = False) -> tuple["keras.Model", Metadata]:  # noqa: F821
    """Loads the Keras model of a run folder or `.keras` file, with its metadata.

    Args:
        target: a run folder or a `.keras` file.
        lone: whether a file outside of a run folder is accepted; its classes are then numbered.
    """
    from keras_vit.models.keras_file import load_keras

    path, recipe = locate(target)
    if format_of(path) != "keras":
        raise UserError(f"{path}: expected a run folder or a .keras file.")
    with step(f"opening {path.name}"):
        model = load_keras(path)
    if lone and recipe is None:
        return model, _numbered(model, path)
    return model, metadata_of(target)


def labels_of(target: str | os.PathLike) -> tuple[str, ...] | None:
    """Class names of the run that a model belongs to; None where there is no run, or no class."""
    path, recipe = locate(target)
    file = path.parent / "labels.txt"
    if recipe is None or not file.exists():
        return None
    return tuple(read_text(file, follow=False).splitlines()) or None


def test_split(
    target: str | os.PathLike, source: str | None, data_dir: str | None = None
) -> tuple[str, tuple[str, ...], Split]:
    """Finds labelled images to measure a model on.

    Args:
        target: the model.
        source: where they are (see `keras_vit.data.load`); None, or the source that the model was
            trained on, is the test split of its run, as its `split.csv` recorded it.
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
    recorded = run_split(target, "test", source, data_dir)
    return recorded or (source, *load_for_test(source, data_dir))


def run_split(
    target: str | os.PathLike, name: str, source: str | None, data_dir: str | None = None
) -> tuple[str, tuple[str, ...], Split] | None:
    """Finds a split of the run that a model belongs to, as its `split.csv` recorded it.

    Args:
        target: the model.
        name: "train", "validation" or "test".
        source, data_dir: see `test_split`.

    Returns:
        See `test_split`; None when the model belongs to no run, or the source is not that of the
        run.
    """
    path, recipe = locate(target)
    if recipe is None or source not in (None, recipe.data.source):
        return None
    plan, run = recipe.data, _run_folder(path)
    data_dir = data_dir or plan.data_dir
    if (run / split_record.FILE).exists():
        metadata = metadata_of(target)
        split = split_record.read_split(
            run, name, plan.source, metadata.labels, metadata.task, data_dir
        )
        return plan.source, metadata.labels, split
    images = load(
        plan.source,
        data_dir,
        plan.test,
        plan.validation,
        plan.split_seed,
        plan.on_bad,
        decode=False,  # an image that breaks is named when it is read
    )
    return images.name, images.classes, getattr(images, name)


def training_split(target: str | os.PathLike, data_dir: str | None = None) -> Split | None:
    """The training images of a target's run; None for a file that does not stand in one."""
    recorded = run_split(target, "train", None, data_dir)
    return recorded and recorded[2]


def _recipe_of(path: Path) -> Recipe | None:
    folder = _run_folder(path)
    return None if folder is None else of_run(folder)


def _run_folder(path: Path) -> Path | None:
    """The run folder that a model file stands in, or in whose export/ it stands."""
    folders = (path.parent, path.parent.parent)
    return next((folder for folder in folders if (folder / "recipe.json").exists()), None)


def _metadata_beside(path: Path, recipe: Recipe | None) -> Metadata:
    """What a model file without metadata needs, from the run folder around it."""
    metadata, labels = path.parent / "metadata.json", path.parent / "labels.txt"
    if recipe is None or not labels.exists():
        raise UserError(
            f"{path}: nothing says its labels and input size. Expected it in a run folder with "
            "recipe.json and labels.txt, or a file that `keras-vit export` made."
        )
    names = tuple(read_text(labels, follow=False).splitlines())
    if not names:
        raise UserError(
            f"{path}: is an encoder that was trained without labels, and names no classes. Train a "
            f"head on it: keras-vit train DATA --init {path.parent}"
        )
    if os.path.lexists(metadata):
        return Metadata.parse(read_text(metadata, follow=False), metadata)
    return Metadata(
        recipe.name, names, recipe.model.image_size, recipe.model.channels, recipe.data.crop
    )


def _numbered(model: "keras.Model", path: Path) -> Metadata:  # noqa: F821
    print(visible(f"{path} stands in no run folder: its classes are numbered"), file=sys.stderr)
    _, height, width, channels = model.input.shape
    labels = tuple(map(str, range(model.output.shape[-1])))
    return Metadata(path.stem, labels, (height, width), channels)
