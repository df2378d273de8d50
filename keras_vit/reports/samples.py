# SPDX-License-Identifier: MIT
"""The images that a model is trained on, after their augmentation, with their labels."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.files import replacing

_COLUMNS, _ROWS = 8, 4


def draw_samples(
    path: str | os.PathLike, images: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> Path:
    """Draws the first 32 images of a batch as a grid.

    Args:
        path: the file to write, `.jpg` or `.png`.
        images: `(batch, height, width, channels)`, 0 to 255.
        labels: `(batch, classes)`, one-hot or shares.
        classes: their names.
    """
    from matplotlib.figure import Figure

    count = min(len(images), _COLUMNS * _ROWS)
    rows = -(-count // _COLUMNS)
    figure = Figure(figsize=(1.5 * _COLUMNS, 1.75 * rows), dpi=100)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.22 / rows, hspace=0.25)
    pixels = np.clip(np.round(images[:count]), 0, 255).astype("uint8")
    for panel in panels:
        panel.set_axis_off()
    for panel, image, label in zip(panels, pixels, labels, strict=False):
        panel.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, "gray", vmin=0, vmax=255)
        panel.set_title(label_text(label, classes), fontsize=8, pad=3, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def label_text(label: np.ndarray, classes: Sequence[str]) -> str:
    """The classes of a label, the larger share first: "cat", or "80% cat + 20% dog"."""
    shares = [i for i in np.argsort(-label, kind="stable")[:2] if label[i] > 0]
    names = [short(classes[i]) for i in shares]
    if len(shares) == 1:
        return names[0]
    return " + ".join(f"{label[i]:.0%} {name}" for name, i in zip(names, shares, strict=True))


def short(name: str) -> str:
    """A name that fits over a small picture."""
    return name if len(name) <= 12 else f"{name[:11]}…"
