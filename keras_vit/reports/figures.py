# SPDX-License-Identifier: MIT
"""Pictures of what a model looks at."""

import os
from pathlib import Path

import numpy as np

from keras_vit.files import replacing


def attention_figure(
    path: str | os.PathLike,
    image: np.ndarray,
    attention: np.ndarray,
    predicted: str,
    score: float,
    true: str | None = None,
) -> Path:
    """Draws an image, the attention to its patches, and both over each other, as PNG.

    Args:
        path: the file to write.
        image: `(height, width, channels)`, 0 to 255.
        attention: float `(rows, columns)` over the grid of patches, 0 to 1.
        predicted: name of the predicted class.
        score: its probability, 0 to 1.
        true: name of the true class, where it is known.
    """
    from matplotlib.figure import Figure

    height, width = image.shape[:2]
    colours = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    pixels = np.clip(np.round(image), 0, 255).astype("uint8")
    pixels = pixels[..., 0] if image.shape[-1] == 1 else pixels
    extent = (0, width, height, 0)

    figure = Figure(figsize=(9.6, 3.7), dpi=100)
    panels = figure.subplots(1, 3)
    figure.subplots_adjust(left=0.01, right=0.93, bottom=0.02, top=0.8, wspace=0.05)
    for panel, title in zip(panels, ("input", "attention of the last block", "both"), strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_xticks([])
        panel.set_yticks([])
    panels[0].imshow(pixels, extent=extent, **colours)
    # Share of the attention that goes to patches; one cell is one patch, so it is not smoothed
    # here.
    drawn = panels[1].imshow(100 * attention, extent=extent, cmap="magma", vmin=0)
    panels[2].imshow(pixels, extent=extent, **colours)
    panels[2].imshow(
        attention, extent=extent, cmap="magma", vmin=0, alpha=0.55, interpolation="bilinear"
    )
    bar = figure.colorbar(drawn, ax=panels.tolist(), fraction=0.02, pad=0.01)
    bar.set_label("% of the attention", fontsize=8)
    bar.ax.tick_params(labelsize=8)

    text, colour = f"predicted: {predicted} ({score:.0%})", "black"
    if true is not None:
        text += f"     true: {true}"
        colour = "darkgreen" if true == predicted else "firebrick"
    figure.suptitle(text, fontsize=12, color=colour, y=0.97, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)
