# SPDX-License-Identifier: MIT
"""Labelled image files of a data set, before any of them is opened."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_vit.data.images import SUFFIXES
from keras_vit.errors import UserError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
}


_LEAST = 4  # files of a class: of fewer, none could be held out for validation and test


class Labelled(NamedTuple):
    """A file and the names of its classes."""

    path: str
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder or a manifest says of its files.

    Attributes:
        source: the folder or the manifest.
        root: the folder that files are named relative to, in records of a run.
        classes: split -> class names, sorted; also those without a file. "train" is the first.
        files: split -> labelled image files.
        ignored: files that are no images by their suffix.
        task: "single" when each file is of one class, "multi" when of any number, "none" where
            files have no labels.
        complete: whether every split must have every class, as where a folder stands for each.
    """

    source: str
    root: Path
    classes: dict[str, list[str]]
    files: dict[str, list[Labelled]]
    ignored: tuple[str, ...] = ()
    task: str = "single"
    complete: bool = True

    @property
    def paths(self) -> list[str]:
        """Every image file, split by split."""
        return [file.path for files in self.files.values() for file in files]

    def differing(self, split: str) -> list[str]:
        """Class names for which a split does not fit "train"."""
        train, own = set(self.classes["train"]), set(self.classes[split])
        return sorted(own ^ train if self.complete else own - train)

    def empty(self) -> list[str]:
        """`split/class` of the classes that should have a file and have none."""
        return [
            f"{split}/{label}"
            for split, classes in self.classes.items()
            if self.complete or split == "train"
            for label in sorted(set(classes) - used(self.files[split]))
        ]


def to_measure(listing: Listing) -> Listing:
    """The split that a model is measured on, alone: it is called "train" and complete by itself.

    That is "test" where there is one, "validation" else, else everything; its classes are those
    that have a file.

    Raises:
        UserError: when it has no file at all.
    """
    split = next(name for name in ("test", "validation", "train") if name in listing.files)
    files = listing.files[split]
    if not files:
        raise UserError(
            f"{listing.source}: no image in its {split} split. Expected "
            f"{' '.join(sorted(SUFFIXES))} files in a folder for each class."
        )
    return dataclasses.replace(
        listing, classes={"train": sorted(used(files))}, files={"train": files}
    )


def few(listing: Listing, limit: int) -> Listing:
    """At most `limit` files of each split: the first of each class, four of each at the least.

    The classes stay as they are; where they are too many, some have no file.
    """
    return dataclasses.replace(
        listing, files={split: _few(files, limit) for split, files in listing.files.items()}
    )


def _few(files: list[Labelled], limit: int) -> list[Labelled]:
    groups: dict[tuple[str, ...], list[Labelled]] = {}
    for file in files:
        groups.setdefault(file.labels, []).append(file)
    each = max(_LEAST, limit // max(1, len(groups)))
    first = [file for group in groups.values() for file in group[:each]]
    return first[:limit]


def check(listing: Listing) -> None:
    """Raises a `UserError` for classes that are empty or differ between splits."""
    for split in listing.classes:
        if listing.differing(split):
            raise UserError(
                f"{listing.source}: the classes of {split} differ from those of train in: "
                f"{', '.join(listing.differing(split))}. Each split needs the same classes."
            )
    if listing.empty():
        raise UserError(
            f"{listing.source}: no image in {', '.join(listing.empty())}. Expected "
            f"{' '.join(sorted(SUFFIXES))} files in each class folder; remove the folder or fill "
            "it."
        )


def encode(labels: list[tuple[str, ...]], classes: list[str], task: str) -> np.ndarray:
    """Class names as numbers: see `Split.labels`; zeros, int64 `(n,)`, without classes."""
    if task == "none":
        return np.zeros(len(labels), "int64")
    places = {name: place for place, name in enumerate(classes)}
    if task == "single":
        return np.array([places[label] for (label,) in labels], dtype="int64")
    hot = np.zeros((len(labels), len(classes)), dtype="uint8")
    for row, names in zip(hot, labels, strict=True):
        row[[places[name] for name in names]] = 1
    return hot


def used(files: list[Labelled]) -> set[str]:
    """The classes that have a file."""
    return {label for file in files for label in file.labels}
