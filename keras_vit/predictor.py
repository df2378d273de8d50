# SPDX-License-Identifier: MIT
"""A trained model of any format, from image files to named classes.

A `.tflite` or `.onnx` file is used without importing TensorFlow or Keras.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, overload

import numpy as np

from keras_vit import hardware
from keras_vit.data.dataset import Split, split_batches
from keras_vit.data.inputs import check_several, is_one_image, name_of, read_any
from keras_vit.errors import UserError
from keras_vit.evaluation import sigmoid, softmax, summarize, summarize_multilabel
from keras_vit.export.metadata import Metadata
from keras_vit.export.runner import OpenModel, Runner, check_path, open_runner
from keras_vit.export.worker import Worker
from keras_vit.model_file import ModelFile
from keras_vit.progress import step
from keras_vit.threads import map_in_threads

_BATCH_BYTES = 500_000_000  # of pixels in a batch; the next one is read meanwhile


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
        runner: from pixels to logits.
        metadata: labels, input size and cropping.
        path: the file or folder that was opened.
    """

    runner: Runner
    metadata: Metadata
    path: Path

    @classmethod
    def open(
        cls,
        target: str | os.PathLike | ModelFile,
        unsafe: bool = False,
        runtime: str | None = None,
    ) -> "Predictor":
        """Opens a run folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.

        All but `.keras` files run in a process of their own, see `keras_vit.export.Worker`.

        Args:
            target: what to open; see `ModelFile.find`.
            unsafe: whether a SavedModel is run even if it is a program: it may then do all that
                the user may.
            runtime: what runs it, see `ModelFile.find`.

        Raises:
            UserError: for anything else, saying what was expected, and for a file that is damaged
                or whose metadata are those of another model.
        """
        file = ModelFile.find(target, runtime)
        check_path(file.path)
        with step(f"opening {file.path.name}"):
            in_keras = file.needs_keras
            if in_keras:
                runner: OpenModel | Worker = open_runner(file.path)
            else:
                runner = Worker(file.path, hardware.threads(), unsafe=unsafe, runtime=file.runtime)
        metadata = file.metadata(runner.metadata if file.format == "onnx" else None)
        size = (*metadata.image_size, metadata.channels)
        takes = runner.input_shape[1:]
        if any(a not in (None, b) for a, b in zip(takes, size, strict=True)):
            raise UserError(
                f"{file.path}: takes images of shape {takes}, and its metadata say {size}. Export "
                "it again."
            )
        return cls(runner, metadata, file.path)

    @overload
    def predict(
        self, images: str | os.PathLike, top_k: int | None = None, batch_size: int = 32
    ) -> Prediction: ...
    @overload
    def predict(
        self, images: list | tuple | Iterator, top_k: int | None = None, batch_size: int = 32
    ) -> Iterator[Prediction]: ...
    @overload  # an array is one image or several
    def predict(self, images: Any, top_k: int | None = None, batch_size: int = 32) -> Any: ...
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
        with contextlib.closing(map_in_threads(self._read, enumerate(images), batch_size)) as found:
            for name, pixels in found:
                broken = isinstance(pixels, UserError)
                if not broken:
                    batch.append((name, pixels))
                if broken or len(batch) == batch_size:
                    yield from self._classify(batch, top_k)
                    batch = []
                if broken:
                    yield Prediction(name, error=str(pixels))
        yield from self._classify(batch, top_k)

    def _read(self, numbered: tuple[int, Any]) -> tuple[str, np.ndarray | UserError]:
        """The name of an image, and its pixels or what is wrong with it."""
        place, image = numbered
        name = name_of(image, place)
        try:
            return name, self.read(image, name)
        except UserError as error:
            return name, error

    def read(self, image: Any, name: str = "image") -> np.ndarray:
        """Reads an image as this model wants it: float32 `(height, width, channels)`.

        Args:
            image: see `predict`.
            name: what to call an image in memory in an error.
        """
        return read_any(image, name, self.metadata.preprocessing)

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
        return self.summary(split, self.logits(split, batch_size))

    def summary(self, split: Split, logits: np.ndarray) -> dict:
        """What `evaluate` returns, of logits `(n, classes)` that are there already."""
        measure = summarize if self.metadata.task == "single" else summarize_multilabel
        return measure(logits, split.labels, self.metadata.labels)

    def logits(self, split: Split, batch_size: int = 64) -> np.ndarray:
        """Logits of a split, float32 `(n, classes)`; see `evaluate`."""
        preprocessing, doing = self.metadata.preprocessing, f"testing {self.path.name}"
        batches = split_batches(split, preprocessing, self._batch_size(batch_size), doing)
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
        logits, labels = self.runner(pixels), self.metadata.labels
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
