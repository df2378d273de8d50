# SPDX-License-Identifier: MIT
"""Operations on the values of pixels, with the results of Pillow.

Each takes uint8 `(height, width, channels)` of any number of channels and returns the same. Means,
extremes and histograms are those of one image, per channel where Pillow's are. Images of one
channel are their own grey picture, so that `color` leaves them as they are.
"""

import math

import numpy as np
import tensorflow as tf

# ITU-R 601 in the whole numbers that Pillow uses, over their sum; float32 has room for the sums.
_GREY = np.array([19595, 38470, 7471], "float32") / 65536
_PIXELS = 4  # that one row of a product has: TensorFlow is slow where the last axis is short


def invert(image):
    """255 minus each value."""
    return 255 - image


def posterize(image, bits):
    """Keeps the `bits` highest bits of each value, 0 to 8."""
    dropped = 8 - tf.minimum(tf.cast(bits, tf.int32), 8)
    return tf.bitwise.bitwise_and(image, tf.cast(tf.bitwise.left_shift(255, dropped), tf.uint8))


def solarize(image, threshold):
    """Inverts the values at or above a threshold, 0 to 256."""
    # As bytes, of which 16 are computed at a time; no byte reaches 256.
    reached = image >= tf.cast(tf.minimum(tf.math.ceil(threshold), 255.0), tf.uint8)
    inverting = tf.cast(tf.where(threshold > 255, 0, 255), tf.uint8)
    return tf.bitwise.bitwise_xor(image, inverting * tf.cast(reached, tf.uint8))


def solarize_add(image, addition):
    """Adds to the values below 128, up to 255."""
    addition = tf.cast(tf.clip_by_value(tf.floor(addition), 0.0, 255.0), tf.uint8)
    low = tf.cast(image < 128, tf.uint8)
    return image + low * tf.minimum(addition, 255 - image)


def auto_contrast(image):
    """Stretches each channel to 0 to 255; one of a single value stays."""
    pixels = _rows(tf.cast(image, tf.float32))
    # First over rows, then over the columns of each channel.
    low, high = (
        reduce(tf.reshape(reduce(pixels, 0), image.shape[1:]), 0)
        for reduce in (tf.reduce_min, tf.reduce_max)
    )
    flat = low == high  # (x - 0) * 255 / 255 is x
    low, extent = tf.where(flat, 0.0, low), tf.where(flat, 255.0, high - low)
    # (x - low) * 255 is exact, and a rounded quotient of whole numbers cannot pass a whole number.
    stretched = (pixels - _row(low, image)) * 255 / _row(extent, image)
    return tf.reshape(tf.cast(stretched, tf.uint8), image.shape)


def equalize(image):
    """Makes the histogram of each channel flat (the rule of Pillow's `ImageOps.equalize`)."""
    channels = image.shape[-1]
    # Each channel has 256 bins of its own, one channel after the other.
    bins = _rows(tf.cast(image, tf.int32)) + _row(256 * tf.range(channels), image)
    counts = tf.math.bincount(bins, minlength=256 * channels, maxlength=256 * channels)
    counts = tf.reshape(counts, [channels, 256])
    # As in Pillow: a step is the share of the pixels, without those of the highest value, that each
    # of the 255 other values should have.
    highest = tf.reduce_max(tf.range(256) * tf.sign(counts), 1)
    last = tf.gather(counts, highest, batch_dims=1)
    step = (tf.reduce_sum(counts, 1) - last)[:, None] // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.where(step > 0, table, tf.range(256))  # a channel of few pixels stays
    # In less time than `tf.gather`.
    equal = tf.gather_nd(tf.reshape(tf.cast(table, tf.uint8), [-1]), bins[..., None])
    return tf.reshape(equal, image.shape)


def color(image, factor):
    """Blends with the grey picture: 0 is grey, 1 the image, above 1 more colorful."""
    if image.shape[-1] == 1:
        return image
    pixels = tf.cast(image, tf.float32)
    return _blend(tf.reshape(_grey(pixels, 3), image.shape), pixels, factor)


