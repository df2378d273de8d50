# SPDX-License-Identifier: MIT
"""Pictures of a model rather than of an image: figure 7 of arXiv 2010.11929."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.analysis import (
    attention_distance,
    attention_maps,
    patch_filters,
    position_similarity,
)
from keras_vit.files import replacing
from keras_vit.models import config_of

_IMAGES = 16  # over which distances are averaged
_MAPS = 7  # rows and columns of similarity maps at most
_FILTERS = 28


def draw(kind: str, path: str | os.PathLike, model: Any, images: np.ndarray) -> Path:
    """Draws a picture of a model, as PNG.

    Args:
        kind: of `DRAWN`.
        path: the file to write.
        model: a model built by `keras_vit.vit`.
        images: `(batch, height, width, channels)`, 0 to 255; distances are those on the first 16.

    Raises:
        UserError: for a model that lacks what is to be drawn.
    """
    figure = DRAWN[kind](model, images)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def distances(model: Any, images: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean attention distance of every head, `(depth, heads)`, and of one that looks everywhere."""
    config = config_of(model)
    found = attention_distance(attention_maps(model, images[:_IMAGES]), config)
    level = np.full((1, 1, 1, config.num_tokens, config.num_tokens), 1 / config.num_tokens)
    return found, float(attention_distance(level, config)[0, 0])


def spread(side: int) -> np.ndarray:
    """At most seven places along a side."""
    return np.unique(np.linspace(0, side - 1, min(side, _MAPS)).round().astype(int))


def _distance(model: Any, images: np.ndarray) -> Any:
    """Mean attention distance of every head, by depth, and that of a head that looks everywhere."""
    from matplotlib.figure import Figure

    found, everywhere = distances(model, images)
    figure = Figure(figsize=(6.4, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    for block, heads in enumerate(found):
        axes.scatter(np.full(len(heads), block), heads, s=24, color="#0072b2", alpha=0.8)
    axes.axhline(everywhere, color="#d55e00", linestyle="--", linewidth=1)
    dashed = "dashed: looks at all patches alike"
    axes.set_title(dashed, fontsize=9, color="#b34a00", loc="right")
    axes.set_xlabel("block")
    axes.set_ylabel("mean attention distance of a head (pixels)")
    axes.set_ylim(bottom=0, top=1.15 * max(everywhere, float(found.max())))
    axes.set_xticks(range(len(found)))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _positions(model: Any, images: np.ndarray) -> Any:
    """For patches all over the image, how alike the positions of all patches are to theirs."""
    from matplotlib.figure import Figure

    similarity = position_similarity(model)
    rows, columns = (spread(side) for side in similarity.shape[:2])
    side = max(0.75, 2.5 / len(rows))  # inches of a map
    size = (side * len(columns) + 1.2, side * len(rows) + 0.6)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            panel = panels[i, j]
            drawn = panel.imshow(similarity[row, column], cmap="viridis", vmin=-1, vmax=1)
            panel.set_xticks([])
            panel.set_yticks([])
    bar = figure.colorbar(drawn, ax=panels.ravel().tolist(), fraction=0.04)
    bar.set_label("cosine", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle("similarity of positions", fontsize=10)
    return figure


def _filters(model: Any, images: np.ndarray) -> Any:
    """The first principal components of the patch projection."""
    from matplotlib.figure import Figure

    filters, shares = patch_filters(model, _FILTERS)
    columns = 7
    rows = -(-len(filters) // columns)
    figure = Figure(figsize=(6.4, 1.0 * rows + 0.5), dpi=100)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.5 / (rows + 0.5))
    for panel in panels:
        panel.set_axis_off()
    for panel, one, share in zip(panels, filters, shares, strict=False):
        low, high = one.min(), one.max()
        shown = (one - low) / max(high - low, 1e-12)
        grey = shown.shape[-1] != 3
        panel.imshow(shown.mean(axis=-1) if grey else shown, cmap="gray" if grey else None)
        panel.set_title(f"{share:.0%}", fontsize=7, pad=2)
    figure.suptitle("filters of the patch projection, and their share of the variance", fontsize=9)
    return figure


DRAWN: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "distance": _distance,
    "positions": _positions,
    "filters": _filters,
}
