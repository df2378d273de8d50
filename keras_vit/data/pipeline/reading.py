# SPDX-License-Identifier: MIT
"""From the index of an example to its pixels, from files or from memory."""

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from keras_vit import hardware
from keras_vit.data.checks.examine import broken_message
from keras_vit.data.dataset import Arrays, Encoded, Files, Split
from keras_vit.data.pipeline.augmentation.boxes import cut, rounded
from keras_vit.data.pipeline.decoding import decode, undecodable, upright, with_channels
from keras_vit.data.pipeline.parallel import mapped, untuned
from keras_vit.data.pipeline.resampling import resampled
from keras_vit.errors import UserError
from keras_vit.preprocessing import Preprocessing
from keras_vit.progress import track
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_bytes

_SHARE = 0.25  # of the free memory, what "auto" may fill
_CHUNK = 512  # images that are decoded between two signs of life
_PROBE = 64  # images that are decoded to guess whether all have whole values


@functools.singledispatch
def reader(split: Any, channels: int) -> Callable:
    """Makes the function that reads one example.

    Args:
        split: examples.
        channels: 1 or 3.

    Returns:
        A function of an index, and perhaps of a `box_of` and a `size` (see `decode`), to an upright
        uint8 image `(height, width, channels)`.
    """
    contents_of, name_of = contents_reader(split), _name_reader(split)
    turned = bool((split.orientation != 1).any())
    orientations = tf.constant(split.orientation) if turned else None

    def read(index, box_of=None, size=None):
        contents, name = contents_of(index), name_of(index)
        if not turned:  # most sets: spare them the branches
            return decode(contents, channels, box_of, name, size)
        orientation = tf.gather(orientations, index)

        def turn():
            # A box is drawn for the upright image, so that all of it is decoded and turned first.
            return _part(upright(decode(contents, channels, name=name), orientation), box_of)

        def straight():
            return decode(contents, channels, box_of, name, size)

        image = tf.cond(orientation == 1, straight, turn)
        return tf.ensure_shape(image, (None, None, channels))

    return read


@reader.register
def _(split: Arrays, channels: int) -> Callable:
    arrays = tf.constant(split.pixels)  # (n, height, width, 1 or 3)
    return lambda index, box_of=None, size=None: _part(
        with_channels(tf.gather(arrays, index), channels), box_of
    )


def _part(image, box_of):
    return image if box_of is None else cut(image, box_of(tf.shape(image)[:2]))


@functools.singledispatch
def contents_reader(split: Split) -> Callable:
    """Makes the function from an index to the contents of an image file, a string scalar."""
    raise TypeError(f"{type(split).__name__} holds no image files")


@contents_reader.register
def _(split: Files) -> Callable:
    paths = _paths(split)
    return lambda index: tf.io.read_file(tf.gather(paths, index))


@contents_reader.register
def _(split: Encoded) -> Callable:
    contents = tf.constant(split.contents)
    return lambda index: tf.gather(contents, index)


def _name_reader(split: Split) -> Callable:
    """Makes the function from an index to what errors call the example, a string scalar."""
    if not split.files:
        return lambda index: tf.strings.format("example {}", index)
    paths = _paths(split)
    return lambda index: tf.gather(paths, index)


def _paths(split: Split) -> tf.Tensor:
    """The names of the files, string `(n,)`; a name may be bytes that are no text."""
    return tf.constant([os.fsencode(path) for path in split.files])


def with_contents(split: Any, cache: str) -> Split:
    """The split with the contents of its files in memory, where `cache` (see `Data`) says so."""
    if not split.files or cache == "none":
        return split
    if cache == "auto" and sum(map(os.path.getsize, split.files)) > _budget():
        return split
    with ThreadPoolExecutor() as pool:
        arriving = pool.map(lambda path: read_bytes(path, limits.IMAGE), split.files)
        contents = list(track(arriving, "reading image files into memory", len(split)))
    return Encoded(split.labels, contents, split.orientation)


