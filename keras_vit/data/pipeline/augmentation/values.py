# SPDX-License-Identifier: MIT
"""Operations on the values of pixels, with the results of Pillow.

Each takes uint8 `(height, width, channels)` of any number of channels and returns the same. Means,
extremes and histograms are those of one image, per channel where Pillow's are. Images of one
channel are their own grey picture, so that `color` leaves them as they are.
"""

import tensorflow as tf

# ITU-R 601 in the whole numbers that Pillow uses; sums of them are exact in float32.
_GREY = ((19595.0,), (38470.0,), (7471.0,))


def invert(image):
    """255 minus each value."""
    return 255 - image


def posterize(image, bits):
    """Keeps the `bits` highest bits of each value, 0 to 8."""
    dropped = 8 - tf.minimum(tf.cast(bits, tf.int32), 8)
    return tf.bitwise.bitwise_and(image, tf.cast(tf.bitwise.left_shift(255, dropped), tf.uint8))


def solarize(image, threshold):
    """Inverts the values at or above a threshold, 0 to 256."""
    return tf.bitwise.bitwise_xor(image, 255 * _at_least(image, threshold))


def solarize_add(image, addition):
    """Adds to the values below 128, up to 255."""
    raised = tf.minimum(tf.cast(image, tf.float32) + tf.floor(addition), 255.0)
    low = 1 - _at_least(image, 128.0)
    return image + low * (tf.cast(raised, tf.uint8) - image)


def auto_contrast(image):
    """Stretches each channel to 0 to 255; one of a single value stays."""
    low, high = tf.reduce_min(image, (0, 1)), tf.reduce_max(image, (0, 1))
    flat = low == high
    low = tf.where(flat, tf.zeros_like(low), low)
    factor = tf.where(flat, 1.0, 255.0)
    extent = tf.where(flat, 1.0, tf.cast(high - low, tf.float32))
    # (x - low) * 255 is exact, and a rounded quotient of whole numbers cannot pass a whole number.
    pixels = _rows(tf.cast(image, tf.float32)) - _row(tf.cast(low, tf.float32), image)
    stretched = pixels * _row(factor, image) / _row(extent, image)
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
    highest = tf.cast(tf.reduce_max(image, (0, 1)), tf.int32)
    last = tf.gather(counts, highest, batch_dims=1)
    step = (tf.reduce_sum(counts, 1) - last)[:, None] // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.where(step > 0, table, tf.range(256))  # a channel of few pixels stays
    equal = tf.gather(tf.reshape(tf.cast(table, tf.uint8), [-1]), bins)
    return tf.reshape(equal, image.shape)


def color(image, factor):
    """Blends with the grey picture: 0 is grey, 1 the image, above 1 more colorful."""
    return image if image.shape[-1] == 1 else _blend(_grey(image, 3), image, factor)


def contrast(image, factor):
    """Blends with the mean of the grey picture."""
    return _blend(tf.floor(tf.reduce_mean(_grey(image)) + 0.5), image, factor)


def brightness(image, factor):
    """Blends with black."""
    return _blend(0.0, image, factor)


def sharpness(image, factor):
    """Blends with the image smoothed by (1 1 1, 1 5 1, 1 1 1) / 13, whose border stays."""
    if min(image.shape[:2]) < 3:
        return image
    pixels = tf.cast(image, tf.float32)
    # The sum over 3 x 3 pixels, rows first; the one in the middle counts five times.
    total = pixels[:-2] + pixels[1:-1] + pixels[2:]
    total = total[:, :-2] + total[:, 1:-1] + total[:, 2:] + 4 * pixels[1:-1, 1:-1]
    smooth = tf.floor(total / 13 + 0.5)  # (height - 2, width - 2, channels)
    middle = pixels[1:-1]
    smooth = tf.concat([middle[:, :1], smooth, middle[:, -1:]], 1)
    return _blend(tf.concat([pixels[:1], smooth, pixels[-1:]], 0), image, factor)


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


def _at_least(image, threshold):
    """1 where a value is at least the threshold, else 0, as uint8."""
    return tf.cast(tf.cast(image, tf.float32) >= threshold, tf.uint8)


def _grey(image, copies: int = 1):
    """float32 `(height, width, copies)` of whole numbers; one copy where there is one channel."""
    pixels = tf.cast(image, tf.float32)
    if image.shape[-1] == 1:
        return pixels
    total = tf.matmul(tf.reshape(pixels, [-1, 3]), tf.repeat(tf.constant(_GREY), copies, 1))
    return tf.reshape(tf.floor((total + 32768) / 65536), [*image.shape[:2], copies])


def _rows(image):
    """`(height, width * channels)`: TensorFlow is slow where the last axis is short."""
    height, width, channels = image.shape
    return tf.reshape(image, [height, width * channels])


def _row(values, image):
    """One value for each channel, as one row of `_rows`."""
    return tf.tile(values, [image.shape[1]])


def _blend(degenerate, image, factor):
    """`degenerate + factor * (image - degenerate)`, cut off at 0 and 255 and rounded down."""
    blended = degenerate + factor * (tf.cast(image, tf.float32) - degenerate)
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)
