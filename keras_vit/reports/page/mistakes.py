# SPDX-License-Identifier: MIT
"""What a model is wrong about: the worst mistakes with their maps, and classes taken for others."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.evaluation import predicted_classes
from keras_vit.reports.page.pictures import map_over, picture
from keras_vit.reports.page.tested import Tested

if TYPE_CHECKING:
    import keras

_WORST = 12  # mistakes that are shown
_PAIRS, _EXAMPLES = 6, 4  # pairs of classes, and images of each


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image that the model is wrong about.

    Attributes:
        file: what the image is called.
        image, map: data URIs; the map lies over the image, and is "" where there is none.
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


def mistakes_of(tested: Tested, operations: float) -> tuple[tuple[Mistake, ...], int, str]:
    """What a model is wrong about.

    Args:
        tested: the model and the images.
        operations: floating-point operations that choosing the maps may take.

    Returns:
        The worst mistakes, how many there are, and by which method their maps were made.
    """
    order, classes = _worst(tested)
    images = tested.pixels(order[:_WORST])
    maps, explained = _maps(tested.model, images, classes[: len(images)], operations)
    shown = zip(order[:_WORST].tolist(), classes.tolist(), images, maps, strict=False)
    mistakes = tuple(
        Mistake(
            tested.name(place),
            picture(image),
            "" if found is None else map_over(image, found),
            f"{tested.labels[wrong]} ({tested.probabilities[place, wrong]:.0%})",
            _true(tested.labels, tested.split.labels[place]),
        )
        for place, wrong, image, found in shown
    )
    return mistakes, len(order), explained


def pairs_of(tested: Tested, summary: dict[str, Any]) -> tuple[Pair, ...]:
    """The classes that are taken for each other most often; `summary` is that of the answers."""
    true = tested.split.labels
    predicted = predicted_classes(tested.logits, true)
    places_of = {name: place for place, name in enumerate(tested.labels)}
    found = []
    for row in summary["most_confused"][:_PAIRS]:
        actual, taken = places_of[row["actual"]], places_of[row["predicted"]]
        places = np.flatnonzero((true == actual) & (predicted == taken))
        # The surest first.
        places = places[np.argsort(-tested.probabilities[places, taken], kind="stable")][:_EXAMPLES]
        images = map(picture, tested.pixels(places))
        examples = tuple(zip(images, map(tested.name, places.tolist()), strict=True))
        found.append(Pair(**row, examples=examples))
    return tuple(found)


def _worst(tested: Tested) -> tuple[np.ndarray, np.ndarray]:
    """Places of the images that a model is wrong about, the surest mistake first, and for each the
    class that it is most wrong about."""
    labels, probabilities = tested.split.labels, tested.probabilities
    rows = np.arange(len(labels))
    if tested.several:
        gaps = np.abs(probabilities - labels)
        wrong = gaps.argmax(axis=1)
        badness = gaps[rows, wrong]
        mistaken = badness > 0.5
    else:
        wrong = predicted_classes(tested.logits, labels)
        badness = probabilities[rows, wrong]
        mistaken = wrong != labels
    order = np.argsort(-badness, kind="stable")
    order = order[mistaken[order]]
    return order, wrong[order]


def _maps(
    model: "keras.Model | None", images: np.ndarray, classes: np.ndarray, operations: float
) -> tuple[Sequence[np.ndarray | None], str]:
    """Maps `(rows, columns)` by the method that passes the exam best, and how it did; None for each
    image where there is no model to make them with."""
    if model is None or not len(images):
        return [None] * len(images), ""
    from keras_vit.analysis import explain
    from keras_vit.analysis.exam import best
    from keras_vit.analysis.explanations import METHODS
    from keras_vit.reports.grading import LEAST, UNEXAMINED, graded, verdict

    grades, count = graded(model, images, classes, tuple(METHODS), operations)
    if not grades:
        few = len(images) < LEAST
        reason = f"{LEAST} mistakes are needed for that" if few else "that would take too long here"
        method, words = UNEXAMINED, f"not examined, as {reason}"
    else:
        grade = best(grades)
        method, words = grade.method, verdict(grade, grades, count)
    return list(explain(model, images, classes, method)), f"{method}: {words}"


def _true(labels: Sequence[str], label: np.ndarray) -> str:
    if not np.ndim(label):
        return labels[int(label)]
    return ", ".join(labels[int(place)] for place in np.flatnonzero(label)) or "none"