def prepared(split: Split, preprocessing: Preprocessing, cache: str, as_bytes: bool) -> Callable:
    """Makes the function from an index to an example as evaluation sees it.

    Args:
        split: examples.
        preprocessing: what is made of each image.
        cache: see `Data`; the pixels are the same.
        as_bytes: rounds to uint8.

    Returns:
        A function to `(height, width, channels)`; uint8 with `as_bytes` and for arrays of this
        size, else float32.
    """
    read = reader(split, preprocessing.channels)

    @tf.autograph.experimental.do_not_convert  # as in `batches`
    def prepare(index):
        image = resize_to_fit(read(index), preprocessing)
        image = rounded(image) if as_bytes else image
        return tf.ensure_shape(image, preprocessing.shape)

    if split.is_held_at(preprocessing.image_size):
        return prepare
    try:
        return _kept(prepare, len(split), math.prod(preprocessing.shape), cache)
    except tf.errors.OpError as error:
        problems = undecodable(split.files) if split.files else ()
        if problems:
            folder = os.path.commonpath(split.files)
            raise UserError(broken_message(folder, problems)) from error
        raise


def resize_to_fit(image, preprocessing: Preprocessing):
    """Crops the centre and resizes: the TensorFlow form of `keras_vit.data.images.resize_to_fit`.

    Args:
        image: `(height, width, channels)`, of the wanted channels, uint8 or float32.
        preprocessing: what is made of it.

    Returns:
        `(height, width, channels)` of the wanted size, 0 to 255: float32, but uint8 images whose
        size is known and fits stay uint8.
    """
    size, view = preprocessing.image_size, preprocessing.view
    if view.crop == 1.0 and image.shape[:2] == size:
        return image
    shape = tf.shape(image)  # height, width, channels
    if view.framing == "box":
        # What `Preprocessing.box` computes, for a size that is known when the graph runs; in
        # float64, as in Python, so that both round alike.
        wanted = tf.constant(size, tf.float64)  # height, width
        scale = tf.reduce_min(tf.cast(shape[:2], tf.float64) / wanted) * view.crop
        box = tf.cast(tf.round(wanted * scale), tf.int32)  # height, width
        box = tf.clip_by_value(box, 1, shape[:2])
        # top, left, height, width
        image = cut(image, tf.concat([(shape[:2] - box) // 2, box], 0))
        image = tf.cond(
            tf.reduce_all(box == size),
            lambda: tf.cast(image, tf.float32),
            lambda: resampled(image, size, view.interpolation, scale=size / box),
        )
    else:
        shift, scale = _cut_after_resizing(shape[:2], preprocessing)
        image = resampled(image, size, view.interpolation, shift, scale)
    return tf.ensure_shape(image, (*size, image.shape[-1]))


def _cut_after_resizing(sides, preprocessing: Preprocessing):
    """The same for boxes that libraries cut out of a resized image; see `Preprocessing.box`.

    Args:
        sides: height and width of the image, int32 `(2,)`.
        preprocessing: of another framing than "box".

    Returns:
        Top and left of the cut in the resized image, and its pixels for one of the image, downwards
        and across; both float64 `(2,)`.
    """
    rows, columns = preprocessing.resized_to
    to = tf.constant((rows, columns), tf.float64)
    sides = tf.cast(sides, tf.float64)
    resized, framing = to, preprocessing.view.framing
    if framing != "squash":
        whole = tf.floor if rows == columns else tf.round
        first = sides[0] * to[1] <= sides[1] * to[0]
        wanted, short = tf.where(first, to[0], to[1]), tf.where(first, sides[0], sides[1])
        resized = whole(sides * wanted / short)
    cut_off = resized - tf.constant(preprocessing.image_size, tf.float64)
    start = tf.floor if framing == "shortest_edge" else tf.round
    return start(cut_off / 2), resized / sides


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

    @tf.autograph.experimental.do_not_convert
    def as_bytes(index):
        """The image as uint8, and whether it is still the same."""
        image = prepare(index)
        return rounded(image), tf.reduce_all(tf.cast(rounded(image), dtype) == image)

    images = None  # once they are kept: (n, height, width, channels)
    # Images that are not whole would be decoded for nothing: a few are looked at first.
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
    batches = untuned(mapped(indices, function).batch(_CHUNK))

    def images_in(part):
        return len(tf.nest.flatten(part)[0])

    # A progress bar needs parts: (chunk, ...) each, together (n, ...).
    parts = track(batches, "decoding images", len(indices), size=images_in)
    return tf.nest.map_structure(lambda *those: tf.concat(those, axis=0), *parts)


def _budget() -> float:
    return _SHARE * hardware.free_memory_bytes()
