# SPDX-License-Identifier: MIT
"""Images in any form that a command takes, one after the other, with labels where there are any.

Nothing is held out and no image is opened before it is asked for: one that is broken is met, named
and left out as `keras-vit predict` does.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import Split
from keras_vit.data.images import suffix_of
from keras_vit.data.inputs import read_any
from keras_vit.data.sources.archive import is_archive
from keras_vit.data.sources.folder import find_images
from keras_vit.data.sources.listing import Listing, encode
from keras_vit.data.sources.manifest import MANIFESTS
from keras_vit.data.sources.resolve import check_source, list_files, read_examples
from keras_vit.data.sources.unlabelled import has_classes
from keras_vit.preprocessing import Preprocessing

_MEMORY = ("tfds:", "hf:")


@dataclasses.dataclass(frozen=True)
class ImageList:
    """Named images, of which the first `len(names)` can be read by their positions.

    Attributes:
        names: file names, URLs, or where the images stood in their source: `train/17`.
        classes: class names; None where the images have no labels.
        labels: see `keras_vit.data.Split.labels`; None where the images have none.
        splits: the split of each image; None where the source is not divided.
        open: from a position and a preprocessing to float32 `(height, width, channels)`, 0 to 255;
            a `UserError` for an image that cannot be read.
    """

    names: Sequence[str]
    classes: tuple[str, ...] | None
    labels: np.ndarray | None
    splits: Sequence[str] | None
    open: Callable[[int, Preprocessing], np.ndarray]

    def __len__(self) -> int:
        return len(self.names)


def list_images(names: Sequence[str], data_dir: str | None = None) -> ImageList:
    """Finds images.

    Args:
        names: files, folders, patterns and URLs, whose images have no labels; or one source of
            labelled images: a folder of class folders, perhaps in `train`, `val` and `test`; an
            archive of one; a table of paths and labels; an `.npz`; "digits"; "tfds:NAME"; "hf:NAME"
            (see `keras_vit.data.load`).
        data_dir: where TFDS keeps its data sets; None for its default.

    Raises:
        UserError: when there is nothing, or a table or an archive cannot be read.
    """
    if len(names) != 1 or not _is_labelled(names[0]):
        return _unlabelled(find_images(names))
    (source,) = names
    check_source(source, data_dir)
    listing = list_files(source)
    if listing is None:
        classes, splits = read_examples(source, data_dir)
        return _of_splits(tuple(classes), splits)
    return _of_listing(listing, is_archive(Path(source)))


def _is_labelled(name: str) -> bool:
    """Whether a name stands for images with labels, and not for an image or some of them."""
    path = Path(name)
    if name == "digits" or name.startswith(_MEMORY):
        return True
    if path.is_dir():
        return has_classes(name)
    return is_archive(path) or suffix_of(name) in MANIFESTS | {".npz"}


def _unlabelled(paths: list[str]) -> ImageList:
    return ImageList(paths, None, None, None, lambda i, seen: read_any(paths[i], paths[i], seen))


def _of_listing(listing: Listing, packed: bool) -> ImageList:
    """The files of a folder or a table, split after split; those of an archive are called as they
    are in it, not as they are in the cache folder."""
    paths = listing.paths
    classes = sorted({label for labels in listing.classes.values() for label in labels})
    labels = [file.labels for files in listing.files.values() for file in files]
    splits = [split for split, files in listing.files.items() for _ in files]
    names = [str(Path(path).relative_to(listing.root)) for path in paths] if packed else paths
    return ImageList(
        names,
        tuple(classes),
        encode(labels, classes, listing.task),
        splits if len(listing.files) > 1 else None,
        lambda i, seen: read_any(paths[i], paths[i], seen),
    )


def _of_splits(classes: tuple[str, ...], splits: dict[str, Split]) -> ImageList:
    """Images that are held in memory, split after split."""
    named = {name: split.named(name) for name, split in splits.items()}
    places = [(split, i) for split in named.values() for i in range(len(split))]
    return ImageList(
        [split.name_of(i) for split, i in places],
        classes,
        np.concatenate([split.labels for split in named.values()]),
        [name for name, split in named.items() for _ in range(len(split))]
        if len(named) > 1
        else None,
        lambda i, seen: places[i][0].seen_of(places[i][1], seen),
    )
