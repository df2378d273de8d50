# SPDX-License-Identifier: MIT
"""Boxes of an image: which one training sees, what is pasted into one, and which one is erased.

A box is int32 `(4,)`: top, left, height and width in pixels.
"""

import math

import tensorflow as tf

_ATTEMPTS = 10  # boxes that are drawn to erase, of which the first that fits is taken
_AREA = (0.02, 1 / 3)  # of the box that is erased, shares of the image
_ASPECT = (0.3, 1 / 0.3)  # and its height over its width
# ImageNet's pixels, 0 to 255: standard normal noise where images are normalised by them.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def crop_seed(seed):
    """The seed of an image's crop, from that of the image, which is int32 `(2,)`."""
    return tf.random.split(seed, 2)[0]


def padded_crop(image, pad: int, size: tuple[int, int], seed):
    """Puts `pad` zeros around the image and cuts a window of `size` at a random place."""
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])  # rows, columns, channels
    return tf.image.stateless_random_crop(padded, (*size, image.shape[-1]), seed)


def inception_box(shape, min_area: float, seed):
    """Draws a box of `min_area` to all of an image, aspect ratio 3/4 to 4/3 (arXiv 1409.4842).

    Args:
        shape: int32 `(2,)`, height and width of the image.
        min_area: share of the area, above 0 to 1.
        seed: int32 `(2,)`.

    Returns:
        int32 `(4,)`, the box.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),  # the number of channels is not used
        tf.zeros([1, 0, 4], tf.float32),  # of one image no object that the box must cover
        seed,
        area_range=(min_area, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        min_object_covered=0.0,
        use_image_if_no_bounding_boxes=True,
    )
    # begin: top, left, 0; extent: height, width, -1. The last of each is for channels.
    return tf.concat([begin[:2], extent[:2]], 0)


def cut(image, box):
    """The part of an image in a box."""
    begin, extent = tf.split(box, 2)  # top, left; height, width
    channels = image.shape[-1]
    part = tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([extent, [channels]], 0))
    return tf.ensure_shape(part, (None, None, channels))


def paste(images, patch, box):
    """Puts a patch into a box.

    Args:
        images: `(height, width, channels)` or a batch of them.
        patch: what the box becomes, with as many axes.
        box: int32 `(4,)`.
    """
    top, left, height, width = tf.unstack(box)
    bottom, right = top + height, left + width
    # Axis -3 holds rows, axis -2 columns: first the rows of the box are made whole, then the image.
    rows = images[..., top:bottom, :, :]
    rows = tf.concat([rows[..., :left, :], patch, rows[..., right:, :]], -2)
    pasted = tf.concat([images[..., :top, :, :], rows, images[..., bottom:, :, :]], -3)
    return tf.ensure_shape(pasted, images.shape)


def rounded(image):
    """float32 of 0 to 255 to the nearest uint8; uint8 as it is."""
    return image if image.dtype == tf.uint8 else tf.cast(image + 0.5, tf.uint8)


def random_erasing(image, probability: float, seed):
    """Replaces a random box by noise, with a certain probability (arXiv 1708.04896).

    Args:
        image: float32 `(height, width, channels)` with a known shape, 0 to 255.
        probability: 0 to 1.
        seed: int32 `(2,)`.

    Returns:
        The same shape. The noise is normal with the mean and deviation of ImageNet's pixels (of
        their average for one channel), drawn for each value and not clipped.
    """
    decide_seed, box_seed, noise_seed = tf.unstack(tf.random.split(seed, 3))

    def erased():
        return _filled(image, _box_to_erase(image.shape, box_seed), noise_seed)

    return tf.cond(
        tf.random.stateless_uniform([], decide_seed) < probability, erased, lambda: image
    )


def _box_to_erase(shape, seed):
    """The first of ten boxes that is smaller than the image; an empty one when none is."""
    height, width = shape[:2]
    # Rows of draws: area, aspect ratio, place of the top, place of the left edge.
    draws = tf.random.stateless_uniform([4, _ATTEMPTS], seed)
    area = height * width * (_AREA[0] + draws[0] * (_AREA[1] - _AREA[0]))  # (attempts,)
    low, high = (math.log(ratio) for ratio in _ASPECT)
    aspect = tf.exp(low + draws[1] * (high - low))  # as likely to be tall as to be wide
    tall, wide = tf.round(tf.sqrt(area * aspect)), tf.round(tf.sqrt(area / aspect))
    fits = (tall < height) & (wide < width)
    first = tf.argmax(fits)  # of equal values the first; 0 when none fits
    tall, wide = (tf.where(tf.reduce_any(fits), side[first], 0.0) for side in (tall, wide))
    # One place more than there are pixels left, and never a draw of exactly 1.
    top = tf.floor(draws[2, 0] * (height - tall + 1))
    left = tf.floor(draws[3, 0] * (width - wide + 1))
    return tf.cast(tf.stack([top, left, tall, wide]), tf.int32)


def _filled(image, box, seed):
    channels = image.shape[-1]
    mean, std = tf.constant(MEAN), tf.constant(STD)  # (3,), one for each channel
    if channels == 1:
        mean, std = tf.reduce_mean(mean), tf.reduce_mean(std)
    noise = tf.random.stateless_normal([box[2], box[3], channels], seed)
    return paste(image, mean + std * noise, box)
