# SPDX-License-Identifier: MIT
"""What a data set is: named classes, and three splits of labelled images.

A split holds its images in one of three forms, `Files`, `Encoded` and `Arrays`. Whoever uses a
split asks it, and need not know which one it is.
"""

import abc
import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from keras_vit.data.images import opened, read_image, read_upright, resize_to_fit
from keras_vit.preprocessing import Preprocessing
from keras_vit.progress import track
from keras_vit.threads import map_in_threads

_GREY = 4  # of 255: the mean difference of color channels that is still called grey


@dataclasses.dataclass(frozen=True)
class Split(abc.ABC):
    """One split: labels, and an image for each of them.

    Attributes:
        labels: int64 `(n,)`, positions in the class names; or uint8 `(n, classes)`, 1 for each
            class that an image shows.
    """

    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Self:
        """The examples at these positions, in this order."""

        def pick(values):
            if isinstance(values, np.ndarray):
                return values[indices]
            return values and [values[i] for i in indices]

        return type(self)(**{f.name: pick(getattr(self, f.name)) for f in dataclasses.fields(self)})

    @property
    def files(self) -> Sequence[str]:
        """Names of its image files; empty where the images are held in memory."""
        return ()

    @property
    def channels(self) -> int:
        """Channels of `pixels_of`; a file is always decoded to three."""
        return 3

    def is_held_at(self, image_size: tuple[int, int]) -> bool:
        """Whether all images are held in memory as pixels, and have this height and width."""
        return False

    @abc.abstractmethod
    def named(self, split: str) -> Self:
        """The same, where examples without a name of their own get one from a split."""

    @abc.abstractmethod
    def name_of(self, index: int) -> str:
        """What records and messages call an example: its path, or where it stood in its source."""

    @abc.abstractmethod
    def pixels_of(self, index: int) -> np.ndarray:
        """The upright image of an example, uint8 `(height, width, channels)`."""

    def seen_of(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        """What a model sees of an example, float32 `(height, width, channels)`, 0 to 255."""
        return resize_to_fit(self.pixels_of(index), preprocessing)

    @abc.abstractmethod
    def sides_of(self, index: int) -> tuple[int, int]:
        """The two sides of an image in pixels, in any order, without decoding it."""

    @abc.abstractmethod
    def fingerprint(self) -> dict:
        """Plain data that differ once an image, a label or the order does."""


@dataclasses.dataclass(frozen=True)
class Files(Split):
    """Images that lie in files.

    Attributes:
        paths: names of image files.
        orientation: uint8 `(n,)`, EXIF orientation of each file, 1 (upright) to 8.
    """

    paths: Sequence[str]
    orientation: np.ndarray

    @property
    def files(self) -> Sequence[str]:
        return self.paths

    def named(self, split: str) -> Self:
        return self  # a path is a name

    def name_of(self, index: int) -> str:
        return self.paths[index]

    def pixels_of(self, index: int) -> np.ndarray:
        return read_upright(self.paths[index])

    def seen_of(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        return read_image(self.paths[index], preprocessing)

    def sides_of(self, index: int) -> tuple[int, int]:
        with opened(self.paths[index]) as image:
            return image.size

    def fingerprint(self) -> dict:
        """`files`, a list of `[path, bytes, label]`; -1 bytes of a file that has gone."""
        sizes, labels = map(_size, self.paths), self.labels.tolist()
        return {"files": [list(row) for row in zip(self.paths, sizes, labels, strict=True)]}


@dataclasses.dataclass(frozen=True)
class _InMemory(Split):
    """Images that are held in memory.

    Attributes:
        names: what records and messages call each example; empty for their positions.
    """

    names: Sequence[str] = dataclasses.field(default=(), kw_only=True)

    def named(self, split: str) -> Self:
        """Each example is called by where it stood: `train/17`."""
        return dataclasses.replace(self, names=[f"{split}/{i}" for i in range(len(self))])

    def name_of(self, index: int) -> str:
        return self.names[index] if self.names else f"example {index}"

    def fingerprint(self) -> dict:
        """`examples`, their number, and the `sha256` of labels and images."""
        digest = hashlib.sha256(json.dumps(self.labels.tolist()).encode())
        for part in self._contents():
            digest.update(part)
        return {"examples": len(self), "sha256": digest.hexdigest()}

    @abc.abstractmethod
    def _contents(self) -> Iterable[bytes]:
        """What the images are made of."""


@dataclasses.dataclass(frozen=True)
class Encoded(_InMemory):
    """Images that are held in memory as the contents of image files.

    Attributes:
        contents: of image files.
        orientation: uint8 `(n,)`, EXIF orientation that training applies to each, 1 to 8.
    """

    contents: Sequence[bytes]
    orientation: np.ndarray

    def pixels_of(self, index: int) -> np.ndarray:
        return read_upright(io.BytesIO(self.contents[index]))

    def seen_of(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        return read_image(io.BytesIO(self.contents[index]), preprocessing)

    def sides_of(self, index: int) -> tuple[int, int]:
        with opened(io.BytesIO(self.contents[index])) as image:
            return image.size

    def _contents(self) -> Iterable[bytes]:
        return self.contents


@dataclasses.dataclass(frozen=True)
class Arrays(_InMemory):
    """Images that are held in memory as pixels.

    Attributes:
        pixels: uint8 `(n, height, width, channels)`, 0 to 255, of 1 or 3 channels.
    """

    pixels: np.ndarray

    @property
    def channels(self) -> int:
        return self.pixels.shape[-1]

    def is_held_at(self, image_size: tuple[int, int]) -> bool:
        return self.pixels.shape[1:3] == image_size

    def pixels_of(self, index: int) -> np.ndarray:
        return self.pixels[index]

    def sides_of(self, index: int) -> tuple[int, int]:
        return self.pixels.shape[1:3]

    def _contents(self) -> Iterable[bytes]:
        return [self.pixels.tobytes()]


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images in named classes, split into train, validation and test.

    Attributes:
        name: what it is called in messages.
        classes: class names; a label is a position in them. Empty for images without labels.
        train, validation, test: the splits.
        notes: what a reader of the results must know about the images and splits.
        root: the folder that records name files relative to; None without files.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    notes: tuple[str, ...] = ()
    root: Path | None = None

    @property
    def task(self) -> str:
        """ "single" when each image is of one class, "multi" when of any number."""
        return "single" if self.train.labels.ndim == 1 else "multi"

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by their names, "train" first."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def without_labels(self) -> "ImageSet":
        """The same images, without classes."""
        splits: dict[str, Any] = {
            name: dataclasses.replace(split, labels=np.zeros(len(split), "int64"))
            for name, split in self.splits.items()
        }
        return dataclasses.replace(self, classes=(), **splits)


def split_batches(
    split: Split, preprocessing: Preprocessing, batch_size: int, doing: str = "reading images"
) -> Iterator[np.ndarray]:
    """Every image of a split once, in order, read without TensorFlow, on all cores.

    The next batch is read while the caller computes with one.

    Args:
        split: examples.
        preprocessing: what is made of each image.
        batch_size: images in a batch; the last may have fewer.
        doing: what they are read for; see `keras_vit.progress.step`.

    Yields:
        float32 `(batch, height, width, channels)`, 0 to 255.
    """
    starts = range(0, len(split), batch_size)
    batches = (range(start, min(start + batch_size, len(split))) for start in starts)
    read = map_in_threads(lambda i: split.seen_of(i, preprocessing), range(len(split)), batch_size)
    with contextlib.closing(read):
        for indices in track(batches, doing, len(split), size=len):
            yield np.stack([next(read) for _ in indices])


def typical_side(split: Split, sample: int = 100) -> int:
    """The median length in pixels of the shorter side of the images, from a sample of them."""
    return int(np.median([min(split.sides_of(i)) for i in _spread(split, sample)]))


def shows_color(split: Split, sample: int = 20) -> bool:
    """Whether most of the images are colored, from a sample of them; an RGB file may be grey."""
    small, differences = Preprocessing((64, 64)), []
    for i in _spread(split, sample):
        pixels = resize_to_fit(split.pixels_of(i), small)  # (64, 64, 3)
        differences.append((pixels.max(-1) - pixels.min(-1)).mean())
    return bool(np.median(differences) > _GREY)


def _spread(split: Split, sample: int) -> np.ndarray:
    """Positions of at most `sample` examples, evenly from the first to the last."""
    return np.linspace(0, len(split) - 1, min(sample, len(split)), dtype=int)


def _size(path: str) -> int:
    """Bytes of a file; -1 of one that has gone, which differs from what it was."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1
