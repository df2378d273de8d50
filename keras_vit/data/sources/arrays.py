# SPDX-License-Identifier: MIT
"""Images in memory: the bundled digits, `.npz` files and what a program passes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_vit.data.dataset import Arrays, ImageSet, Split
from keras_vit.data.holding_out import divide
from keras_vit.errors import UserError
from keras_vit.untrusted import limits
from keras_vit.untrusted.npy import read_npz

_NPZ_SPLITS = {
    "train": (("x_train", "y_train"), ("images", "labels"), ("x", "y")),
    "validation": (("x_val", "y_val"), ("x_validation", "y_validation")),
    "test": (("x_test", "y_test"),),
}
_CLASSES = ("classes", "class_names", "label_names")


def from_arrays(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    test: float = 0.2,
    validation: float = 0.1,
    seed: int = 0,
    name: str = "arrays",
) -> ImageSet:
    """Makes a set from arrays in memory.

    Args:
        images: uint8 `(n, height, width)` or `(n, height, width, channels)`, 0 to 255.
        labels: `(n,)`, positions in `classes`; or `(n, classes)`, 1 for each class that an image
            shows and 0 else.
        classes: class names.
        test, validation, seed: see `keras_vit.data.load`.
        name: what messages call the set.
    """
    split = as_split("images", images, "labels", labels, classes)
    return divide(name, classes, {"train": split}, test, validation, seed)


def as_split(
    images_name: str, images: np.ndarray, labels_name: str, labels, classes: Sequence[str]
) -> Split:
    """Checks arrays and makes a split of them; see `from_arrays`. Names are for messages."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise UserError(
            f"{images_name}: expected uint8 of shape (n, height, width) or (n, height, width, "
            f"channels), received {images.dtype} of shape {images.shape}."
        )
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[-1] not in (1, 3):
        raise UserError(f"{images_name}: expected 1 or 3 channels, received {images.shape[-1]}.")
    if not 0 < min(images.shape[1:3]) <= max(images.shape[1:3]) <= limits.IMAGE_SIDE:
        raise UserError(
            f"{images_name}: expected sides of 1 to {limits.IMAGE_SIDE:,} pixels, received "
            f"{images.shape[1]} x {images.shape[2]}."
        )
    if labels.ndim == 2:
        if labels.shape != (len(images), len(classes)) or not np.isin(labels, (0, 1)).all():
            raise UserError(
                f"{labels_name}: expected zeros and ones of shape {(len(images), len(classes))}, "
                f"received shape {labels.shape}."
            )
        return Arrays(labels.astype("uint8"), images)
    if labels.shape != (len(images),):
        raise UserError(f"{labels_name}: expected shape ({len(images)},), received {labels.shape}.")
    return Arrays(_whole(labels_name, labels, len(classes)), images)


def _whole(name: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Labels as int64, if they are whole numbers from 0 to `count` - 1."""
    whole = labels.dtype.kind in "biu"
    if labels.dtype.kind == "f":
        whole = bool((np.isfinite(labels) & (np.floor(labels) == labels)).all())
    if not whole:
        raise UserError(f"{name}: expected whole numbers, received {labels.dtype}.")
    if labels.size and not 0 <= labels.min() <= labels.max() < count:
        raise UserError(
            f"{name}: expected 0 to {count - 1} for {count} classes, received {labels.min()} to "
            f"{labels.max()}."
        )
    return labels.astype("int64")


def digits_splits() -> tuple[list[str], dict[str, Split]]:
    """Class names and the one split of the bundled digits."""
    with np.load(Path(__file__).parent / "bundled" / "digits.npz") as file:
        counts, labels = file["images"], file["labels"]
    pixels = np.round(counts * (255 / 16)).astype("uint8")[..., None]  # from 0-16 to 0-255
    split = Arrays(labels.astype("int64"), pixels)
    return [str(digit) for digit in range(10)], {"train": split}


def npz_splits(path: Path) -> tuple[list[str], dict[str, Split]]:
    """Class names and splits of an `.npz` file.

    Args:
        path: holds x_train and y_train, and perhaps x_val, y_val, x_test and y_test, as the data
            sets of Keras; or images and labels. Shapes and types are those of `from_arrays`; labels
            of shape (n, 1) are fine. An array `classes` holds the class names, else they are 0, 1,
            2 ...

    Raises:
        UserError: for a file that is none, or is pickled, or unpacks to too much.
    """
    arrays = read_npz(path, limits.ARRAYS)
    pairs = {}
    for split, spellings in _NPZ_SPLITS.items():
        for x, y in spellings:
            if split not in pairs and x in arrays and y in arrays:
                pairs[split] = (x, y)
    if "train" not in pairs:
        raise UserError(
            f"{path}: expected arrays x_train and y_train, or images and labels; received "
            f"{', '.join(sorted(arrays)[:10]) or 'none'}."
        )
    labels = {split: _labels(f"{path}: {y}", arrays[y]) for split, (_, y) in pairs.items()}
    classes = _class_names(path, arrays, labels)
    splits = {
        split: as_split(f"{path}: {x}", arrays[x], f"{path}: {y}", labels[split], classes)
        for split, (x, y) in pairs.items()
    }
    return classes, splits


def _labels(name: str, labels: np.ndarray) -> np.ndarray:
    labels = _whole(name, labels, limits.CLASSES)
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and len(labels) and (labels.sum(axis=1) == 1).all():
        return labels.argmax(axis=1)  # one-hot
    return labels


def _class_names(path: Path, arrays: dict, labels: dict[str, np.ndarray]) -> list[str]:
    for key in _CLASSES:
        if key in arrays:
            if arrays[key].ndim != 1 or arrays[key].dtype.kind not in "US":
                raise UserError(
                    f"{path}: {key}: expected one row of text, received {arrays[key].dtype} of "
                    f"shape {arrays[key].shape}."
                )
            names = arrays[key].tolist()
            return [n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names]
    first = labels["train"]
    if first.ndim == 2:
        return [str(i) for i in range(first.shape[1])]
    if not first.size:
        raise UserError(f"{path}: has no example to train on.")
    return [str(i) for i in range(int(max(part.max(initial=0) for part in labels.values())) + 1)]
