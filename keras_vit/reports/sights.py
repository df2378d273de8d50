# SPDX-License-Identifier: MIT
"""What a model makes of images, before anything is drawn."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import keras

TITLES = {
    "attention": "attention of the last block",
    "rollout": "attention rollout",
    "relevance": "relevance for the prediction",
    "legrad": "LeGrad for the prediction",
    "gradient": "gradient times input",
}


class Sight(NamedTuple):
    """An image and what a model makes of it.

    Attributes:
        image: as it is drawn, `(height, width, channels)`, 0 to 255.
        map: float `(rows, columns)` over the grid of patches, at least 0.
        predicted: name of the predicted class.
        score: its probability, 0 to 1.
        true: name of the true class, where it is known.
        method: by which the map was made, of `keras_vit.analysis.explain`.
        others: the next classes and their probabilities.
        seen: height and width in which the model sees the image; None for those of `image`.
    """

    image: np.ndarray
    map: np.ndarray
    predicted: str
    score: float
    true: str | None = None
    method: str = "attention"
    others: tuple[tuple[str, float], ...] = ()
    seen: tuple[int, int] | None = None

    @property
    def right(self) -> bool | None:
        """Whether the model is right, where that is known."""
        return None if self.true is None else self.true == self.predicted

    @property
    def title(self) -> str:
        """What the model said, and what is true."""
        mark = "" if self.true is None else f"     true: {self.true}"
        return f"predicted: {self.predicted} ({self.score:.0%}){mark}"

    @property
    def then(self) -> str:
        """The next classes, in words."""
        named = ", ".join(f"{name} ({score:.0%})" for name, score in self.others)
        return f"then {named}" if named else ""

    @property
    def input(self) -> str:
        """What the image is called."""
        if self.seen is None or self.image.shape[:2] == tuple(self.seen):
            return "input"
        return f"input; the model sees {self.seen[1]} x {self.seen[0]} pixels"

    @property
    def times_mean(self) -> np.ndarray:
        """The map in multiples of its mean, which is what each patch of a level map has."""
        mean = float(self.map.mean())
        return self.map / mean if mean > 0 else np.zeros_like(self.map)


@dataclasses.dataclass(frozen=True)
class Explained:
    """What is to be drawn.

    Attributes:
        title: what the model is called.
        model: a model built by `keras_vit.vit`.
        images: as the model sees them, `(batch, height, width, channels)`, 0 to 255.
        names: of the images.
        sights: for each method of explanation one for each image.
        verdicts: how each method did in the exam, in words.
        heads: of each image what each head attends to, `(heads, rows, columns)`, with their mean.
        of_the_model: of `keras_vit.reports.model_figures.DRAWN`.
    """

    title: str
    model: "keras.Model"
    images: np.ndarray
    names: Sequence[str]
    sights: Mapping[str, Sequence[Sight]]
    verdicts: Mapping[str, str]
    heads: Sequence[tuple[Sight, np.ndarray]]
    of_the_model: Sequence[str]
