# SPDX-License-Identifier: MIT
"""Pictures of what a model looks at."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_vit.files import replacing
from keras_vit.reports.samples import short

SHEET = 64  # images of a contact sheet
_COLUMNS = 8


class Sight(NamedTuple):
    """An image and what a model makes of it.

    Attributes:
        image: `(height, width, channels)`, 0 to 255.
        attention: float `(rows, columns)` over the grid of patches, 0 to 1.
        predicted: name of the predicted class.
        score: its probability, 0 to 1.
        true: name of the true class, where it is known.
    """

    image: np.ndarray
    attention: np.ndarray
    predicted: str
    score: float
    true: str | None = None

    @property
    def colour(self) -> str:
        """Of the title: green where the model is right, red where it is wrong."""
        if self.true is None:
            return "black"
        return "darkgreen" if self.true == self.predicted else "firebrick"


def contact_sheet(path: str | os.PathLike, sights: Sequence[Sight]) -> Path:
    """Draws the attention over each of the first 64 images, in rows of 8, as PNG.

    Args:
        path: the file to write.
        sights: what to draw, at least one.
    """
    from matplotlib.figure import Figure

    sights = sights[:SHEET]
    rows = -(-len(sights) // _COLUMNS)
    figure = Figure(figsize=(1.6 * _COLUMNS, 1.9 * rows), dpi=100)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.25 / rows, hspace=0.25)
    for panel in panels:
        panel.set_axis_off()
    for panel, sight in zip(panels, sights, strict=False):
        _draw_both(panel, sight)
        title = f"{short(sight.predicted)} {sight.score:.0%}"
        panel.set_title(title, fontsize=8, pad=3, color=sight.colour, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def attention_figure(path: str | os.PathLike, sight: Sight) -> Path:
    """Draws an image, the attention to its patches, and both over each other, as PNG.

    Args:
        path: the file to write.
        sight: what to draw.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.7), dpi=100)
    panels = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.01, right=0.93, bottom=0.02, top=0.8, wspace=0.05)
    for panel, title in zip(panels, ("input", "attention of the last block", "both"), strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_xticks([])
        panel.set_yticks([])
    extent = _draw_image(panels[0], sight.image)
    # Share of the attention that goes to patches; one cell is one patch, so it is not smoothed
    # here.
    drawn = panels[1].imshow(100 * sight.attention, extent=extent, cmap="magma", vmin=0)
    _draw_both(panels[2], sight)
    bar = figure.colorbar(drawn, ax=panels.tolist(), fraction=0.02, pad=0.01)
    bar.set_label("% of the attention", fontsize=8)
    bar.ax.tick_params(labelsize=8)

    text = f"predicted: {sight.predicted} ({sight.score:.0%})"
    if sight.true is not None:
        text += f"     true: {sight.true}"
    figure.suptitle(text, fontsize=12, color=sight.colour, y=0.97, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def _draw_image(panel, image: np.ndarray) -> tuple[int, int, int, int]:
    """Draws an image and returns its extent."""
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    pixels = np.clip(np.round(image), 0, 255).astype("uint8")
    colours = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    panel.imshow(pixels[..., 0] if image.shape[-1] == 1 else pixels, extent=extent, **colours)
    return extent


def _draw_both(panel, sight: Sight) -> None:
    """Draws an image, and the attention to its patches over it."""
    extent = _draw_image(panel, sight.image)
    colours = {"cmap": "magma", "vmin": 0, "alpha": 0.55}
    panel.imshow(sight.attention, extent=extent, interpolation="bilinear", **colours)
