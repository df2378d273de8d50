# SPDX-License-Identifier: MIT
"""Random erasing (arXiv 1708.04896)."""

import math

import tensorflow as tf

from keras_vit.data.pipeline.augmentation.crops import paste

_ATTEMPTS = 10
_AREA = (0.02, 1 / 3)  # shares of the image
_ASPECT = (0.3, 1 / 0.3)
# ImageNet's pixels, 0 to 255: standard normal noise where images are normalised by them.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def random_erasing(image, probability: float, seed):
    """Replaces a random box by noise, with a certain probability.

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
        return _filled(image, _box(image.shape, box_seed), noise_seed)

    return tf.cond(
        tf.random.stateless_uniform([], decide_seed) < probability, erased, lambda: image
    )


def _box(shape, seed):
    """Top, left, height and width of the first of ten boxes that is smaller than the image."""
    height, width = shape[:2]
    draws = tf.random.stateless_uniform([4, _ATTEMPTS], seed)
    area = height * width * (_AREA[0] + draws[0] * (_AREA[1] - _AREA[0]))
    low, high = (math.log(ratio) for ratio in _ASPECT)
    aspect = tf.exp(low + draws[1] * (high - low))
    tall, wide = tf.round(tf.sqrt(area * aspect)), tf.round(tf.sqrt(area / aspect))
    fits = (tall < height) & (wide < width)
    first = tf.argmax(fits)
    tall, wide = (tf.where(tf.reduce_any(fits), side[first], 0.0) for side in (tall, wide))
    # One place more than there are pixels left, and never a draw of exactly 1.
    top = tf.floor(draws[2, 0] * (height - tall + 1))
    left = tf.floor(draws[3, 0] * (width - wide + 1))
    return tf.cast(tf.stack([top, left, tall, wide]), tf.int32)


def _filled(image, box, seed):
    channels = image.shape[-1]
    mean, std = tf.constant(MEAN), tf.constant(STD)
    if channels == 1:
        mean, std = tf.reduce_mean(mean), tf.reduce_mean(std)
    noise = tf.random.stateless_normal([box[2], box[3], channels], seed)
    return paste(image, mean + std * noise, box)
