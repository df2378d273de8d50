# SPDX-License-Identifier: MIT
"""A labelled set of images, before any pixel is read."""

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_vit.data.images import opened, read_image, resize_to_fit, with_channels
from keras_vit.errors import UserError
from keras_vit.progress import track
from keras_vit.untrusted.text import Line

if TYPE_CHECKING:
    from keras_vit.data.checks.audit import Audit

_GREY = 4  # of 255: the mean difference of colour channels that is still called grey


@dataclasses.dataclass(frozen=True)
class Split:
    """One split: labels, and images as files, as encoded bytes or as arrays.

    Attributes:
        labels: int64 `(n,)`, positions in the class names; or uint8 `(n, classes)`, 1 for each
            class that an image shows.
        paths: names of image files, or None.
        orientation: uint8 `(n,)`, EXIF orientation 1 to 8 of each file, with `paths` and, unless
            all are upright, with `encoded`.
        encoded: contents of image files, or None.
        arrays: uint8 `(n, height, width, channels)`, or None.
        names: what records and messages call each example, without `paths`; or None.
    """

    labels: np.ndarray
    paths: Sequence[str] | None = None
    orientation: np.ndarray | None = None
    encoded: Sequence[bytes] | None = None
    arrays: np.ndarray | None = None
    names: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def name_of(self, index: int) -> str:
        """What records and messages call an example: its path, or where it stood in its source."""
        names = self.names if self.paths is None else self.paths
        return f"example {index}" if names is None else names[index]

    def take(self, indices: np.ndarray) -> "Split":
        """The examples at these positions, in this order."""

        def pick(values):
            if values is None or isinstance(values, np.ndarray):
                return None if values is None else values[indices]
            return [values[i] for i in indices]

        return Split(**{f.name: pick(getattr(self, f.name)) for f in dataclasses.fields(self)})


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images in named classes, split into train, validation and test.

    Attributes:
        name: what it is called in messages.
        classes: class names; a label is a position in them. Empty for images without labels.
        train, validation, test: the splits.
        notes: what a reader of the results must know about the splits.
        bad_files: what is wrong with each file that was left out of them.
        root: the folder that records name files relative to; None without files.
        audit: what was found in the files; None without files.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()
    bad_files: tuple[str, ...] = ()
    root: Path | None = None
    audit: "Audit | None" = None

    @property
    def task(self) -> str:
        """ "single" when each image is of one class, "multi" when of any number."""
        return "single" if self.train.labels.ndim == 1 else "multi"

    def without_labels(self) -> "ImageSet":
        """The same images, without classes."""
        splits = {
            name: dataclasses.replace(split, labels=np.zeros(len(split), "int64"))
            for name in ("train", "validation", "test")
            for split in [getattr(self, name)]
        }
        return dataclasses.replace(self, classes=(), **splits)


