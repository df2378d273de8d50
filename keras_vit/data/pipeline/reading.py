# SPDX-License-Identifier: MIT
"""From the index of an example to its pixels, from files or from memory."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from keras_vit import hardware
from keras_vit.data.checks.examine import broken_message
from keras_vit.data.dataset import Split
from keras_vit.data.pipeline.augmentation.crops import cut, rounded
from keras_vit.data.pipeline.decoding import decode, undecodable, upright, with_channels
from keras_vit.errors import UserError
from keras_vit.progress import track
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_bytes

_SHARE = 0.25  # of the free memory, what "auto" may fill
_CHUNK = 512  # images that are decoded between two signs of life
_PROBE = 64  # images that are decoded to guess whether all have whole values


def reader(split: Split, channels: int):
    """Makes the function that reads one example.

    Args:
        split: examples.
        channels: 1 or 3.

    Returns:
        A function of an index, and perhaps of a `box_of` (see `decode`), to an upright uint8 image
        `(height, width, channels)`.
    """
    if split.arrays is not None:
        arrays = tf.constant(split.arrays)

        def read(index, box_of=None):
            image = with_channels(tf.gather(arrays, index), channels)
            return image if box_of is None else cut(image, box_of(tf.shape(image)[:2]))

        return read

    contents_of, name_of = contents_reader(split), _name_reader(split)
    turned = split.orientation is not None and bool((split.orientation != 1).any())
    orientations = tf.constant(split.orientation) if turned else None

    def read(index, box_of=None):
        contents, name = contents_of(index), name_of(index)
        if not turned:  # most sets: spare them the branches
            return decode(contents, channels, box_of, name)
        orientation = tf.gather(orientations, index)

        def turn():
            image = upright(decode(contents, channels, name=name), orientation)
            return image if box_of is None else cut(image, box_of(tf.shape(image)[:2]))

        image = tf.cond(orientation == 1, lambda: decode(contents, channels, box_of, name), turn)
        return tf.ensure_shape(image, (None, None, channels))

    return read


def contents_reader(split: Split):
    """Makes the function from an index to the contents of an image file, a string scalar."""
    if split.encoded is not None:
        encoded = tf.constant(split.encoded)
        return lambda index: tf.gather(encoded, index)
    paths = _paths(split)
    return lambda index: tf.io.read_file(tf.gather(paths, index))


def _name_reader(split: Split):
    """Makes the function from an index to what errors call the example, a string scalar."""
    if split.paths is None:
        return lambda index: tf.strings.format("example {}", index)
    paths = _paths(split)
    return lambda index: tf.gather(paths, index)


def _paths(split: Split):
    """The names of the files as a string tensor; a name may be bytes that are no text."""
    return tf.constant([os.fsencode(path) for path in split.paths])


def with_contents(split: Split, cache: str) -> Split:
    """The split with the contents of its files in memory, where `cache` (see `Data`) says so."""
    if split.paths is None or cache == "none":
        return split
    if cache == "auto" and sum(map(os.path.getsize, split.paths)) > _budget():
        return split
    with ThreadPoolExecutor() as pool:
        contents = pool.map(lambda path: read_bytes(path, limits.IMAGE), split.paths)
        encoded = list(track(contents, "reading image files into memory", len(split)))
    return Split(split.labels, orientation=split.orientation, encoded=encoded)


def prepared(
    split: Split, size: tuple[int, int], channels: int, crop: float, cache: str, as_bytes: bool
):
    """Makes the function from an index to an example as evaluation sees it.

    Args:
        split: examples.
        size: height and width in pixels.
        channels: 1 or 3.
        crop: share of the largest centred box of the right aspect ratio that is kept.
        cache: see `Data`; the pixels are the same.
        as_bytes: rounds to uint8.

    Returns:
        A function to `(*size, channels)`; uint8 with `as_bytes` and for arrays of this size, else
        float32.
    """
    read = reader(split, channels)

    def prepare(index):
        image = resize_to_fit(read(index), size, crop)
        image = rounded(image) if as_bytes else image
        return tf.ensure_shape(image, (*size, channels))

    if split.arrays is not None and split.arrays.shape[1:3] == size:
        return prepare  # in memory already
    try:
        return _kept(prepare, len(split), math.prod((*size, channels)), cache)
    except tf.errors.OpError as error:
        problems = undecodable(split.paths) if split.paths is not None else ()
        if problems:
            folder = os.path.commonpath(split.paths)
            raise UserError(broken_message(folder, problems)) from error
        raise


def resize_to_fit(image, size: tuple[int, int], crop: float):
    """Crops the centre and resizes; the TensorFlow form of
    `keras_vit.data.images.resize_to_fit`, but uint8 images of known size that fit stay uint8."""
    if crop == 1.0 and image.shape[:2] == size:
        return image
    shape = tf.shape(image)
    extent = tf.cast(shape[:2], tf.float64)  # float64, as in Python: both must round alike
    wanted = tf.constant(size, tf.float64)
    scale = tf.reduce_min(extent / wanted) * crop
    box = tf.cast(tf.round(wanted * scale), tf.int32)
    box = tf.clip_by_value(box, 1, shape[:2])
    image = cut(image, tf.concat([(shape[:2] - box) // 2, box], 0))
    image = tf.cond(
        tf.reduce_all(box == size),
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, size, antialias=True),
    )
    return tf.ensure_shape(image, (*size, image.shape[-1]))


def _kept(prepare: Callable, count: int, values: int, cache: str) -> Callable:
    """`prepare` with its results for all indices in memory, where `cache` says so.

    Float images are kept as uint8 where all their values are whole, as those of files that need no
    resizing are.
    """

    def fits(bytes_per_value: int) -> bool:
        return cache == "memory" or count * values * bytes_per_value <= _budget()

    if cache == "none" or not fits(1):
        return prepare
    indices = tf.data.Dataset.range(count)
    dtype = indices.map(prepare).element_spec.dtype

    def as_bytes(index):
        """The image as uint8, and whether it is still the same."""
        image = prepare(index)
        return rounded(image), tf.reduce_all(tf.cast(rounded(image), dtype) == image)

    images = None
    if tf.reduce_all(_all(indices.take(_PROBE), as_bytes)[1]):
        kept, whole = _all(indices, as_bytes)
        images = kept if tf.reduce_all(whole) else None
    if images is None and fits(4):
        images = _all(indices, prepare)
    if images is None:
        return prepare
    return lambda index: tf.cast(tf.gather(images, index), dtype)


def _all(indices: tf.data.Dataset, function: Callable):
    """The results for all indices, stacked."""
    results = indices.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = results.batch(_CHUNK)

    def images_in(part):
        return len(tf.nest.flatten(part)[0])

    parts = track(batches, "decoding images", len(indices), size=images_in)
    return tf.nest.map_structure(lambda *those: tf.concat(those, axis=0), *parts)


def _budget() -> float:
    return _SHARE * hardware.free_memory_bytes()