def contrast(image, factor):
    """Blends with the mean of the grey picture."""
    pixels = tf.cast(image, tf.float32)
    return _blend(tf.floor(tf.reduce_mean(_grey(pixels)) + 0.5), pixels, factor)


def brightness(image, factor):
    """Blends with black."""
    return _blend(0.0, tf.cast(image, tf.float32), factor)


def sharpness(image, factor):
    """Blends with the image smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, whose border stays."""
    height, width, channels = image.shape
    if min(height, width) < 3:
        return image
    # All values in one line, so that neighbors are whole slices of it: `row` values on is the pixel
    # below, `channels` on the next one. What is wrong at the ends of rows is border.
    row, line = width * channels, tf.reshape(tf.cast(image, tf.float32), [-1])
    middle = line[row + channels : -row - channels]  # from the second pixel of the second row on
    total = line[: -2 * row] + line[row:-row] + line[2 * row :]
    total = total[: -2 * channels] + total[channels:-channels] + total[2 * channels :] + 4 * middle
    # No whole number plus 1/2 is a multiple of 1/13: nothing is near a border of `floor`.
    sharp = _blend(tf.floor(total * (1 / 13) + 0.5), middle, factor)
    sharp = tf.reshape(tf.pad(sharp, [[channels, channels]]), [height - 2, width, channels])
    sharp = tf.concat([image[1:-1, :1], sharp[:, 1:-1], image[1:-1, -1:]], 1)
    return tf.concat([image[:1], sharp, image[-1:]], 0)


def gaussian_blur(image, sigma):
    """Blurs by a Gaussian of `sigma` pixels, cut off and scaled to a sum of 1 at the borders.

    Pillow approximates the same Gaussian by three box filters.
    """
    height, width, channels = image.shape
    # One product of matrices for each side, which is first brought to the front.
    rows = tf.reshape(tf.cast(image, tf.float32), [height, width * channels])
    rows = tf.matmul(_gaussian(height, sigma), rows)
    columns = tf.transpose(tf.reshape(rows, [height, width, channels]), [1, 0, 2])
    columns = tf.reshape(columns, [width, height * channels])
    columns = tf.matmul(_gaussian(width, sigma), columns)
    blurred = tf.transpose(tf.reshape(columns, [width, height, channels]), [1, 0, 2])
    return tf.cast(blurred + 0.5, tf.uint8)


def _gaussian(side: int, sigma):
    """The blur along one side, float32 `(side, side)`, whose rows sum to 1."""
    places = tf.range(side, dtype=tf.float32)
    weights = tf.exp(-0.5 * tf.square((places[:, None] - places) / sigma))
    return weights / tf.reduce_sum(weights, 1, keepdims=True)


def _grey(pixels, copies: int = 1):
    """The grey picture of float32 `(height, width, channels)`, of whole numbers.

    Returns:
        float32 of any shape: one number for each pixel, `copies` times each; as they are where
        there is one channel.
    """
    if pixels.shape[-1] == 1:
        return pixels
    count = math.gcd(math.prod(pixels.shape[:2]), _PIXELS)
    # (pixel, channel) to (pixel, copy): each pixel by itself; (3 * count, copies * count).
    weights = np.kron(np.eye(count, dtype="float32"), np.repeat(_GREY[:, None], copies, 1))
    return tf.floor(tf.matmul(tf.reshape(pixels, [-1, 3 * count]), weights) + 0.5)


def _rows(image):
    """`(height, width * channels)`: TensorFlow is slow where the last axis is short."""
    height, width, channels = image.shape
    return tf.reshape(image, [height, width * channels])


def _row(values, image):
    """One value for each channel, as one row of `_rows`."""
    return tf.tile(values, [image.shape[1]])


def _blend(degenerate, pixels, factor):
    """`degenerate + factor * (pixels - degenerate)`, cut off at 0 and 255 and rounded down."""
    blended = degenerate + factor * (pixels - degenerate)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)
