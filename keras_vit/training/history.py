# SPDX-License-Identifier: MIT
"""The log of a run, as a table and as a picture."""

import csv
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

from keras_vit.files import replacing, write_text
from keras_vit.untrusted.reading import read_text

# What a log may hold beside the loss: with one class to an image, with several.
SCORES = ("accuracy", "average_precision")


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Writes one row for each epoch as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if isinstance(v, int) else f"{v:.6g}" for k, v in row.items()})
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[dict[str, float]]:
    """Reads it back; every value as float."""
    rows = csv.DictReader(read_text(path).splitlines())
    return [{name: float(value) for name, value in row.items()} for row in rows]


def draw_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Draws loss and, where it was measured, the score (one of `SCORES`) of training and validation
    over epochs. A dotted line stands at the best epoch, others where images grow."""
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    epochs = [row["epoch"] for row in rows]
    scores = [name for name in SCORES if name in rows[0]]
    panels = [("loss", 1), *((name, 100) for name in scores)]
    figure = Figure(figsize=(4.5 * len(panels), 3.4), dpi=80)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    side = 0.14 / len(panels)
    figure.subplots_adjust(left=side, right=1 - side / 3, bottom=0.15, top=0.9, wspace=0.18)
    style = {"marker": "o", "markersize": 3} if len(rows) < 20 else {}
    for axis, (name, factor) in zip(axes, panels, strict=True):
        axis.plot(epochs, [factor * row[name] for row in rows], label="training", **style)
        axis.plot(
            epochs, [factor * row[f"val_{name}"] for row in rows], label="validation", **style
        )
        title = name.replace("_", " ")
        axis.set_title(title if factor == 1 else f"{title} (%)")
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
        for row, following in itertools.pairwise(rows):
            if row.get("image_height") != following.get("image_height"):
                axis.axvline(following["epoch"] - 0.5, color="grey", linewidth=0.8)
    best = max(rows, key=lambda row: (*(row[f"val_{name}"] for name in scores), -row["val_loss"]))
    axes[-1].axvline(best["epoch"], color="grey", linewidth=0.8, linestyle=":")
    with replacing(path) as temporary:
        figure.savefig(temporary)
