# SPDX-License-Identifier: MIT
"""What a model makes of the test images of its run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.data.dataset import Split, split_batches
from keras_vit.errors import UserError
from keras_vit.evaluation import sigmoid, softmax, summarize, summarize_multilabel
from keras_vit.reports.page.pictures import map_over, picture
from keras_vit.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

_BATCH = 64  # images in memory at a time
_WORST = 12  # mistakes that are shown
_PAIRS, _EXAMPLES = 6, 4  # pairs of classes, and images of each


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image that the model is wrong about.

    Attributes:
        file: what the image is called.
        image, map: data URIs; the map lies over the image.
        said, true: in words.
    """

    file: str
    image: str
    map: str
    said: str
    true: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """A class that is taken for another.

    Attributes:
        actual, predicted: names.
        count, share: how many images, and of how many of the class, 0 to 1.
        examples: data URIs and names of some of them.
    """

    actual: str
    predicted: str
    count: int
    share: float
    examples: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Answers:
    """A model on its test images.

    Attributes:
        summary: see `keras_vit.evaluation.summarize` and `summarize_multilabel`.
        pairs: the most confused, most frequent first.
        mistakes: the worst first.
        mistaken: how many there are.
        explained: by which method maps were made, and how it did in the exam, in words.
    """

    summary: dict[str, Any]
    pairs: tuple[Pair, ...]
    mistakes: tuple[Mistake, ...]
    mistaken: int
    explained: str


def answers_of(run: RunFolder, model: "keras.Model", operations: float) -> Answers:
    """Has a model answer.

    Args:
        run: whose test images.
        model: a float32 model with classes.
        operations: floating-point operations that choosing the maps may take.

    Raises:
        UserError: when the images are gone, or an answer is not finite.
    """
    _, labels, split = run.split("test")
    logits = _logits(run, model, split)
    if not np.isfinite(logits).all():
        raise UserError("the model answers NaN or infinity to some test images")
    several = split.labels.ndim == 2
    summary = (summarize_multilabel if several else summarize)(logits, split.labels, labels)
    probabilities = (sigmoid if several else softmax)(logits.astype("float64"))
    order, classes = _worst(probabilities, split.labels)
    images = _pixels(run, split, order[:_WORST])
    found, explained = _maps(model, images, classes[: len(images)], operations)
    mistakes = tuple(
        Mistake(
            Path(split.name_of(i)).name,
            picture(image),
            map_over(image, one),
            _said(labels, probabilities[i], wrong),
            _true(labels, split.labels[i]),
        )
        for i, wrong, image, one in zip(
            order[:_WORST].tolist(), classes.tolist(), images, found, strict=False
        )
    )
    pairs = () if several else _pairs(run, split, labels, probabilities, summary)
    return Answers(summary, pairs, mistakes, len(order), explained)


def _logits(run: RunFolder, model: "keras.Model", split: Split) -> np.ndarray:
    """Logits `(n, classes)`. The model is called, not compiled: a graph would take seconds."""
    from keras import ops

    batches = split_batches(split, run.metadata.preprocessing, _BATCH, "looking for mistakes")
    return np.concatenate([ops.convert_to_numpy(model(x, training=False)) for x in batches])


def _pixels(run: RunFolder, split: Split, places: np.ndarray) -> np.ndarray:
    """Float images `(n, height, width, channels)` as the model sees them."""
    part = split.take(places)
    if not len(part):
        return np.empty((0, 1, 1, 1), "float32")
    return np.concatenate(list(split_batches(part, run.metadata.preprocessing, _BATCH)))


def _worst(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the images that a model is wrong about, the surest mistake first, and for each the
    class that it is most wrong about."""
    rows = np.arange(len(labels))
    if labels.ndim == 2:
        gaps = np.abs(probabilities - labels)
        wrong = gaps.argmax(axis=1)
        badness = gaps[rows, wrong]
        mistaken = badness > 0.5
    else:
        wrong = probabilities.argmax(axis=1)
        badness = probabilities[rows, wrong]
        mistaken = wrong != labels
    order = np.argsort(-badness, kind="stable")
    order = order[mistaken[order]]
    return order, wrong[order]


def _maps(
    model: "keras.Model", images: np.ndarray, classes: np.ndarray, operations: float
) -> tuple[np.ndarray, str]:
    """Maps `(n, rows, columns)` by the method that passes the exam best, and how it did."""
    if not len(images):
        return np.empty((0, 1, 1)), ""
    from keras_vit.analysis import explain
    from keras_vit.analysis.exam import best
    from keras_vit.analysis.explanations import METHODS
    from keras_vit.reports.grading import UNEXAMINED, graded, verdict

    grades, count = graded(model, images, classes, tuple(METHODS), operations)
    if not grades:
        words = "not examined, as that would take long beside so short a training"
        return explain(model, images, classes, UNEXAMINED), f"{UNEXAMINED}: {words}"
    grade = best(grades)
    return explain(model, images, classes, grade.method), f"{grade.method}: {verdict(grade, count)}"


def _said(labels: Sequence[str], probabilities: np.ndarray, wrong: int) -> str:
    return f"{labels[wrong]} ({probabilities[wrong]:.0%})"


def _true(labels: Sequence[str], label: np.ndarray) -> str:
    if not np.ndim(label):
        return labels[int(label)]
    return ", ".join(labels[int(place)] for place in np.flatnonzero(label)) or "none"


def _pairs(
    run: RunFolder,
    split: Split,
    labels: Sequence[str],
    probabilities: np.ndarray,
    summary: dict[str, Any],
) -> tuple[Pair, ...]:
    predicted = probabilities.argmax(axis=1)
    found = []
    for row in summary["most_confused"][:_PAIRS]:
        actual, taken = labels.index(row["actual"]), labels.index(row["predicted"])
        places = np.flatnonzero((split.labels == actual) & (predicted == taken))
        # The surest first.
        places = places[np.argsort(-probabilities[places, taken], kind="stable")][:_EXAMPLES]
        names = (Path(split.name_of(i)).name for i in places.tolist())
        images = map(picture, _pixels(run, split, places))
        examples = tuple(zip(images, names, strict=True))
        found.append(Pair(**row, examples=examples))
    return tuple(found)
