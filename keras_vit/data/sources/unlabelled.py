# SPDX-License-Identifier: MIT
"""A folder of images in any structure, whose names say nothing."""

from pathlib import Path

from keras_vit.data.images import SUFFIXES
from keras_vit.data.sources.folder import files_below, split_folders, suffix_of
from keras_vit.errors import UserError


def has_classes(source: str) -> bool:
    """Whether a source has labels: it is no folder, or one of two or more folders of images."""
    if source == "digits" or not Path(source).is_dir():
        return True
    children = list(split_folders(Path(source))["train"].glob("[!.]*"))
    folders = [child for child in children if child.is_dir()]
    if len(folders) < 2 or any(suffix_of(child.name) in SUFFIXES for child in children):
        return False
    return all(_images_below(folder) for folder in folders)


def list_unlabelled(root: Path, limit: int | None) -> dict[str, list[str]]:
    """The images of each split of a folder, at any depth, by name.

    Args:
        root: the folder, perhaps with `train`, `val` and `test` in it.
        limit: images of each split, at most; None for all.

    Raises:
        UserError: for a split without an image.
    """
    folders = split_folders(root)
    found = {split: _images_below(folder)[:limit] for split, folder in folders.items()}
    for split, paths in found.items():
        if not paths:
            raise UserError(
                f"no image in {folders[split]}. Expected {' '.join(sorted(SUFFIXES))} files at any "
                "depth."
            )
    return found


def _images_below(folder: Path) -> list[str]:
    return [path for path in files_below(folder) if suffix_of(path) in SUFFIXES]
