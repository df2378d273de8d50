# SPDX-License-Identifier: MIT
"""Where the images of a folder stand: `class/...`, or `train|val|test/class/...`."""

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from keras_vit.data.images import SUFFIXES, suffix_of
from keras_vit.data.inputs import is_url
from keras_vit.data.sources.listing import SPLIT_NAMES, Labelled, Listing
from keras_vit.errors import UserError

_DEBRIS = ("__MACOSX",)  # what archives made on a Mac add to the files


def list_folder(root: Path, source: str | None = None) -> Listing:
    """Lists the image files of a folder of classes, at any depth below each class.

    Args:
        root: has a folder for each class, or `train` and perhaps `val` and `test` above those.
        source: what messages call it; its own name if None.

    Raises:
        UserError: when nothing in it could be a class, or a split stands twice or without train.
    """
    classes: dict[str, list[str]] = {}
    files: dict[str, list[Labelled]] = {}
    ignored = []
    for split, folder in split_folders(root).items():
        classes[split], files[split] = [], []
        for place in _class_folders(folder):
            classes[split].append(place.name)
            for path in files_below(place):
                if suffix_of(path) in SUFFIXES:
                    files[split].append(Labelled(path, (place.name,)))
                else:
                    ignored.append(path)
    return Listing(source or str(root), root, classes, files, tuple(ignored))


def split_folders(root: Path) -> dict[str, Path]:
    """Finds the folder of each split.

    Returns:
        "train" first, and where there are such folders "validation" and "test"; `root` itself as
        "train" when none of its folders is named like a split.

    Raises:
        UserError: when there are splits but no train, or two folders for one split.
    """
    named = [child for child in subfolders(root) if child.name.lower() in SPLIT_NAMES]
    if not named:
        return {"train": root}
    splits: dict[str, Path] = {}
    for child in named:
        split = SPLIT_NAMES[child.name.lower()]
        if split in splits:
            raise UserError(
                f"{root}: both {splits[split].name}/ and {child.name}/ are its {split} split. "
                "Expected one; move the images of one to the other."
            )
        splits[split] = child
    if "train" not in splits:
        raise UserError(f"{root}: has {named[0].name}/ but no train/.")
    return {"train": splits.pop("train"), **splits}


def files_below(folder: Path) -> list[str]:
    """Every file at any depth, by name; hidden ones are left out.

    Symbolic links are followed, but not into a folder that they stand in: that would never end.
    """
    above = frozenset(map(_identity, [folder.resolve(), *folder.resolve().parents]))
    return sorted(_walk(str(folder), above))


def subfolders(root: Path) -> list[Path]:
    """The folders directly in a folder, by name, without hidden ones."""
    with _folder_errors(root):
        children = list(root.iterdir())
    return sorted(
        child
        for child in children
        if child.is_dir() and not child.name.startswith(".") and child.name not in _DEBRIS
    )


def find_images(names: Iterable[str]) -> list[str]:
    """Finds image files.

    Args:
        names: files (kept whatever their suffix), URLs, folders (searched at any depth) and
            patterns such as `"new/*.jpg"`.

    Raises:
        UserError: when there is nothing, or a folder may not be read.
    """
    found, names = [], [name for name in names if name.strip()]
    for name in names:
        if Path(name).is_dir():
            found += [path for path in files_below(Path(name)) if suffix_of(path) in SUFFIXES]
        elif is_url(name):
            found.append(name)
        elif glob.has_magic(name) and not os.path.lexists(name):
            found += sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (absolute patterns too)
        else:
            found.append(name)
    if not found:
        raise UserError(
            f"no images in {' '.join(names) or 'standard input'}. Expected files, folders or "
            f"patterns of {' '.join(sorted(SUFFIXES))} files."
        )
    return found


def _class_folders(folder: Path) -> list[Path]:
    classes = subfolders(folder)
    if not classes:
        raise UserError(
            f"{folder}: has no folders. Expected one folder of images for each class: "
            f"{folder}/cat/1.jpg, {folder}/dog/1.jpg."
        )
    return classes


def _walk(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    with _folder_errors(folder):
        with os.scandir(folder) as entries:
            children = [entry for entry in entries if not entry.name.startswith(".")]
        for entry in children:
            if not _is_folder(entry):
                yield entry.path
                continue
            identity = _identity(entry.path)
            if identity not in above:
                yield from _walk(entry.path, above | {identity})


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read: a bad file
        return False


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _folder_errors(folder: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: this folder cannot be read ({error.strerror})."
        ) from error
