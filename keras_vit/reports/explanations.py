# SPDX-License-Identifier: MIT
"""Pictures of what speaks for a model's answer, of images by name or of a run's test split."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.analysis import attention_maps, explain
from keras_vit.analysis.exam import best
from keras_vit.analysis.explanations import METHODS
from keras_vit.data.images import read_image
from keras_vit.errors import UserError, unknown
from keras_vit.evaluation import softmax
from keras_vit.export.runner import keras_runner
from keras_vit.models import config_of
from keras_vit.progress import aside, say, track
from keras_vit.reports import model_figures
from keras_vit.reports.figures import SHEET, Sight, contact_sheet, heads_figure, map_figure
from keras_vit.reports.grading import EXAM_IMAGES, UNEXAMINED, graded, verdict
from keras_vit.reports.subject import Subject

# What can be drawn: maps over images, every head of the last block, and pictures of the model.
KINDS = (*METHODS, "heads", *model_figures.DRAWN)
_NAME = 40  # characters of a class or file name: 255 bytes hold two of them in any script
_EXAM_OPERATIONS = 1e12  # half a minute of a slow core


def draw_images(
    target: str | os.PathLike, paths: Sequence[str], out: Path, what: Sequence[str] = ()
) -> list[str]:
    """Draws pictures for each image file, and a contact sheet of all.

    Args:
        target: a run folder, a `.keras` file or a checkpoint.
        paths: image files; one in a folder named like a class has that true class.
        out: folder for the pictures.
        what: of `KINDS`; empty for the map that passes the exam best on these images.

    Returns:
        What is wrong with each file that could not be read.
    """
    check_kinds(what)
    subject = Subject.open(target)
    problems: list[str] = []
    names, images, true = [], [], []
    for path in track(paths, "reading images", len(paths)):
        try:
            images.append(read_image(path, subject.preprocessing))
        except UserError as error:
            problems.append(str(error))
            continue
        parent = Path(path).resolve().parent.name
        true.append(parent if parent in subject.labels else None)
        names.append(Path(path).stem)
    if images:
        _draw(subject, names, np.stack(images), true, out, what)
    return problems


def draw_test_images(
    target: str | os.PathLike, count: int, out: Path, what: Sequence[str] = ()
) -> list[str]:
    """Draws the first `count` images of the test split of a model's run; see `draw_images`.

    The exam takes up to 100 images of that split. There are no problems to return.
    """
    check_kinds(what)
    subject = Subject.open(target)
    names, images, true = subject.test_images(max(count, EXAM_IMAGES))
    _draw(subject, names, images, true, out, what, count)
    return []


def check_kinds(what: Sequence[str]) -> None:
    """Raises a `UserError` for what cannot be drawn."""
    for kind in what:
        if kind not in KINDS:
            raise unknown("picture", kind, KINDS)


def _draw(
    subject: Subject,
    names: Sequence[str],
    images: np.ndarray,
    true: Sequence[str | None],
    out: Path,
    what: Sequence[str],
    count: int | None = None,
) -> None:
    logits = keras_runner(subject.model)(images)
    if not np.isfinite(logits).all():
        raise UserError(
            "expected finite logits, received NaN or infinity: the weights of the model are "
            "damaged. Train it again."
        )
    probabilities = softmax(logits)
    for kind in what:
        if kind in model_figures.DRAWN:
            path = _free(out, kind)
            print(model_figures.draw(kind, path, subject.model, images[:count]))
    maps = [kind for kind in what if kind in METHODS]
    if not what or maps:
        methods = _examined(subject.model, images, probabilities.argmax(axis=1), maps)
    else:
        methods = []
    images, names, true = images[:count], names[:count], true[:count]
    for method in methods:
        sights = _sights(subject, images, probabilities, true, method)
        several = method if len(methods) > 1 else ""
        for name, sight in zip(names, track(sights, "drawing", len(sights)), strict=True):
            path = map_figure(_free(out, f"{name} {several}".strip(), sight.true), sight)
            with aside():
                print(path)
        print(contact_sheet(_free(out, f"contact-sheet {several}".strip()), sights[:SHEET]))
    if "heads" in what:
        _draw_heads(subject, names, images, probabilities, true, out)


def _examined(
    model: Any, images: np.ndarray, classes: np.ndarray, methods: Sequence[str]
) -> Sequence[str]:
    """The methods asked for, or the one that does best, once it has been said how they do."""
    candidates = methods or tuple(METHODS)
    grades, count = graded(model, images, classes, candidates, _EXAM_OPERATIONS)
    if not grades:
        say(
            "the maps were not examined: "
            + ("one image is too few." if len(images) < 2 else "the model is too large for that.")
        )
        return methods or (UNEXAMINED,)
    for grade in grades.values() if methods else [best(grades)]:
        say(f"{grade.method}: {verdict(grade, count)}.")
    return methods or (best(grades).method,)


def _sights(
    subject: Subject,
    images: np.ndarray,
    probabilities: np.ndarray,
    true: Sequence[str | None],
    method: str,
) -> list[Sight]:
    sights = []
    for i, image in enumerate(track(images, f"explaining ({method})", len(images))):
        predicted = int(probabilities[i].argmax())
        found = explain(subject.model, image[None], [predicted], method)[0]
        score = float(probabilities[i, predicted])
        sights.append(Sight(image, found, subject.labels[predicted], score, true[i], method))
    return sights


def _draw_heads(subject, names, images, probabilities, true, out: Path) -> None:
    """Every head of the last block: what the class token reads, or all patches."""
    config = config_of(subject.model)
    prefix = config.num_prefix_tokens
    for i, name in enumerate(names):
        heads = attention_maps(subject.model, images[i : i + 1])[-1][0]  # (heads, T, T)
        rows = heads[:, 0] if config.class_token else heads[:, prefix:].mean(axis=1)
        maps = rows[:, prefix:].reshape(-1, *config.grid)
        predicted = int(probabilities[i].argmax())
        sight = Sight(
            images[i],
            maps.mean(axis=0),
            subject.labels[predicted],
            float(probabilities[i, predicted]),
            true[i],
        )
        print(heads_figure(_free(out, f"{name} heads", true[i]), sight, maps))


def _free(folder: Path, name: str, true: str | None = None) -> Path:
    """A name that no file has yet, after the true class where it is known."""
    parts = [re.sub(r"[^\w.-]+", "-", part)[:_NAME] for part in (true, name) if part]
    stem = "-".join(parts).lstrip(".-") or "image"
    path, number = folder / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.png"
    return path
