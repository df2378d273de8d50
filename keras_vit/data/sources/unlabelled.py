# SPDX-License-Identifier: MIT
"""A folder of images in any structure, whose names say nothing."""

from pathlib import Path

from keras_vit.data.images import SUFFIXES, suffix_of
from keras_vit.data.sources.folder import files_below, split_folders
from keras_vit.data.sources.listing import Labelled, Listing
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


def list_unlabelled(source: str, limit: int | None) -> Listing:
    """Lists the images of each split of a folder, at any depth, by name.

    Args:
        source: the folder, perhaps with `train`, `val` and `test` in it.
        limit: images of each split, at most; None for all.

    Raises:
        UserError: for a split without an image.
    """
    root = Path(source)
    folders = split_folders(root)
    files = {}
    for split, folder in folders.items():
        files[split] = [Labelled(path, ()) for path in _images_below(folder)[:limit]]
        if not files[split]:
            raise UserError(
                f"no image in {folder}. Expected {' '.join(sorted(SUFFIXES))} files at any depth."
            )
    classes: dict[str, list[str]] = {split: [] for split in folders}
    return Listing(source, root, classes, files, task="none", complete=False)


def _images_below(folder: Path) -> list[str]:
    return [path for path in files_below(folder) if suffix_of(path) in SUFFIXES]
