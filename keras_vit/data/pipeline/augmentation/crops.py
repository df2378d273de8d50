# SPDX-License-Identifier: MIT
"""Which part of an image training sees."""

import tensorflow as tf

_METHODS = {"triangle": "bilinear", "bicubic": "bicubic"}


def crop_seed(seed):
    """The seed of an image's crop, from that of the image, which is int32 `(2,)`."""
    return tf.random.split(seed, 2)[0]


def padded_crop(image, pad: int, size: tuple[int, int], seed):
    """Puts `pad` zeros around the image and cuts a window of `size` at a random place."""
    padded = tf.pad(image, [[pad, pad], [pad, pad], [0, 0]])
    return tf.image.stateless_random_crop(padded, (*size, image.shape[-1]), seed)


def inception_box(shape, min_area: float, seed):
    """Draws a box of `min_area` to all of an image, aspect ratio 3/4 to 4/3 (arXiv 1409.4842).

    Args:
        shape: int32 `(2,)`, height and width of the image.
        min_area: share of the area, above 0 to 1.
        seed: int32 `(2,)`.

    Returns:
        int32 `(4,)`: top, left, height and width.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], 0),  # the number of channels is not used
        tf.zeros([1, 0, 4], tf.float32),
        seed,
        area_range=(min_area, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        min_object_covered=0.0,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], extent[:2]], 0)


def cut(image, box):
    """The part of an image in a box of top, left, height and width."""
    begin, extent = tf.split(box, 2)
    channels = image.shape[-1]
    part = tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([extent, [channels]], 0))
    return tf.ensure_shape(part, (None, None, channels))


def paste(images, patch, box):
    """Puts a patch in the place of a box of top, left, height and width.

    Args:
        images: `(height, width, channels)` or a batch of them.
        patch: what the box becomes, with as many axes.
        box: int32 `(4,)`.
    """
    top, left, height, width = tf.unstack(box)
    bottom, right = top + height, left + width
    rows = images[..., top:bottom, :, :]
    rows = tf.concat([rows[..., :left, :], patch, rows[..., right:, :]], -2)
    pasted = tf.concat([images[..., :top, :, :], rows, images[..., bottom:, :, :]], -3)
    return tf.ensure_shape(pasted, images.shape)


def resized(image, size: tuple[int, int], interpolation: str):
    """Resizes a box to float32 of `size`, antialiased; what bicubic overshoots is cut off."""
    image = tf.image.resize(image, size, method=_METHODS[interpolation], antialias=True)
    return image if interpolation == "triangle" else tf.clip_by_value(image, 0.0, 255.0)


def rounded(image):
    """float32 of 0 to 255 to the nearest uint8; uint8 as it is."""
    return image if image.dtype == tf.uint8 else tf.cast(image + 0.5, tf.uint8)
