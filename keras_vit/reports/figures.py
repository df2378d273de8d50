# SPDX-License-Identifier: MIT
"""Pictures of what a model looks at."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.files import replacing
from keras_vit.reports.samples import short
from keras_vit.reports.sights import TITLES, Sight

SHEET = 64  # images of a contact sheet
_COLUMNS = 8
# Blue and orange are told apart by the color-blind too, who get a sign besides.
_COLOURS = {None: "black", True: "#00507d", False: "#a34400"}
_SIGNS = {None: "", True: "✓ ", False: "✗ "}


def contact_sheet(path: str | os.PathLike, sights: Sequence[Sight]) -> Path:
    """Draws the map over each of the first 64 images, in rows of at most 8, as PNG.

    Args:
        path: the file to write.
        sights: what to draw, at least one.
    """
    from matplotlib.figure import Figure

    sights = sights[:SHEET]
    rows = -(-len(sights) // _COLUMNS)
    columns = -(-len(sights) // rows)
    figure = Figure(figsize=(1.6 * columns, 1.9 * rows), dpi=100)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    top = 1 - 0.3 / (1.9 * rows)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=top, hspace=0.25)
    for panel in panels:
        panel.set_axis_off()
    for panel, sight in zip(panels, sights, strict=False):
        _draw_both(panel, sight)
        title = f"{_SIGNS[sight.right]}{short(sight.predicted)} {sight.score:.0%}"
        if sight.right is False:
            title += f"\nis {short(str(sight.true))}"
        colour = _COLOURS[sight.right]
        panel.set_title(title, fontsize=8, pad=3, color=colour, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def map_figure(path: str | os.PathLike, sight: Sight) -> Path:
    """Draws an image, the map of its patches, and both over each other, as PNG.

    Args:
        path: the file to write.
        sight: what to draw.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.7), dpi=100)
    panels = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.01, right=0.93, bottom=0.02, top=0.78, wspace=0.05)
    titles = (sight.input, TITLES[sight.method], "both")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_xticks([])
        panel.set_yticks([])
    extent = _draw_image(panels[0], sight.image)
    # One cell is one patch, so it is not smoothed here.
    drawn = panels[1].imshow(sight.times_mean, extent=extent, cmap="magma", vmin=0)
    _draw_both(panels[2], sight)
    bar = figure.colorbar(drawn, ax=panels.tolist(), fraction=0.02, pad=0.01)
    bar.set_label("times the mean of all patches", fontsize=8)
    bar.ax.plot([0, 1], [1, 1], color="white", linewidth=2.5)  # the level of a map of equals
    bar.ax.plot([0, 1], [1, 1], color="black", linewidth=1)
    bar.ax.tick_params(labelsize=8)
    _head(figure, sight, 12, 0.98)
    figure.text(0.5, 0.875, sight.then, fontsize=9, ha="center", color="#444444", parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def heads_figure(path: str | os.PathLike, sight: Sight, heads: np.ndarray) -> Path:
    """Draws an image and the attention of each head to its patches, as PNG.

    Args:
        path: the file to write.
        sight: the image, and what the model says of it.
        heads: float `(heads, rows, columns)`.
    """
    from matplotlib.figure import Figure

    rows = -(-(len(heads) + 1) // _COLUMNS)
    columns = -(-(len(heads) + 1) // rows)
    figure = Figure(figsize=(max(4.8, 1.6 * columns), 1.8 * rows + 0.5), dpi=100)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    top = 1 - 0.65 / (1.8 * rows + 0.5)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=top, wspace=0.05, hspace=0.2)
    for panel in panels:
        panel.set_axis_off()
    extent = _draw_image(panels[0], sight.image)
    panels[0].set_title("input", fontsize=8, pad=3)
    for number, (panel, head) in enumerate(zip(panels[1:], heads, strict=False), 1):
        panel.imshow(head, extent=extent, cmap="magma", vmin=0)
        panel.set_title(f"head {number}", fontsize=8, pad=3)
    _head(figure, sight, 10, 0.98)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def _head(figure, sight: Sight, size: int, y: float) -> None:
    """Writes what the model said over a figure."""
    title = f"{_SIGNS[sight.right]}{sight.title}"
    figure.suptitle(title, fontsize=size, color=_COLOURS[sight.right], y=y, parse_math=False)


def _draw_image(panel, image: np.ndarray) -> tuple[int, int, int, int]:
    """Draws an image and returns its extent."""
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    pixels = np.clip(np.round(image), 0, 255).astype("uint8")
    colours = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    panel.imshow(pixels[..., 0] if image.shape[-1] == 1 else pixels, extent=extent, **colours)
    return extent


def _draw_both(panel, sight: Sight) -> None:
    """Draws an image, and the map of its patches over it."""
    extent = _draw_image(panel, sight.image)
    colours = {"cmap": "magma", "vmin": 0, "alpha": 0.55}
    panel.imshow(sight.times_mean, extent=extent, interpolation="bilinear", **colours)
