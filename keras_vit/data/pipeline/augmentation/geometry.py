# SPDX-License-Identifier: MIT
"""Operations that move pixels: each pixel of the result is the nearest one of the image, or grey.

All take uint8 `(height, width, channels)` with a known shape and return the same. The convention is
Pillow's: the origin is the top left corner, the centre of the first pixel is at (0.5, 0.5), and a
transformation says where in the image a pixel of the result comes from.
"""

import math

import tensorflow as tf

from keras_vit.data.pipeline.augmentation.boxes import paste

FILL = 128


def shear_x(image, factor):
    """The row at y comes from x + factor * y."""
    return _affine(image, 1.0, factor, 0.0, 0.0, 1.0, 0.0)


def shear_y(image, factor):
    """The column at x comes from y + factor * x."""
    return _affine(image, 1.0, 0.0, 0.0, factor, 1.0, 0.0)


def translate_x(image, pixels):
    """Comes from x + pixels, to the nearest whole number of them."""
    height, width, channels = image.shape
    # What moves left (shift > 0) leaves grey on the right, and the other way round; one of the two
    # strips is empty.
    shift = tf.clip_by_value(tf.cast(tf.floor(pixels + 0.5), tf.int32), -width, width)
    left = _grey(height, tf.maximum(-shift, 0), channels)
    right = _grey(height, tf.maximum(shift, 0), channels)
    kept = image[:, tf.maximum(shift, 0) : width + tf.minimum(shift, 0)]
    return tf.ensure_shape(tf.concat([left, kept, right], 1), image.shape)


def translate_y(image, pixels):
    """Comes from y + pixels, to the nearest whole number of them."""
    height, width, channels = image.shape
    shift = tf.clip_by_value(tf.cast(tf.floor(pixels + 0.5), tf.int32), -height, height)
    top = _grey(tf.maximum(-shift, 0), width, channels)
    bottom = _grey(tf.maximum(shift, 0), width, channels)
    kept = image[tf.maximum(shift, 0) : height + tf.minimum(shift, 0)]
    return tf.ensure_shape(tf.concat([top, kept, bottom], 0), image.shape)


def rotate(image, degrees):
    """Turns counter-clockwise around the centre."""
    angle = degrees * (math.pi / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = image.shape[0] / 2, image.shape[1] / 2  # the centre, which stays where it is
    return _affine(image, cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def cutout(image, reach, place):
    """Covers by grey what is within `reach` pixels of a place (arXiv 1708.04552).

    Args:
        image: see above.
        reach: half of the box's side; rounded down.
        place: float32 `(2,)`, the box's centre as shares of height and width, 0 to 1.
    """
    reach = tf.floor(reach)
    sides = tf.constant(tuple(image.shape[:2]), tf.float32)  # height, width
    centre = tf.floor(place * sides)  # row, column
    begin = tf.cast(tf.clip_by_value(centre - reach, 0.0, sides), tf.int32)
    end = tf.cast(tf.clip_by_value(centre + reach, 0.0, sides), tf.int32)
    extent = end - begin
    patch = _grey(extent[0], extent[1], image.shape[-1])
    return paste(image, patch, tf.concat([begin, extent], 0))


def _grey(height, width, channels):
    return tf.fill([height, width, channels], tf.constant(FILL, tf.uint8))


def _affine(image, a, b, c, d, e, f):
    """The pixel at (x, y) comes from (a x + b y + c, d x + e y + f)."""
    # To gather rows of an index is three times as fast as ImageProjectiveTransformV3.
    height, width, channels = image.shape
    x = tf.range(width, dtype=tf.float32) + 0.5  # (width,)
    y = tf.range(height, dtype=tf.float32)[:, None] + 0.5  # (height, 1)
    # For each pixel of the result, the row and column that it comes from: (height, width).
    column = tf.cast(tf.floor(a * x + b * y + c), tf.int32)
    row = tf.cast(tf.floor(d * x + e * y + f), tf.int32)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    # Pixels are numbered row by row; the number after the last is that of a grey one.
    source = tf.where(inside, row * width + column, height * width)
    pixels = tf.reshape(image, [-1, channels])
    pixels = tf.concat([pixels, _grey(1, 1, channels)[0]], 0)  # (height * width + 1, channels)
    return tf.gather(pixels, source)  # (height, width, channels)
