# SPDX-License-Identifier: MIT
"""From the contents of an image file to upright uint8 pixels, in a graph of TensorFlow.

Plain JPEG is decoded by TensorFlow, a part of it where no more is wanted, and everything else by
Pillow, through the same function as in predictions and in the audit. TensorFlow's other decoders
cannot read all that Pillow can (BMP of 1, 4 and 16 bits, animated WebP, TIFF, PNG with a wrong
checksum), or read it otherwise (BMP with a palette).
"""

import functools
import io
from collections.abc import Sequence

import tensorflow as tf

from keras_vit.data.checks.examine import problems_of
from keras_vit.data.images import opened, pixels_of
from keras_vit.data.pipeline.augmentation.boxes import cut
from keras_vit.untrusted import limits
from keras_vit.untrusted.reading import read_bytes

# The default DCT of TensorFlow is the fast one; the accurate one gives Pillow's pixels.
_DCT = "INTEGER_ACCURATE"
_MARGIN = 2  # columns: at the edges of what is decoded, color is interpolated otherwise
_REDUCED = (1, 2, 4, 8)  # pixels of a JPEG file, along a side, that libjpeg can decode to one
# Pixels, along a side, that resizing still has for one of its own: the antialiasing is its work.
# Pillow's thumbnails keep as many (`reducing_gap`).
_KEPT = 2


def decode(contents, channels: int, box_of=None, name="", size=None):
    """Decodes a file of any kind that `keras_vit.data.images` reads.

    With `size`, a part of a plain JPEG that is at least four times as large is decoded at a half,
    a quarter or an eighth of its scale, never to less than twice `size`. Where the picture has the
    spectrum of photographs, 1 / frequency, its resized pixels change by at most 1.53 of 255 on
    average, and none by more than 7.5: half of what bicubic instead of triangle changes
    (`tests/data/pipeline/test_decoding.py`).

    Args:
        contents: string scalar.
        channels: 1 or 3.
        box_of: function from int32 `(2,)`, the height and width of the image, to int32 `(4,)`, top,
            left, height and width of the part that is wanted; None for all of it.
        name: string scalar, what errors call the file.
        size: height and width to which the part will be resized, where fewer pixels will do; None
            for all of them.

    Returns:
        uint8 `(height, width, channels)`; without `size` the same pixels with and without `box_of`.
    """

    def jpeg():
        if box_of is None:
            return tf.io.decode_jpeg(contents, channels=3, dct_method=_DCT)
        return _decode_part(contents, box_of, size)

    def other():
        image = tf.numpy_function(_pillow, [contents, name], tf.uint8)
        image.set_shape([None, None, 3])
        return image if box_of is None else cut(image, box_of(tf.shape(image)[:2]))

    image = tf.cond(_is_plain_jpeg(contents), jpeg, other)
    image.set_shape([None, None, 3])
    return with_channels(image, channels)


def decode_in_graph(contents, channels: int):
    """Decodes JPEG, PNG, BMP, GIF (first frame) or WebP by operators of TensorFlow alone, for a
    model that is exported; see `decode`."""
    image = tf.cond(
        tf.io.is_jpeg(contents),
        lambda: tf.io.decode_jpeg(contents, channels=3, dct_method=_DCT),
        lambda: tf.io.decode_image(contents, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return with_channels(image, channels)


def undecodable(paths: Sequence[str]) -> list[str]:
    """What is wrong with files that broke a run: by the check, or else by decoding each as the run
    does."""
    return problems_of(paths) or [
        f"{path}: cannot be decoded by TensorFlow."
        for path in paths
        if not _can_be_decoded(read_bytes(path, limits.IMAGE))
    ]


def _can_be_decoded(contents: bytes) -> bool:
    try:
        decode(tf.constant(contents), 3)
    except tf.errors.OpError:
        return False
    return True


def _is_plain_jpeg(contents):
    """Whether it is a JPEG of one or three channels: four are CMYK, which is converted."""

    def plain():
        return tf.io.extract_jpeg_shape(contents)[2] <= 3

    return tf.cond(tf.io.is_jpeg(contents), plain, lambda: False)


def _pillow(contents: bytes, name: bytes):
    stream = io.BytesIO(contents)
    with opened(stream) as image:
        return pixels_of(image, name.decode("utf-8", "surrogateescape") or "an image")


def _decode_part(contents, box_of, size):
    """Decodes a part of a JPEG file, about in proportion to its size."""
    shape = tf.image.extract_jpeg_shape(contents)[:2]  # height, width
    box = box_of(shape)
    if size is None:
        return _decode_box(contents, shape, box, 1)
    times = tf.reduce_min(box[2:] // (_KEPT * tf.constant(size)))
    scale = tf.reduce_sum(tf.cast(times >= tf.constant(_REDUCED[1:]), tf.int32))
    branches = [
        functools.partial(_decode_box, contents, shape, box, reduced) for reduced in _REDUCED
    ]
    return tf.switch_case(scale, branches)


def _decode_box(contents, shape, box, reduced: int):
    """Decodes a box of a JPEG file to one pixel for `reduced` x `reduced` of it.

    Args:
        contents: string scalar.
        shape: int32 `(2,)`, height and width of the file's image.
        box: int32 `(4,)`, in pixels of the file; its place and sides are rounded down to whole
            pixels of the result.
        reduced: one of `_REDUCED`.
    """
    top, left, height, width = tf.unstack(box // reduced)
    columns = -(-shape[1] // reduced)  # libjpeg rounds up
    start = tf.maximum(left - _MARGIN, 0)
    end = tf.minimum(left + width + _MARGIN, columns)
    window = tf.stack([top, start, height, end - start])  # as wide as the part and its margins
    image = tf.io.decode_and_crop_jpeg(contents, window, channels=3, ratio=reduced, dct_method=_DCT)
    return image[:, left - start : left - start + width]


def upright(image, orientation):
    """Undoes an EXIF orientation, 1 to 8: first mirror, then rotate."""
    orientation = tf.cast(orientation, tf.int32)
    mirrored = tf.reduce_any(orientation == tf.constant([2, 4, 5, 7]))
    image = tf.cond(mirrored, lambda: tf.image.flip_left_right(image), lambda: image)
    # Quarter turns, counter-clockwise, for orientation 1 to 8.
    turns = tf.gather(tf.constant([0, 0, 0, 2, 2, 1, 3, 3, 1]), orientation)
    return tf.image.rot90(image, turns)


def with_channels(image, channels: int):
    """uint8 of 1, 3 or 4 channels to 1 or 3."""
    have = image.shape[-1]
    if have == channels:
        return image
    if have == 1:
        return tf.repeat(image, channels, axis=-1)
    # The weights of ITU-R 601 in the whole numbers that Pillow uses, so that greys are equal.
    weights = tf.constant([19595, 38470, 7471], tf.int32)  # of red, green, blue; sum: 65536
    grey = (tf.reduce_sum(tf.cast(image[..., :3], tf.int32) * weights, axis=-1) + 32768) // 65536
    return tf.cast(grey, tf.uint8)[..., None]  # (height, width, 1)
