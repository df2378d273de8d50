# SPDX-License-Identifier: MIT
"""Labels of ImageNet's kin: ReaL, and folders called by class numbers or WordNet ids."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np

from keras_vit.errors import UserError, unknown

CLASS_NAMES = ("names", "numbers", "wordnet")


def class_places(folders: Sequence[str], by: str, num_classes: int) -> np.ndarray:
    """Which class of a model each folder stands for, where folders do not bear class names.

    Args:
        folders: their names, in the order of their labels.
        by: "numbers", where a folder is called by the position of its class, 0 to
            `num_classes - 1`, as in ImageNet-V2: sorted as text, "10" comes before "2". Or
            "wordnet", where all folders are WordNet ids, whose sorted order is that of the classes.
        num_classes: of the model.

    Returns:
        int64 `(folders,)`.

    Raises:
        UserError: for a folder that is not so called.
    """
    if by == "numbers":
        wrong = [name for name in folders if not name.isdecimal() or int(name) >= num_classes]
        expected = f"numbers from 0 to {num_classes - 1}"
        places = [int(name) for name in folders] if not wrong else []
    elif by == "wordnet":
        wrong = [name for name in folders if not re.fullmatch(r"n\d{8}", name)]
        wrong = wrong or ([] if len(folders) == num_classes else [f"{len(folders)} folders"])
        expected = f"{num_classes} WordNet ids such as n01440764"
        places = np.argsort(np.argsort(folders)).tolist() if not wrong else []
    else:
        raise unknown("--classes", by, CLASS_NAMES)
    if wrong:
        raise UserError(
            f"--classes={by}: expected folders called by {expected}, received "
            f"{', '.join(wrong[:5])}."
        )
    if len(set(places)) < len(folders):
        raise UserError(f"--classes={by}: two folders stand for one class.")
    return np.asarray(places, dtype="int64")


def real_labels(
    labels: Sequence[Sequence[int]] | Mapping[str, Sequence[int]], names: Sequence[str]
) -> list[tuple[int, ...]]:
    """The ReaL labels of image files ("Are we done with ImageNet?", arXiv 2006.07159).

    Args:
        labels: contents of `real.json`: for each validation image, in the order of their numbers,
            the classes that it shows; or a table from file names to them.
        names: image files; of the first form, their number from 1 ends the name before its suffix,
            as in ILSVRC2012_val_00000001.JPEG.

    Returns:
        The classes of each file; none where the raters did not agree.

    Raises:
        UserError: for a file that has no place in `labels`.
    """
    found = []
    for name in names:
        path = PurePath(name)
        if isinstance(labels, Mapping):
            shown = labels.get(path.name)
        else:
            number = re.search(r"(\d+)$", path.stem)
            place = int(number[1]) - 1 if number else -1
            shown = labels[place] if 0 <= place < len(labels) else None
        if shown is None:
            raise UserError(
                f"{name}: has none of the {len(labels):,} labels. Expected file names with the "
                "number of the image at their end, as in ILSVRC2012_val_00000001.JPEG."
            )
        found.append(tuple(shown))
    return found


def real_accuracy(logits: np.ndarray, labels: Sequence[tuple[int, ...]]) -> tuple[float, int]:
    """Share of images whose largest logit is among their labels.

    Args:
        logits: float `(n, classes)`.
        labels: see `real_labels`; an image without any is left out.

    Returns:
        The share, 0 to 1, NaN when no image has a label; and how many have.
    """
    said = logits.argmax(axis=1)
    right = [place in classes for place, classes in zip(said, labels, strict=True) if classes]
    return (float(np.mean(right)) if right else float("nan")), len(right)
