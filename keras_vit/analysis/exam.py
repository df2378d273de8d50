# SPDX-License-Identifier: MIT
"""Which explanation to believe: patches that are said to matter are taken away, and put back.

Deletion and insertion curves after arXiv 1806.07421, section 3.2, with patches instead of pixels,
beside two maps that know nothing of the model: chance, and the center of the image, where
photographers put things.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from keras_vit.analysis.explanations import METHODS, explain
from keras_vit.models import config_of

REFERENCES = ("center", "random")  # maps that know nothing of the model
_CERTAIN = 2.0  # standard errors
_VALUES = 2**24  # of pixels that the model is given at once: 64 MB


@dataclasses.dataclass(frozen=True)
class Grade:
    """How a method did on some images.

    Attributes:
        method: its name.
        deletion: mean probability of the class while patches are taken away, the most important
            first, 0 to 1; lower is better.
        insertion: mean probability while they are put back in the same order; higher is better.
        advantage: how much larger insertion minus deletion is than that of chance.
        error: standard error of the advantage, over images.
    """

    method: str
    deletion: float
    insertion: float
    advantage: float
    error: float

    @property
    def score(self) -> float:
        """Insertion minus deletion, -1 to 1."""
        return self.insertion - self.deletion

    @property
    def beats_chance(self) -> bool:
        """Whether the advantage is larger than two of its standard errors."""
        return self.advantage > _CERTAIN * self.error


def examine(
    model: keras.Model,
    images: np.ndarray,
    classes: Sequence[int] | np.ndarray | None = None,
    methods: Sequence[str] = (*METHODS, *REFERENCES),
    steps: int = 16,
    draws: int = 4,
    seed: int = 0,
) -> dict[str, Grade]:
    """Grades methods of explanation on a model.

    Args:
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255; about 30 tell methods apart.
        classes: a class for each image; by default the one that the model predicts.
        methods: of `METHODS` and `REFERENCES`.
        steps: how often the probability is looked at while patches go.
        draws: random orders of which chance is the mean.
        seed: of these orders.

    Returns:
        Grades by name, the best score first.
    """
    images = np.asarray(images, "float32")
    if classes is None:
        classes = np.argmax(_probabilities(model, images), axis=1)
    labels, grid = np.asarray(classes, int), config_of(model).grid
    rng = np.random.default_rng(seed)
    chances = [rng.random((len(images), *grid)) for _ in range(draws)]
    chance = np.mean([areas(model, images, m, labels, steps) for m in chances], axis=0)  # (2, B)
    grades = []
    for method in methods:
        if method == "random":
            found = chance
        else:
            center = method == "center"
            maps = (
                center_map(len(images), grid) if center else explain(model, images, labels, method)
            )
            found = areas(model, images, maps, labels, steps)
        grades.append(_grade(method, found, chance))
    return {grade.method: grade for grade in sorted(grades, key=lambda g: -g.score)}


def areas(
    model: keras.Model, images: np.ndarray, maps: np.ndarray, classes: np.ndarray, steps: int = 16
) -> np.ndarray:
    """Areas under the curves of deletion and of insertion.

    What is taken away is filled with the mean color of the image.

    Args:
        model: a model with classes.
        images: float `(batch, height, width, channels)`, 0 to 255.
        maps: `(batch, rows, columns)`, larger where a patch matters more.
        classes: int `(batch,)`.
        steps: parts of equal size in which the patches go.

    Returns:
        float64 `(2, batch)`: deletion, insertion.
    """
    batch, patches = len(images), maps[0].size
    # Rank of each patch, 0 for the one that matters most; ties are broken by reading order.
    order = np.argsort(-maps.reshape(batch, -1), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1).reshape(maps.shape)
    fill = images.mean(axis=(1, 2), keepdims=True)
    gone = [ranks < round(step / steps * patches) for step in range(steps + 1)]
    kept = np.concatenate([np.logical_not(gone), gone])  # (2 * steps + 2, B, rows, columns)
    parts = min(len(kept), -(-len(kept) * images.size // _VALUES))
    curves = []
    for part in np.array_split(kept, parts):  # as many as are worth a call of the model
        shown = np.where(_of_pixels(part, images.shape), images, fill)  # (part, B, H, W, C)
        found = _probabilities(model, shown.reshape(-1, *images.shape[1:]))
        curves.append(found.reshape(len(part), batch, -1)[:, np.arange(batch), classes])
    both = np.concatenate(curves).reshape(2, steps + 1, batch)
    return np.asarray(np.trapezoid(both, dx=1 / steps, axis=1))


def center_map(count: int, grid: tuple[int, int]) -> np.ndarray:
    """A map that is larger towards the center of the image: `(count, rows, columns)`."""
    y, x = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in grid)
    return np.broadcast_to(2 - np.hypot(y[:, None], x), (count, *grid))


def pointing(maps: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Whether the patch that matters most shows the object (the pointing game, arXiv 1608.00507).

    Args:
        maps: `(batch, rows, columns)`.
        objects: bool `(batch, height, width)`: the pixels of the object.

    Returns:
        bool `(batch,)`.
    """
    batch, rows, columns = maps.shape
    height, width = objects.shape[1] // rows, objects.shape[2] // columns
    cells = objects.reshape(batch, rows, height, columns, width).any(axis=(2, 4))
    return cells.reshape(batch, -1)[np.arange(batch), maps.reshape(batch, -1).argmax(axis=1)]


def best(grades: Mapping[str, Grade]) -> Grade:
    """The best grade of a method that explains, not of a reference."""
    return max(
        (grade for grade in grades.values() if grade.method not in REFERENCES),
        key=lambda grade: grade.score,
    )


def _grade(method: str, found: np.ndarray, chance: np.ndarray) -> Grade:
    deletion, insertion = found
    ahead = (insertion - deletion) - (chance[1] - chance[0])  # (B,)
    error = ahead.std(ddof=1) / np.sqrt(len(ahead)) if len(ahead) > 1 else np.inf
    return Grade(
        method, float(deletion.mean()), float(insertion.mean()), float(ahead.mean()), float(error)
    )


def _of_pixels(cells: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Masks of patches, `(..., rows, columns)`, as those of pixels, `(..., height, width, 1)`."""
    height, width = shape[1] // cells.shape[-2], shape[2] // cells.shape[-1]
    return cells.repeat(height, axis=-2).repeat(width, axis=-1)[..., None]


def _probabilities(model: keras.Model, images: np.ndarray) -> np.ndarray:
    logits = np.asarray(ops.convert_to_numpy(model(images, training=False)), "float64")
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
