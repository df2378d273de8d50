# SPDX-License-Identifier: MIT
"""Attention pictures of images, by name or from a run's test split."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.analysis import attention_of_the_output
from keras_vit.data.dataset import split_batches
from keras_vit.data.images import read_image
from keras_vit.errors import UserError
from keras_vit.evaluation import softmax
from keras_vit.export.runner import keras_runner
from keras_vit.model_file import ModelFile
from keras_vit.progress import aside, track
from keras_vit.reports.figures import SHEET, Sight, attention_figure, contact_sheet

_NAME = 40  # characters of a class or file name: 255 bytes hold two of them in any script


def draw_attention(target: str | os.PathLike, paths: Sequence[str], out: Path) -> list[str]:
    """Draws one picture for each image file, and a contact sheet of all.

    Args:
        target: a run folder or a `.keras` file.
        paths: image files; one in a folder named like a class has that true class.
        out: folder for the pictures.

    Returns:
        What is wrong with each file that could not be read.
    """
    file = ModelFile.find(target)
    model, metadata = file.load(), file.metadata()
    problems, drawn = [], []
    for path in track(paths, "drawing attention", len(paths)):
        try:
            image = read_image(path, metadata.preprocessing)
        except UserError as error:
            problems.append(str(error))
            continue
        parent = Path(path).resolve().parent.name
        true = parent if parent in metadata.labels else None
        drawn += _draw(model, metadata.labels, image[None], [Path(path).stem], [true], out)
        del drawn[SHEET:]
    _draw_sheet(drawn, out)
    return problems


def draw_test_attention(target: str | os.PathLike, count: int, out: Path) -> list[str]:
    """Draws the first `count` images of the test split of a model's run, and a contact sheet;
    returns no problems."""
    file = ModelFile.find(target)
    model, metadata = file.load(), file.metadata()
    name, _, split = file.test_split()
    split = split.take(np.arange(min(count, len(split))))
    names = [Path(split.name_of(i)).stem for i in range(len(split))]
    true = [_classes(label, metadata.labels) for label in split.labels]
    images = np.concatenate(list(split_batches(split, metadata.preprocessing, 64)))
    names = [f"{Path(name).name} {n}" for n in names]
    _draw_sheet(_draw(model, metadata.labels, images, names, true, out)[:SHEET], out)
    return []


def _classes(label: np.ndarray, labels: Sequence[str]) -> str | None:
    """The class of a number, or the classes of a row of zeros and ones."""
    if not np.ndim(label):
        return labels[int(label)]
    return " + ".join(labels[int(place)] for place in np.flatnonzero(label)) or None


def _draw(model, labels, images, names, true, out: Path) -> list[Sight]:
    logits = keras_runner(model)(images)
    if not np.isfinite(logits).all():
        raise UserError(
            "expected finite logits, received NaN or infinity: the weights of the model are "
            "damaged. Train it again."
        )
    probabilities = softmax(logits)
    attention = attention_of_the_output(model, images)
    sights = []
    for i, name in enumerate(names):
        best = int(probabilities[i].argmax())
        score = float(probabilities[i, best])
        sights.append(Sight(images[i], attention[i], labels[best], score, true[i]))
        path = attention_figure(_free(out, name, true[i]), sights[-1])
        with aside():
            print(path)
    return sights


def _draw_sheet(sights: list[Sight], out: Path) -> None:
    if sights:
        print(contact_sheet(_free(out, "contact-sheet"), sights))


def _free(folder: Path, name: str, true: str | None = None) -> Path:
    """A name that no file has yet, after the true class where it is known."""
    parts = [re.sub(r"[^\w.-]+", "-", part)[:_NAME] for part in (true, name) if part]
    stem = "-".join(parts).lstrip(".-") or "image"
    path, number = folder / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path