def divide(
    name: str,
    classes: Sequence[str],
    splits: dict[str, Split],
    test: float,
    validation: float,
    seed: int,
) -> ImageSet:
    """Completes the splits of a source: those it has stay, the others are held out of "train".

    Args:
        name: name of the set.
        classes: class names; empty for images without labels.
        splits: "train", and where the source has them "validation" and "test".
        test: share of "train" to hold out when there is neither a test nor a validation split.
        validation: share of the remaining "train" to hold out when there is no validation split.
        seed: seed of the choice, which is stratified by class.

    Returns:
        The set. With a validation but no test split, both are the same and `notes` says so.
    """
    splits = {split: _named(split, examples) for split, examples in splits.items()}
    train, notes = splits["train"], []
    # One of three is held out; to do it twice takes four.
    needed = 3 if "test" in splits or "validation" in splits else 4
    if len(classes) == 1:
        raise UserError(
            f"{name}: expected at least 2 classes, received {list(classes)}. "
            "Each class is a folder."
        )
    for label in classes:
        if not Line()(label):
            raise UserError(f"{name}: expected class names {Line()}, received {label!r}.")
    if "test" not in splits:
        if "validation" in splits:
            splits = {**splits, "test": splits["validation"]}
            notes.append(
                "the test split is the validation split, on which the best epoch was chosen"
            )
        else:
            held, kept = stratified(train.labels, test, seed)
            splits = {**splits, "test": train.take(held)}
            train = train.take(kept)
            notes.append(f"{test:.0%} held out for the test, stratified, seed {seed}")
    if "validation" not in splits:
        held, kept = stratified(train.labels, validation, seed + 1)
        splits = {**splits, "validation": train.take(held)}
        train = train.take(kept)
        notes.append(f"{validation:.0%} of train held out for validation, stratified, seed {seed}")
    for split in ("validation", "test"):
        if not len(splits[split]):
            raise UserError(
                f"{name}: the {split} split is empty, because no class has enough images. "
                f"Expected at least {needed} images in each class."
            )
    return ImageSet(name, tuple(classes), train, splits["validation"], splits["test"], tuple(notes))


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses `share` of each class.

    Where an image shows several classes, the rarest are served first and the others with what they
    lack then: in the manner of Sechidis et al., "On the Stratification of Multi-label Data" (2011).

    Args:
        labels: int `(n,)`, or uint8 `(n, classes)`; see `Split.labels`.
        share: 0 to 1; of a class of m examples, `round(share * m)` are chosen, at least one if the
            class has three or more, and never all. With several classes to an image, that is aimed
            at.
        seed: seed of the choice.

    Returns:
        Positions of the chosen and of the other examples, each ascending.
    """
    random = np.random.default_rng(seed)
    chosen, decided = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for members in _groups(labels):
        count = round(share * len(members))
        if len(members) >= 3:
            count = min(max(count, 1), len(members) - 1)
        lacking = max(count - chosen[members].sum(), 0)
        chosen[random.permutation(members[~decided[members]])[:lacking]] = True
        decided[members] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def _groups(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of the examples of each class that occurs, and of those of none."""
    if labels.ndim == 1:
        yield from (np.flatnonzero(labels == label) for label in np.unique(labels))
        return
    counts = labels.sum(axis=0, dtype="int64")
    for label in np.argsort(counts, kind="stable"):
        yield np.flatnonzero(labels[:, label])
    yield np.flatnonzero(~labels.any(axis=1))


def _named(split: str, examples: Split) -> Split:
    """Examples that are no files get a name that says where they stood: `train/17`."""
    if examples.paths is not None:
        return examples
    names = [f"{split}/{i}" for i in range(len(examples))]
    return dataclasses.replace(examples, names=names)


def split_batches(
    split: Split,
    size: tuple[int, int],
    channels: int,
    crop: float,
    batch_size: int,
    doing: str = "reading images",
) -> Iterator[np.ndarray]:
    """Every image of a split once, in order, read without TensorFlow.

    Args:
        split: examples.
        size, channels, crop: see `read_image`.
        batch_size: images in a batch; the last may have fewer.
        doing: what they are read for; see `keras_vit.progress.step`.

    Yields:
        float32 `(batch, height, width, channels)`, 0 to 255.
    """
    starts = range(0, len(split), batch_size)
    batches = (range(start, min(start + batch_size, len(split))) for start in starts)
    for indices in track(batches, doing, len(split), size=len):
        yield np.stack([_read_example(split, i, size, channels, crop) for i in indices])


def _read_example(split: Split, index: int, size, channels: int, crop: float) -> np.ndarray:
    if split.paths is not None:
        return read_image(split.paths[index], size, channels, crop)
    if split.encoded is not None:
        return read_image(io.BytesIO(split.encoded[index]), size, channels, crop)
    return resize_to_fit(with_channels(split.arrays[index], channels), size, crop)


def typical_side(split: Split, sample: int = 100) -> int:
    """The median length in pixels of the shorter side of the images, from a sample of them."""
    if split.arrays is not None:
        return min(split.arrays.shape[1:3])
    files = split.paths if split.paths is not None else split.encoded
    sides = []
    for i in np.linspace(0, len(files) - 1, min(sample, len(files)), dtype=int):
        file = files[i] if split.paths is not None else io.BytesIO(files[i])
        with opened(file) as image:  # reads the header alone
            sides.append(min(image.size))
    return int(np.median(sides))


def shows_colour(split: Split, sample: int = 20) -> bool:
    """Whether most of the images are coloured, from a sample of them; an RGB file may be grey."""
    differences = []
    for i in np.linspace(0, len(split) - 1, min(sample, len(split)), dtype=int):
        pixels = _read_example(split, i, (64, 64), 3, 1.0)
        differences.append((pixels.max(-1) - pixels.min(-1)).mean())
    return bool(np.median(differences) > _GREY)
