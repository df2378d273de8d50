# SPDX-License-Identifier: MIT
"""Antialiased resizing, one side after the other.

TensorFlow's operator of any scale adds whole rows up with vector instructions, and then three
channels of one pixel at a time, which takes most of its time. Here both sides are resized as rows,
with the image transposed in between: the same sums in the same sequence, so the same bits.
"""

import tensorflow as tf

# TensorFlow's words for the filters of `View`.
_KERNELS = {"triangle": "triangle", "bicubic": "keyscubic", "lanczos": "lanczos3"}


def resampled(image, size: tuple[int, int], interpolation: str, shift=(0.0, 0.0), scale=None):
    """Resizes an image and cuts a part of the result out, computing no more than that part.

    Args:
        image: `(height, width, channels)`, uint8 or float32, 0 to 255.
        size: height and width of the part.
        interpolation: "triangle", "bicubic" or "lanczos"; see `View`.
        shift: top and left of the part in the resized image, `(2,)`.
        scale: pixels of the resized image for one of the image, downwards and across, `(2,)`; None
            where the part is all of it.

    Returns:
        float32 `(*size, channels)`, 0 to 255: what other filters than the triangle overshoot is cut
        off.
    """
    (height, width), channels = size, image.shape[-1]
    sides = tf.shape(image)[:2]
    if scale is None:
        scale = tf.constant(size, tf.float32) / tf.cast(sides, tf.float32)
    shift, scale = tf.cast(shift, tf.float32), tf.cast(scale, tf.float32)
    kernel = _KERNELS[interpolation]

    rows = tf.reshape(image, [sides[0], sides[1] * channels])
    rows = _resized_rows(rows, height, shift[0], scale[0], kernel)  # (size[0], width * channels)
    columns = tf.transpose(tf.reshape(rows, [height, sides[1], channels]), [1, 0, 2])
    columns = tf.reshape(columns, [sides[1], height * channels])
    columns = _resized_rows(columns, width, shift[1], scale[1], kernel)  # (size[1], ...)
    resized = tf.transpose(tf.reshape(columns, [width, height, channels]), [1, 0, 2])
    # A triangle has no negative weights, and may exceed 255 by a rounding error alone.
    resized = resized if interpolation == "triangle" else tf.maximum(resized, 0.0)
    return tf.minimum(resized, 255.0)


def _resized_rows(rows, count: int, shift, scale, kernel: str):
    """Resizes `(height, values)` to float32 `(count, values)`."""
    # One image of one column, whose channels are the values of a row.
    image = rows[None, :, None]  # (1, height, 1, values)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image,
        size=[count, 1],
        scale=tf.stack([scale, 1.0]),
        translation=tf.stack([-shift, 0.0]),
        kernel_type=kernel,
        antialias=True,
    )
    return resized[0, :, 0]
