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
    # To gather pixels of an index is several times as fast as ImageProjectiveTransformV3.
    height, width, channels = image.shape
    x = tf.range(width, dtype=tf.float32) + 0.5  # (width,)
    y = tf.range(height, dtype=tf.float32)[:, None] + 0.5  # (height, 1)
    # For each pixel of the result, the row and column that it comes from, (height, width); outside
    # of the image those of a frame of one grey pixel.
    column = tf.clip_by_value(tf.floor(a * x + b * y + c), -1.0, float(width))
    row = tf.clip_by_value(tf.floor(d * x + e * y + f), -1.0, float(height))
    framed = tf.pad(image, [[1, 1], [1, 1], [0, 0]], constant_values=FILL)
    # Pixels are numbered row by row, in whole numbers that float32 holds up to 2^24.
    source = tf.cast(row * (width + 2) + column, tf.int32) + (width + 3)
    pixels = tf.reshape(framed, [-1, channels])
    return tf.gather_nd(pixels, source[..., None])  # (height, width, channels)
