# SPDX-License-Identifier: MIT
"""Writes what a model makes of images as files of pictures, the contact sheet first."""

import re
from pathlib import Path

from keras_vit.progress import aside, track
from keras_vit.reports import model_figures
from keras_vit.reports.figures import SHEET, contact_sheet, heads_figure, map_figure
from keras_vit.reports.sights import Explained

_NAME = 40  # characters of a class or file name: 255 bytes hold two of them in any script


def write_pictures(out: Path, explained: Explained) -> None:
    """Writes PNG files and prints their paths, as each is there.

    Args:
        out: folder for the pictures.
        explained: what is drawn.
    """
    for method, sights in explained.sights.items():
        several = method if len(explained.sights) > 1 else ""
        print(contact_sheet(_free(out, f"contact-sheet {several}".strip()), sights[:SHEET]))
        drawn = track(sights, "drawing", len(sights))
        for name, sight in zip(explained.names, drawn, strict=True):
            path = map_figure(_free(out, f"{name} {several}".strip(), sight.true), sight)
            with aside():
                print(path)
    for name, (sight, maps) in zip(explained.names, explained.heads, strict=False):
        print(heads_figure(_free(out, f"{name} heads", sight.true), sight, maps))
    for kind in explained.of_the_model:
        print(model_figures.draw(kind, _free(out, kind), explained.model, explained.images))


def _free(folder: Path, name: str, true: str | None = None) -> Path:
    """A name that no file has yet, after the true class where it is known."""
    parts = [re.sub(r"[^\w.-]+", "-", part)[:_NAME] for part in (true, name) if part]
    stem = "-".join(parts).lstrip(".-") or "image"
    path, number = folder / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path
