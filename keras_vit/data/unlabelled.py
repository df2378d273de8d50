# SPDX-License-Identifier: MIT
"""Images without labels: any source of `load`, or a folder of images in any structure."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_vit.data.examine import broken_message, examine_all
from keras_vit.data.folders import files_below, split_folders, suffix_of
from keras_vit.data.image_set import ImageSet, Split, divide
from keras_vit.data.images import SUFFIXES
from keras_vit.data.sources import load
from keras_vit.errors import UserError


def load_unlabelled(
    source: str,
    data_dir: str | None = None,
    test: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
    on_bad: str = "error",
    limit: int | None = None,
) -> ImageSet:
    """Finds images and forgets their classes.

    Where there are classes, the splits are those of `load`: what a classifier will be tested on is
    not seen by the pre-training either.

    Args:
        source: see `load`; or a folder of images at any depth, perhaps in `train`, `val` and
            `test`.
        data_dir, test, validation, seed, on_bad, limit: see `load`.
    """
    if _has_classes(source):
        return without_labels(load(source, data_dir, test, validation, seed, on_bad, limit=limit))
    folders = split_folders(Path(source))
    found = {split: _images_below(folder)[:limit] for split, folder in folders.items()}
    for split, paths in found.items():
        if not paths:
            raise UserError(
                f"no image in {folders[split]}. Expected {' '.join(sorted(SUFFIXES))} files at any "
                "depth."
            )
    examined = examine_all([path for paths in found.values() for path in paths])
    problems = tuple(one.problem for one in examined if one.problem)
    if problems and on_bad == "error":
        raise UserError(broken_message(source, problems))
    usable = {one.path: one.orientation for one in examined if not one.problem}
    splits = {split: _split(paths, usable) for split, paths in found.items()}
    images = divide(source, (), splits, test, validation, seed)
    return dataclasses.replace(images, bad_files=problems)


def without_labels(images: ImageSet) -> ImageSet:
    """The same images, without classes."""
    splits = {
        name: dataclasses.replace(split, labels=np.zeros(len(split), "int64"))
        for name in ("train", "validation", "test")
        for split in [getattr(images, name)]
    }
    return dataclasses.replace(images, classes=(), **splits)


def _has_classes(source: str) -> bool:
    """Whether a source is for `load`: it is no folder, or one of two or more folders of images."""
    if source == "digits" or not Path(source).is_dir():
        return True
    children = list(split_folders(Path(source))["train"].glob("[!.]*"))
    folders = [child for child in children if child.is_dir()]
    if len(folders) < 2 or any(suffix_of(child.name) in SUFFIXES for child in children):
        return False
    return all(_images_below(folder) for folder in folders)


def _images_below(folder: Path) -> list[str]:
    return [path for path in files_below(folder) if suffix_of(path) in SUFFIXES]


def _split(paths: list[str], usable: dict[str, int]) -> Split:
    paths = [path for path in paths if path in usable]
    orientation = np.array([usable[path] for path in paths], dtype="uint8")
    return Split(np.zeros(len(paths), "int64"), paths=paths, orientation=orientation)
