# SPDX-License-Identifier: MIT
"""The confusion matrix of a page: a table that is read, or a picture where it has many classes."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_vit.reports.page.pictures import png

_READ = 30  # classes up to which counts are read
_SIDE = 720  # pixels of a picture, about
_LARGEST, _SMALLEST = 10, 1  # pixels of the side of a cell
# Of the color-blind-safe palette of Okabe and Ito, seen on white and on black.
_RIGHT, _WRONG = (0, 114, 178), (213, 94, 0)
_FAINTEST = 70  # opacity, of 255, of a single image


class Cell(NamedTuple):
    """How many images of a class were given a class.

    Attributes:
        images: how many.
        share: of the images of the class, 0 to 1.
        own: whether it is the right one.
    """

    images: int
    share: float
    own: bool


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Classes of which there are images, by the classes that they were given.

    Attributes:
        columns: classes that images have or were given.
        rows: classes of which there are images, each with its cells; empty where there is a
            picture instead.
        picture: data URI; "" where there are rows.
        size: numbers of rows and columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    picture: str
    size: tuple[int, int]


def matrix_of(summary: dict[str, Any]) -> Matrix:
    """The matrix of what `keras_vit.evaluation.summarize` returns."""
    counts = np.asarray(summary["confusion_matrix"])  # (true classes, predicted classes)
    names = [row["class"] for row in summary["per_class"]]
    support = counts.sum(axis=1)
    down = np.flatnonzero(support)
    across = np.flatnonzero(support + counts.sum(axis=0))
    counts = counts[np.ix_(down, across)]
    shares = counts / support[down, None]
    own = down[:, None] == across[None, :]
    columns = tuple(names[place] for place in across)
    if max(counts.shape) > _READ:
        return Matrix(columns, (), _picture(shares, own), counts.shape)
    rows = tuple(
        (names[place], tuple(map(Cell, *line)))
        for place, *line in zip(down, counts.tolist(), shares.tolist(), own.tolist(), strict=True)
    )
    return Matrix(columns, rows, "", counts.shape)


def _picture(shares: np.ndarray, own: np.ndarray) -> str:
    """Cells in two colors, as opaque as their share; what is empty is transparent.

    Args:
        shares: float `(rows, columns)`, 0 to 1.
        own: bool of the same shape, whether a cell is one of right answers.
    """
    opacity = np.where(shares > 0, _FAINTEST + (255 - _FAINTEST) * shares, 0)
    colors = np.where(own[..., None], _RIGHT, _WRONG)
    pixels = np.concatenate([colors, opacity[..., None]], axis=-1).astype("uint8")
    side = int(np.clip(_SIDE // max(shares.shape), _SMALLEST, _LARGEST))
    return png(Image.fromarray(pixels.repeat(side, axis=0).repeat(side, axis=1)))
