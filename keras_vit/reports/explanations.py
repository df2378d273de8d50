# SPDX-License-Identifier: MIT
"""Pictures of what speaks for a model's answer, of images by name or of a run's test split."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.analysis import explain, heads_of_the_output
from keras_vit.analysis.exam import best
from keras_vit.analysis.explanations import METHODS
from keras_vit.data.images import read_upright, resize_to_fit
from keras_vit.errors import UserError, unknown
from keras_vit.evaluation import softmax
from keras_vit.export.runner import keras_runner
from keras_vit.preprocessing import Preprocessing
from keras_vit.progress import say, track
from keras_vit.reports import model_figures
from keras_vit.reports.figures import Sight
from keras_vit.reports.grading import (
    EXAM_IMAGES,
    LEAST,
    UNEXAMINED,
    WAITED_FOR,
    graded,
    verdict,
)
from keras_vit.reports.page.sights import write_sights
from keras_vit.reports.sheets import write_pictures
from keras_vit.reports.sights import Explained
from keras_vit.reports.subject import Subject

# What can be drawn: maps over images, every head of the last block, and pictures of the model.
KINDS = (*METHODS, "heads", *model_figures.DRAWN)
_SHOWN = 448  # pixels of a photograph's longer side that are drawn, at most
_BATCH = 8  # images that are explained at a time: attention of all blocks is held
_OTHERS = 2  # classes that are named after the predicted one


@dataclasses.dataclass(frozen=True)
class _Images:
    """Images and what they are called.

    Attributes:
        names: of the files.
        pixels: as the model sees them, `(batch, height, width, channels)`, 0 to 255.
        shown: as they are drawn, of the same shape or a multiple of its sides.
        true: their classes, where they are known.
    """

    names: Sequence[str]
    pixels: np.ndarray
    shown: Sequence[np.ndarray]
    true: Sequence[str | None]

    def first(self, count: int | None) -> "_Images":
        """The first of them; None for all."""
        part = slice(count)
        return _Images(self.names[part], self.pixels[part], self.shown[part], self.true[part])


def draw_images(
    target: str | os.PathLike,
    paths: Sequence[str],
    out: Path,
    what: Sequence[str] = (),
    page: bool = False,
) -> list[str]:
    """Draws pictures for each image file, and a contact sheet of all.

    Args:
        target: a run folder, a `.keras` file or a checkpoint.
        paths: image files; one in a folder named like a class has that true class.
        out: folder for the pictures.
        what: of `KINDS`; empty for the map that passes the exam best on these images.
        page: whether one page of HTML is written instead of pictures.

    Returns:
        What is wrong with each file that could not be read.
    """
    check_kinds(what)
    subject = Subject.open(target)
    problems: list[str] = []
    names, images, shown, true = [], [], [], []
    for path in track(paths, "reading images", len(paths)):
        try:
            pixels = read_upright(path)
        except UserError as error:
            problems.append(str(error))
            continue
        images.append(resize_to_fit(pixels, subject.preprocessing))
        shown.append(resize_to_fit(pixels, _sharper(subject.preprocessing, pixels)))
        parent = Path(path).resolve().parent.name
        true.append(parent if parent in subject.labels else None)
        names.append(Path(path).stem)
    if images:
        found = _Images(names, np.stack(images), shown, true)
        _draw(subject, Path(target).name, found, out, what, page)
    return problems


def draw_test_images(
    target: str | os.PathLike,
    count: int,
    out: Path,
    what: Sequence[str] = (),
    page: bool = False,
) -> list[str]:
    """Draws `count` images of the test split of a model's run, of each class in turn.

    See `draw_images`. The exam takes up to 100 images of that split. There are no problems to
    return.
    """
    check_kinds(what)
    subject = Subject.open(target)
    names, images, true = subject.test_images(max(count, EXAM_IMAGES))
    found = _Images(names, images, list(images), true)
    _draw(subject, Path(target).resolve().name, found, out, what, page, count)
    return []


def check_kinds(what: Sequence[str]) -> None:
    """Raises a `UserError` for what cannot be drawn."""
    for kind in what:
        if kind not in KINDS:
            raise unknown("picture", kind, KINDS)


def _draw(
    subject: Subject,
    title: str,
    images: _Images,
    out: Path,
    what: Sequence[str],
    page: bool,
    count: int | None = None,
) -> None:
    explained = _explained(subject, title, images, what, count)
    if page:
        print(write_sights(out, explained))
    else:
        write_pictures(out, explained)


def _explained(
    subject: Subject, title: str, images: _Images, what: Sequence[str], count: int | None
) -> Explained:
    """Has a model answer, and explains its answers."""
    logits = keras_runner(subject.model)(images.pixels)
    if not np.isfinite(logits).all():
        raise UserError(
            "expected finite logits, received NaN or infinity: the weights of the model are "
            "damaged. Train it again."
        )
    probabilities = softmax(logits)
    maps = [kind for kind in what if kind in METHODS]
    verdicts = {}
    if not what or maps:
        verdicts = _examined(subject, images.pixels, probabilities.argmax(axis=1), maps)
    images = images.first(count)
    return Explained(
        title=title,
        model=subject.model,
        images=images.pixels,
        names=images.names,
        sights={one: _sights(subject, images, probabilities, one) for one in verdicts},
        verdicts=verdicts,
        heads=_heads(subject, images, probabilities) if "heads" in what else [],
        of_the_model=[kind for kind in what if kind in model_figures.DRAWN],
    )


def _examined(
    subject: Subject, images: np.ndarray, classes: np.ndarray, methods: Sequence[str]
) -> dict[str, str]:
    """How the methods asked for do, or the one that does best, in words that are said too."""
    candidates = methods or tuple(METHODS)
    grades, count = graded(subject.model, images, classes, candidates, WAITED_FOR)
    if not grades:
        few = f"{len(images)} of the {LEAST} images that it takes are there"
        why = few if len(images) < LEAST else "the model is too large for that"
        say(f"the maps were not examined: {why}.")
        return dict.fromkeys(methods or (UNEXAMINED,), f"not examined, as {why}")
    told = [grades[method] for method in methods] or [best(grades)]
    verdicts = {grade.method: verdict(grade, grades, count) for grade in told}
    for grade in (one for one in grades.values() if one in told):
        say(f"{grade.method}: {verdicts[grade.method]}.")
    return verdicts


def _sights(
    subject: Subject, images: _Images, probabilities: np.ndarray, method: str
) -> list[Sight]:
    predicted, count = probabilities.argmax(axis=1), len(images.pixels)
    maps: list[np.ndarray] = []
    for part in track(_batches(count), f"explaining ({method})", -(-count // _BATCH)):
        maps.extend(explain(subject.model, images.pixels[part], predicted[:count][part], method))
    return [
        _sight(subject, images, probabilities, i, found, method) for i, found in enumerate(maps)
    ]


def _heads(
    subject: Subject, images: _Images, probabilities: np.ndarray
) -> list[tuple[Sight, np.ndarray]]:
    """What each head that the output reads attends to, `(heads, rows, columns)` of each image."""
    maps: list[np.ndarray] = []
    for part in _batches(len(images.pixels)):
        maps.extend(heads_of_the_output(subject.model, images.pixels[part]))
    return [
        (_sight(subject, images, probabilities, i, heads.mean(axis=0), "attention"), heads)
        for i, heads in enumerate(maps)
    ]


def _batches(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]


def _sight(
    subject: Subject,
    images: _Images,
    probabilities: np.ndarray,
    i: int,
    found: np.ndarray,
    method: str,
) -> Sight:
    order = np.argsort(-probabilities[i], kind="stable")[: 1 + _OTHERS]
    (predicted, score), *others = (
        (subject.labels[place], float(probabilities[i, place])) for place in order
    )
    size = images.pixels[i].shape[:2]
    return Sight(
        images.shown[i], found, predicted, score, images.true[i], method, tuple(others), size
    )


def _sharper(preprocessing: Preprocessing, pixels: np.ndarray) -> Preprocessing:
    """The same part of an image in a multiple of the model's pixels, as far as it has these."""
    _, _, height, width = preprocessing.box(*pixels.shape[:2])
    rows, columns = preprocessing.image_size
    times = max(1, min(int(height // rows), int(width // columns), _SHOWN // max(rows, columns)))
    return dataclasses.replace(preprocessing, image_size=(times * rows, times * columns))
